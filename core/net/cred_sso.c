/* Credentials of an IAM Identity Center role, with the token that `aws sso login` left in its
 * cache. */
#include "chain.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static void response_done(struct mrp_http_response *resp)
{
    mrp_http_response_done(resp);
}

/* The cache file is named by the SHA-1 of the session's name, or of the start URL in the old form.
 */
static char *cache_path(const struct mrp_aws *aws, const char *key)
{
    const char *home = aws_env(aws, "HOME");
    unsigned char sum[20] = {0};
    EVP_Digest(key, strlen(key), sum, NULL, EVP_sha1(), NULL);
    mrp_auto(mrp_free_str) char *hex = mrp_hex(sum, sizeof sum);
    return home && hex ? mrp_strf("%s/.aws/sso/cache/%s.json", home, hex) : NULL;
}

static int login_hint(struct mrp_error *err)
{
    mrp_hint(err, "run `aws sso login`");
    return MRP_E_AUTH;
}

static int read_token(char **out, struct mrp_aws *aws, const char *key, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = cache_path(aws, key);
    mrp_auto(mrp_free_json) json_t *j = NULL;
    if (!path || mrp_json_read(&j, path, (size_t)1 << 20, err) != 0) {
        mrp_fail(err, MRP_E_AUTH, "no cached token for the SSO session %s", key);
        return login_hint(err);
    }
    const char *token = mrp_json_str(j, "accessToken");
    const char *expires = mrp_json_str(j, "expiresAt");
    int64_t until = 0;
    if (!token || !expires || mrp_parse_iso8601(&until, expires) != 0 || until <= mrp_wall_ms()) {
        mrp_fail(err, MRP_E_AUTH, "the cached token of the SSO session %s has expired", key);
        return login_hint(err);
    }
    *out = mrp_strdup(token);
    return *out ? 0 : mrp_fail(err, MRP_E_NOMEM, "read the SSO token");
}

static int
take(struct mrp_credentials *out, const struct mrp_http_response *resp, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *j = NULL;
    int rc = mrp_json_parse(&j, mrp_buf_str(&resp->body), resp->body.len, "SSO credentials", err);
    if (rc)
        return rc;
    const json_t *c = mrp_json_obj(j, "roleCredentials");
    rc = credentials_set(out, mrp_json_str(c, "accessKeyId"), mrp_json_str(c, "secretAccessKey"),
                         mrp_json_str(c, "sessionToken"), NULL, "SSO", err);
    if (rc == 0)
        out->expires_ms = mrp_json_int(c, "expiration", 0);
    return rc;
}

int cred_sso(struct mrp_credentials *out,
             struct mrp_aws *aws,
             const json_t *profile,
             const json_t *session,
             const char *session_name,
             struct mrp_error *err)
{
    const char *account = mrp_json_str(profile, "sso_account_id");
    const char *role = mrp_json_str(profile, "sso_role_name");
    const char *region = mrp_json_str(session, "sso_region");
    const char *start = mrp_json_str(session, "sso_start_url");
    const char *key = session_name ? session_name : start;
    if (!account || !role || !region || !key)
        return mrp_fail(err, MRP_E_CONFIG,
                        "the SSO profile needs sso_account_id, sso_role_name, sso_region and "
                        "sso_start_url");
    mrp_auto(mrp_free_str) char *token = NULL;
    mrp_auto(mrp_free_str) char *base = NULL;
    int rc = read_token(&token, aws, key, err);
    if (rc == 0)
        rc = endpoint_find(&base, NULL, aws, aws_service_find("sso"), region, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_str) char *role_text = mrp_percent(role, strlen(role), false);
    mrp_auto(mrp_free_str) char *account_text = mrp_percent(account, strlen(account), false);
    mrp_auto(mrp_free_str) char *url =
        role_text && account_text ? mrp_strf("%s/federation/credentials?role_name=%s&account_id=%s",
                                             base, role_text, account_text)
                                  : NULL;
    struct mrp_http_header headers[] = {{"x-amz-sso_bearer_token", token}, {0}};
    struct mrp_http_request req = {
        .url = url,
        .headers = headers,
        .flags = MRP_HTTP_NO_REDIRECT,
        .max_body = (size_t)1 << 20,
        .what = "SSO credentials",
    };
    mrp_auto(response_done) struct mrp_http_response resp = {0};
    rc = url ? mrp_http_do(&resp, aws->http, &req, err) : mrp_fail(err, MRP_E_NOMEM, "SSO");
    if (rc)
        return rc;
    if (resp.status == 200)
        return take(out, &resp, err);
    mrp_http_status_error(&resp, req.what, err);
    return login_hint(err);
}
