/* Who we are: the providers in the order of the AWS CLI, the stage's role, renewal in time. */
#include "chain.h"
#include "aws_sign.h"
#include "engine.h"

#include <mrpipe/auto.h>
#include <mrpipe/stage.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdlib.h>
#include <string.h>

#define RENEW_BEFORE_MS (5 * 60 * 1000) /* AWS's own limit for "about to expire" */

static const cred_fn providers[] = {cred_env, cred_web, cred_profile, cred_container, cred_imds};

static void wipe(char **s)
{
    if (*s)
        explicit_bzero(*s, strlen(*s));
    free(*s);
    *s = NULL;
}

void mrp_credentials_done(struct mrp_credentials *c)
{
    wipe(&c->access_key);
    wipe(&c->secret_key);
    wipe(&c->session_token);
    *c = (struct mrp_credentials){0};
}

int credentials_set(struct mrp_credentials *out,
                    const char *access_key,
                    const char *secret_key,
                    const char *token,
                    const char *expires,
                    const char *source,
                    struct mrp_error *err)
{
    struct mrp_credentials c = {.source = source};
    if (!access_key || !*access_key || !secret_key || !*secret_key)
        return mrp_fail(err, MRP_E_AUTH, "credentials from %s are incomplete", source);
    if (strlen(secret_key) > 256 || access_key[strcspn(access_key, "/, \t\r\n")])
        return mrp_fail(err, MRP_E_AUTH, "credentials from %s are malformed", source);
    if (expires && *expires && mrp_parse_iso8601(&c.expires_ms, expires) != 0)
        return mrp_fail(err, MRP_E_AUTH, "credentials from %s: bad expiry date `%.40s`", source,
                        expires);
    bool with_token = token && *token;
    c.access_key = mrp_strdup(access_key);
    c.secret_key = mrp_strdup(secret_key);
    c.session_token = with_token ? mrp_strdup(token) : NULL;
    if (!c.access_key || !c.secret_key || (with_token && !c.session_token)) {
        mrp_credentials_done(&c);
        return mrp_fail(err, MRP_E_NOMEM, "keep credentials from %s", source);
    }
    *out = c;
    return 0;
}

int credentials_copy(struct mrp_credentials *out,
                     const struct mrp_credentials *from,
                     struct mrp_error *err)
{
    int rc = credentials_set(out, from->access_key, from->secret_key, from->session_token, NULL,
                             from->source, err);
    if (rc == 0)
        out->expires_ms = from->expires_ms;
    return rc;
}

static int nothing_found(const struct mrp_buf *tried, struct mrp_error *err)
{
    mrp_fail(err, MRP_E_AUTH, "no AWS credentials found");
    return mrp_hint(err, "tried: %s", mrp_buf_str(tried));
}

static int find_base(struct mrp_credentials *out, struct mrp_aws *aws, struct mrp_error *err)
{
    struct mrp_buf tried = MRP_BUF_INIT(4096);
    int rc = MRP_E_NOTFOUND;
    for (size_t i = 0; rc == MRP_E_NOTFOUND && i < MRP_COUNT(providers); i++) {
        struct mrp_error e = {0};
        if (tried.len)
            mrp_buf_adds(&tried, "; ");
        rc = providers[i](out, aws, &tried, &e);
        if (rc && rc != MRP_E_NOTFOUND && err)
            *err = e;
    }
    if (rc == MRP_E_NOTFOUND)
        rc = nothing_found(&tried, err);
    mrp_buf_done(&tried);
    return rc;
}

static int find(struct mrp_credentials *out, struct mrp_aws *aws, struct mrp_error *err)
{
    const char *role = aws->stage ? mrp_stage_role_arn(aws->stage) : "";
    if (!role || !*role)
        return find_base(out, aws, err);
    struct mrp_credentials base = {0};
    int rc = find_base(&base, aws, err);
    if (rc == 0)
        rc = assume_role(out, aws, &base,
                         &(struct assume){.role_arn = role, .source = "the stage's role-arn"}, err);
    mrp_credentials_done(&base);
    return rc;
}

static bool is_fresh(const struct mrp_aws *aws, int64_t margin_ms)
{
    const struct mrp_credentials *c = &aws->credentials;
    return c->access_key && (c->expires_ms == 0 || c->expires_ms - margin_ms > aws_wall_ms(aws));
}

static int renew(struct mrp_aws *aws, struct mrp_error *err)
{
    struct mrp_credentials fresh = {0};
    struct mrp_error e = {0};
    aws->refreshing = true;
    int rc = find(&fresh, aws, &e);
    aws->refreshing = false;
    if (rc == 0) {
        mrp_credentials_done(&aws->credentials);
        aws->credentials = fresh;
        if (aws->stage) {
            mrp_secret(aws->stage, fresh.secret_key);
            mrp_secret(aws->stage, fresh.session_token ? fresh.session_token : "");
            mrp_log(aws->stage, MRP_DEBUG, "AWS credentials from %s", fresh.source);
        }
    } else if (rc != MRP_E_CANCELLED && is_fresh(aws, 0)) {
        if (aws->stage)
            mrp_log(aws->stage, MRP_WARN, "credentials could not be renewed: %s", e.msg);
        rc = 0; /* the old ones still hold */
    } else if (err) {
        *err = e;
    }
    aws->refusal = rc ? e : (struct mrp_error){0};
    mrp_waitq_wake(&aws->refreshed, aws->http);
    return rc;
}

int mrp_aws_credentials(struct mrp_credentials *out, struct mrp_aws *aws, struct mrp_error *err)
{
    while (!is_fresh(aws, RENEW_BEFORE_MS)) {
        if (aws->refreshing) {
            int rc = mrp_waitq_wait(&aws->refreshed, aws->http, err);
            if (rc)
                return rc;
            if (is_fresh(aws, 0))
                break;
            if (aws->refusal.code && aws->refusal.code != MRP_E_CANCELLED) {
                if (err) /* asking once more would end alike, and take as long */
                    *err = aws->refusal;
                return aws->refusal.code;
            }
            continue;
        }
        int rc = renew(aws, err);
        if (rc)
            return rc;
        if (is_fresh(aws, 0))
            break; /* short-lived ones: the best there is */
        return mrp_fail(err, MRP_E_AUTH, "the credentials from %s have expired",
                        aws->credentials.source);
    }
    return credentials_copy(out, &aws->credentials, err);
}

void aws_forget_credentials(struct mrp_aws *aws, const struct mrp_credentials *used)
{
    if (mrp_streq(aws->credentials.session_token, used->session_token))
        mrp_credentials_done(&aws->credentials);
}

const char *aws_home_region(struct mrp_aws *aws)
{
    static const char *const names[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    const char *stage = aws->stage ? mrp_stage_region(aws->stage) : NULL;
    if (stage && mrp_aws_is_region(stage))
        return stage;
    for (size_t i = 0; i < MRP_COUNT(names); i++) {
        const char *region = aws_env(aws, names[i]);
        if (region && mrp_aws_is_region(region))
            return region;
    }
    struct mrp_error ignored = {0};
    const char *profile = aws_env(aws, "AWS_PROFILE");
    const json_t *section = aws_profile(aws, profile ? profile : "default", &ignored);
    const char *region = section ? json_string_value(json_object_get(section, "region")) : NULL;
    return region && mrp_aws_is_region(region) ? region : "us-east-1";
}
