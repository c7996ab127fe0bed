/* Credentials from AWS_ACCESS_KEY_ID and its companions. */
#include "chain.h"

int cred_env(struct mrp_credentials *out,
             struct mrp_aws *aws,
             struct mrp_buf *tried,
             struct mrp_error *err)
{
    const char *access = aws_env(aws, "AWS_ACCESS_KEY_ID");
    const char *secret = aws_env(aws, "AWS_SECRET_ACCESS_KEY");
    if (!access) {
        mrp_buf_adds(tried, "environment (no AWS_ACCESS_KEY_ID)");
        return MRP_E_NOTFOUND;
    }
    if (!secret)
        return mrp_fail(err, MRP_E_AUTH,
                        "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not");
    const char *token = aws_env(aws, "AWS_SESSION_TOKEN");
    if (!token)
        token = aws_env(aws, "AWS_SECURITY_TOKEN");
    return credentials_set(out, access, secret, token, aws_env(aws, "AWS_CREDENTIAL_EXPIRATION"),
                           "the environment", err);
}
