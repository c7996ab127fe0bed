/* Credentials from the container endpoint: ECS, CodeBuild, EKS pod identity. */
#include "chain.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/url.h>

#include <stdlib.h>
#include <string.h>

#define HOST "http://169.254.170.2"

static void response_done(struct mrp_http_response *resp)
{
    mrp_http_response_done(resp);
}

/* A full URI without TLS may only be this machine or the addresses that AWS uses. */
static int check_uri(const char *uri, struct mrp_error *err)
{
    static const char *const allowed[] = {"localhost", "169.254.170.2", "169.254.170.23", "[::1]",
                                          "[fd00:ec2::23]"};
    struct mrp_url url;
    int rc = mrp_url_parse(&url, uri, err);
    if (rc)
        return mrp_wrap(err, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    bool ok = mrp_streq(url.scheme, "https") || mrp_starts(url.host, "127.");
    for (size_t i = 0; i < MRP_COUNT(allowed); i++)
        ok = ok || mrp_streq(url.host, allowed[i]);
    mrp_url_done(&url);
    return ok ? 0
              : mrp_fail(err, MRP_E_CONFIG,
                         "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https or this machine: %.200s",
                         uri);
}

static int read_token(char **out, struct mrp_aws *aws, struct mrp_error *err)
{
    const char *file = aws_env(aws, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = aws_env(aws, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    mrp_auto(mrp_free_str) char *text = NULL;
    if (file) {
        int rc = mrp_file_read(&text, NULL, file, (size_t)64 << 10, err);
        if (rc)
            return mrp_wrap(err, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        struct mrp_view v = mrp_view_trim(mrp_view_str(text));
        *out = mrp_strndup(v.p, v.n);
    } else {
        *out = mrp_strdup(token);
    }
    return 0;
}

int cred_container(struct mrp_credentials *out,
                   struct mrp_aws *aws,
                   struct mrp_buf *tried,
                   struct mrp_error *err)
{
    const char *relative = aws_env(aws, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = aws_env(aws, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!relative && !full) {
        mrp_buf_adds(tried, "container (no endpoint set)");
        return MRP_E_NOTFOUND;
    }
    mrp_auto(mrp_free_str) char *url = relative ? mrp_strf(HOST "%s", relative) : mrp_strdup(full);
    mrp_auto(mrp_free_str) char *token = NULL;
    int rc = url ? 0 : mrp_fail(err, MRP_E_NOMEM, "container credentials");
    if (rc == 0 && !relative)
        rc = check_uri(full, err);
    if (rc == 0)
        rc = read_token(&token, aws, err);
    if (rc)
        return rc;
    struct mrp_http_header headers[2] = {{token ? "Authorization" : NULL, token}};
    struct mrp_http_request req = {
        .url = url,
        .headers = headers,
        .flags = MRP_HTTP_NO_REDIRECT,
        .timeout_ms = 15000,
        .max_body = (size_t)1 << 20,
        .what = "credentials from the container endpoint",
    };
    mrp_auto(response_done) struct mrp_http_response resp = {0};
    rc = mrp_http_do(&resp, aws->http, &req, err);
    if (rc)
        return rc;
    if (resp.status != 200) {
        mrp_http_status_error(&resp, req.what, err);
        return MRP_E_AUTH;
    }
    mrp_auto(mrp_free_json) json_t *j = NULL;
    rc = mrp_json_parse(&j, mrp_buf_str(&resp.body), resp.body.len, req.what, err);
    if (rc)
        return rc;
    return credentials_set(out, mrp_json_str(j, "AccessKeyId"), mrp_json_str(j, "SecretAccessKey"),
                           mrp_json_str(j, "Token"), mrp_json_str(j, "Expiration"),
                           "the container endpoint", err);
}
