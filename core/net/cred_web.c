/* Credentials from a web identity token: STS AssumeRoleWithWebIdentity. */
#include "chain.h"

#include <mrpipe/auto.h>
#include <mrpipe/digest.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

#define MAX_TOKEN ((size_t)64 << 10)

int cred_web_token(struct mrp_credentials *out,
                   struct mrp_aws *aws,
                   const char *token_file,
                   const char *role_arn,
                   const char *session_name,
                   struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *text = NULL;
    int rc = mrp_file_read(&text, NULL, token_file, MAX_TOKEN, err);
    if (rc)
        return mrp_wrap(err, "web identity token");
    struct mrp_view token = mrp_view_trim(mrp_view_str(text));
    mrp_auto(mrp_free_str) char *name =
        session_name ? mrp_strdup(session_name)
                     : mrp_strf("mrpipe-%llu", (unsigned long long)mrp_random());
    mrp_auto(mrp_free_json) json_t *input = json_object();
    if (!input || !name)
        return mrp_fail(err, MRP_E_NOMEM, "assume %s", role_arn);
    mrp_json_puts(input, "RoleArn", role_arn);
    mrp_json_puts(input, "RoleSessionName", name);
    mrp_json_put(input, "WebIdentityToken", json_stringn(token.p, token.n));
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    const struct mrp_aws_request ask = {.service = "sts",
                                        .region = aws_home_region(aws),
                                        .operation = "AssumeRoleWithWebIdentity",
                                        .input = input};
    rc = aws_call_as(&answer, aws, NULL, &ask, err);
    if (rc == 0)
        rc = sts_credentials(out, answer, "a web identity", err);
    return rc ? mrp_wrap(err, "assume %s with a web identity", role_arn) : 0;
}

int cred_web(struct mrp_credentials *out,
             struct mrp_aws *aws,
             struct mrp_buf *tried,
             struct mrp_error *err)
{
    const char *file = aws_env(aws, "AWS_WEB_IDENTITY_TOKEN_FILE");
    const char *role = aws_env(aws, "AWS_ROLE_ARN");
    if (!file) {
        mrp_buf_adds(tried, "web identity (no token file)");
        return MRP_E_NOTFOUND;
    }
    if (!role)
        return mrp_fail(err, MRP_E_AUTH,
                        "AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not");
    return cred_web_token(out, aws, file, role, aws_env(aws, "AWS_ROLE_SESSION_NAME"), err);
}
