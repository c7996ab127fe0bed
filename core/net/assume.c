/* Roles: STS AssumeRole and what its answers hold. */
#include "chain.h"

#include <mrpipe/auto.h>
#include <mrpipe/digest.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

int sts_credentials(struct mrp_credentials *out,
                    const json_t *answer,
                    const char *source,
                    struct mrp_error *err)
{
    const json_t *c = mrp_json_obj(answer, "Credentials");
    return credentials_set(out, mrp_json_str(c, "AccessKeyId"), mrp_json_str(c, "SecretAccessKey"),
                           mrp_json_str(c, "SessionToken"), mrp_json_str(c, "Expiration"), source,
                           err);
}

int assume_role(struct mrp_credentials *out,
                struct mrp_aws *aws,
                const struct mrp_credentials *base,
                const struct assume *how,
                struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *input = json_object();
    mrp_auto(mrp_free_str) char *name =
        how->session_name ? mrp_strdup(how->session_name)
                          : mrp_strf("mrpipe-%llu", (unsigned long long)mrp_random());
    if (!input || !name)
        return mrp_fail(err, MRP_E_NOMEM, "assume %s", how->role_arn);
    mrp_json_puts(input, "RoleArn", how->role_arn);
    mrp_json_puts(input, "RoleSessionName", name);
    mrp_json_puts(input, "ExternalId", how->external_id);
    mrp_json_puts(input, "DurationSeconds", how->duration);
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    const struct mrp_aws_request ask = {.service = "sts",
                                        .region = aws_home_region(aws),
                                        .operation = "AssumeRole",
                                        .input = input};
    int rc = aws_call_as(&answer, aws, base, &ask, err);
    if (rc == 0)
        rc = sts_credentials(out, answer, how->source, err);
    return rc ? mrp_wrap(err, "assume %s", how->role_arn) : 0;
}
