/* Credentials of an IAM Identity Center role. */
#include "chain.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

static void response_done(struct mrp_http_response *resp)
{
    mrp_http_response_done(resp);
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
    const struct sso_session s = {.name = session_name,
                                  .region = mrp_json_str(session, "sso_region"),
                                  .start = mrp_json_str(session, "sso_start_url")};
    if (!account || !role || !s.region || !s.start)
        return mrp_fail(err, MRP_E_CONFIG,
                        "the SSO profile needs sso_account_id, sso_role_name, sso_region and "
                        "sso_start_url");
    mrp_auto(mrp_free_str) char *token = NULL;
    mrp_auto(mrp_free_str) char *base = NULL;
    int rc = sso_token(&token, aws, &s, err);
    if (rc == 0)
        rc = endpoint_find(&base, NULL, aws, aws_service_find("sso"), s.region, err);
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
    rc = mrp_http_status_error(&resp, req.what, err);
    return rc == MRP_E_AUTH ? sso_login_hint(&s, err) : rc;
}
