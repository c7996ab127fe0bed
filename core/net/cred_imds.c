/* Credentials from the instance metadata service, version 2 only. */
#include "chain.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define ROLES "/latest/meta-data/iam/security-credentials/"

static void response_done(struct mrp_http_response *resp)
{
    mrp_http_response_done(resp);
}

static const char *base_url(const struct mrp_aws *aws)
{
    const char *url = aws_env(aws, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *mode = aws_env(aws, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    if (url)
        return url;
    return mode && (mode[0] == 'i' || mode[0] == 'I') && mrp_ends(mode, "6")
               ? "http://[fd00:ec2::254]"
               : "http://169.254.169.254";
}

/* One short request; *out is the trimmed body. */
static int ask(char **out,
               struct mrp_aws *aws,
               const char *method,
               const char *path,
               struct mrp_http_header header,
               struct mrp_error *err)
{
    const char *base = base_url(aws);
    size_t n = strlen(base);
    while (n && base[n - 1] == '/')
        n--;
    mrp_auto(mrp_free_str) char *url = mrp_strf("%.*s%s", (int)n, base, path);
    struct mrp_http_header headers[] = {header, {0}};
    struct mrp_http_request req = {
        .method = method,
        .url = url,
        .headers = headers,
        .flags = MRP_HTTP_NO_REDIRECT | MRP_HTTP_NO_RETRY,
        .timeout_ms = 1000, /* off EC2 nobody answers */
        .max_body = (size_t)64 << 10,
        .what = "instance metadata",
    };
    mrp_auto(response_done) struct mrp_http_response resp = {0};
    int rc = url ? mrp_http_do(&resp, aws->http, &req, err)
                 : mrp_fail(err, MRP_E_NOMEM, "instance metadata");
    if (rc)
        return rc;
    if (resp.status != 200)
        return mrp_http_status_error(&resp, req.what, err);
    struct mrp_view v = mrp_view_trim(mrp_view_str(mrp_buf_str(&resp.body)));
    *out = mrp_strndup(v.p ? v.p : "", v.n);
    return *out ? 0 : mrp_fail(err, MRP_E_NOMEM, "instance metadata");
}

int cred_imds(struct mrp_credentials *out,
              struct mrp_aws *aws,
              struct mrp_buf *tried,
              struct mrp_error *err)
{
    bool off = false;
    const char *disabled = aws_env(aws, "AWS_EC2_METADATA_DISABLED");
    if (disabled && mrp_parse_bool(&off, disabled) == 0 && off) {
        mrp_buf_adds(tried, "instance metadata (disabled)");
        return MRP_E_NOTFOUND;
    }
    mrp_auto(mrp_free_str) char *token = NULL;
    mrp_auto(mrp_free_str) char *role = NULL;
    mrp_auto(mrp_free_str) char *text = NULL;
    struct mrp_http_header ttl = {"X-aws-ec2-metadata-token-ttl-seconds", "21600"};
    int rc = ask(&token, aws, "PUT", "/latest/api/token", ttl, err);
    if (rc == MRP_E_CANCELLED)
        return rc;
    if (rc) {
        mrp_buf_adds(tried, "instance metadata (no answer)");
        return MRP_E_NOTFOUND;
    }
    struct mrp_http_header with = {"X-aws-ec2-metadata-token", token};
    rc = ask(&role, aws, "GET", ROLES, with, err);
    if (rc == MRP_E_NOTFOUND || (rc == 0 && !*role)) {
        mrp_buf_adds(tried, "instance metadata (the instance has no role)");
        return MRP_E_NOTFOUND;
    }
    if (rc)
        return rc;
    role[strcspn(role, "\r\n")] = '\0';
    mrp_auto(mrp_free_str) char *name = mrp_percent(role, strlen(role), false);
    mrp_auto(mrp_free_str) char *path = name ? mrp_strf(ROLES "%s", name) : NULL;
    rc = path ? ask(&text, aws, "GET", path, with, err)
              : mrp_fail(err, MRP_E_NOMEM, "instance metadata");
    mrp_auto(mrp_free_json) json_t *j = NULL;
    if (rc == 0)
        rc = mrp_json_parse(&j, text, strlen(text), "instance metadata", err);
    if (rc)
        return rc == MRP_E_NOTFOUND ? MRP_E_AUTH : rc;
    return credentials_set(out, mrp_json_str(j, "AccessKeyId"), mrp_json_str(j, "SecretAccessKey"),
                           mrp_json_str(j, "Token"), mrp_json_str(j, "Expiration"),
                           "instance metadata", err);
}
