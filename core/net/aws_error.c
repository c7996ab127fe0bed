/* Errors of AWS services as our own codes, with a hint where one is known. */
#include "call.h"
#include "client.h"

#include <mrpipe/text.h>

#include <string.h>

static const struct {
    const char *pattern; /* a glob over the service's code */
    enum mrp_code code;
} code_table[] = {
    {"*AlreadyExists*", MRP_E_CONFLICT},
    {"*NameExists*", MRP_E_CONFLICT},
    {"*NotFound*", MRP_E_NOTFOUND},
    {"*DoesNotExist*", MRP_E_NOTFOUND},
    {"*NotExist*", MRP_E_NOTFOUND},
    {"NoSuch*", MRP_E_NOTFOUND},
    {"ParameterNotFound", MRP_E_NOTFOUND},
    {"*Conflict*", MRP_E_CONFLICT},
    {"ResourceInUse*", MRP_E_CONFLICT},
    {"PreconditionFailed", MRP_E_CONFLICT},
    {"BucketAlreadyOwnedByYou", MRP_E_CONFLICT},
    {"AccessDenied*", MRP_E_AUTH},
    {"UnauthorizedOperation", MRP_E_AUTH},
    {"UnauthorizedAccess", MRP_E_AUTH},
    {"NotAuthorized*", MRP_E_AUTH},
    {"AuthFailure", MRP_E_AUTH},
    {"UnrecognizedClient*", MRP_E_AUTH},
    {"InvalidSignature*", MRP_E_AUTH},
    {"SignatureDoesNotMatch", MRP_E_AUTH},
    {"IncompleteSignature*", MRP_E_AUTH},
    {"MissingAuthenticationToken*", MRP_E_AUTH},
    {"InvalidClientTokenId", MRP_E_AUTH},
    {"InvalidAccessKeyId", MRP_E_AUTH},
    {"InvalidToken", MRP_E_AUTH},
    {"Expired*", MRP_E_AUTH},
    {"RequestExpired", MRP_E_AUTH},
    {"TokenRefreshRequired", MRP_E_AUTH},
    {"RequestTimeTooSkewed", MRP_E_AUTH},
    {"OptInRequired", MRP_E_AUTH},
};

static enum mrp_code code_of(const char *name, const char *words, int status)
{
    for (size_t i = 0; name[0] && i < MRP_COUNT(code_table); i++)
        if (mrp_glob_match(code_table[i].pattern, name, false))
            return code_table[i].code;
    if (mrp_streq(name, "ValidationError") && strstr(words, "does not exist"))
        return MRP_E_NOTFOUND; /* CloudFormation's word for it */
    if (status == 404)
        return MRP_E_NOTFOUND;
    if (status == 401 || status == 403)
        return MRP_E_AUTH;
    return status == 409 || status == 412 ? MRP_E_CONFLICT : MRP_E_REMOTE;
}

bool aws_is_expired(const struct mrp_error *err)
{
    return mrp_starts(err->api, "ExpiredToken") || mrp_streq(err->api, "TokenRefreshRequired");
}

bool aws_is_skewed(const struct mrp_error *err)
{
    if (mrp_streq(err->api, "RequestTimeTooSkewed") || mrp_streq(err->api, "RequestExpired") ||
        mrp_streq(err->api, "RequestInTheFuture"))
        return true;
    return strstr(err->msg, "Signature expired") || strstr(err->msg, "Signature not yet current");
}

static void add_hint(struct mrp_error *err)
{
    if (!err)
        return;
    if (aws_is_expired(err))
        mrp_hint(err, "the credentials have expired: get new ones");
    else if (aws_is_skewed(err))
        mrp_hint(err, "the clock of this machine is wrong");
    else if (mrp_starts(err->api, "AccessDenied") || mrp_starts(err->api, "Unauthorized") ||
             mrp_starts(err->api, "NotAuthorized"))
        mrp_hint(err, "let the role that runs this do it (IAM policy, region, repository policy)");
    else if (err->code == MRP_E_AUTH)
        mrp_hint(err, "check the access key and its secret, or the role");
}

int aws_answer_error(const struct mrp_http_response *resp, const char *what, struct mrp_error *err)
{
    char name[64];
    char words[320];
    api_error_read(name, sizeof name, words, sizeof words, resp);
    if (!name[0] && resp->status == 404)
        mrp_copy(name, sizeof name, "NotFound");
    const char *id = mrp_headers_get(&resp->headers, "x-amz-request-id");
    enum mrp_code code = code_of(name, words, resp->status);
    if (!name[0])
        snprintf(name, sizeof name, "HTTP %d", resp->status);
    mrp_fail(err, code, "%s: %s%s%s%s%s%s", what, name, words[0] ? ": " : "", words,
             words[0] || !id ? "" : " (request ", words[0] || !id ? "" : id,
             words[0] || !id ? "" : ")");
    if (err) {
        err->upstream = resp->status;
        mrp_copy(err->api, sizeof err->api, name);
    }
    add_hint(err);
    return code;
}
