/* The AWS client's life, its clock, and how its requests are signed. */
#include "aws_sign.h"
#include "chain.h"
#include "engine.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>
#include <mrpipe/url.h>

#include <stdlib.h>
#include <string.h>

const char *aws_env(const struct mrp_aws *aws, const char *name)
{
    /* Whoever names a profile wants its credentials, not those of the environment. */
    static const char *const hidden[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                         "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
                                         "AWS_ROLE_ARN",      "AWS_WEB_IDENTITY_TOKEN_FILE"};
    if (aws->profile && mrp_streq(name, "AWS_PROFILE"))
        return aws->profile;
    for (size_t i = 0; aws->profile && i < MRP_COUNT(hidden); i++)
        if (mrp_streq(name, hidden[i]))
            return NULL;
    return net_env(aws->stage, name);
}

int64_t aws_wall_ms(const struct mrp_aws *aws)
{
    return mrp_wall_ms() + aws->skew_ms;
}

int mrp_aws_new(struct mrp_aws **out,
                struct mrp_http *http,
                struct mrp_stage *stage,
                struct mrp_error *err)
{
    struct mrp_aws *aws = calloc(1, sizeof *aws);
    if (!aws)
        return mrp_fail(err, MRP_E_NOMEM, "start the AWS client");
    aws->http = http;
    aws->stage = stage;
    aws->debug_sign = stage && mrp_stage_debug(stage, "sigv4");
    aws->buckets = json_object();
    int rc = aws->buckets ? endpoints_load(aws, err)
                          : mrp_fail(err, MRP_E_NOMEM, "start the AWS client");
    if (rc) {
        mrp_aws_free(&aws);
        return rc;
    }
    *out = aws;
    return 0;
}

int mrp_aws_new_profile(struct mrp_aws **out,
                        struct mrp_http *http,
                        struct mrp_stage *stage,
                        const char *profile,
                        struct mrp_error *err)
{
    struct mrp_aws *aws = NULL;
    int rc = mrp_aws_new(&aws, http, stage, err);
    if (rc)
        return rc;
    aws->profile = mrp_strdup(profile);
    if (!aws->profile) {
        mrp_aws_free(&aws);
        return mrp_fail(err, MRP_E_NOMEM, "start the AWS client");
    }
    *out = aws;
    return 0;
}

const char *mrp_aws_region(struct mrp_aws *aws)
{
    struct mrp_error ignored = {0};
    const json_t *section = aws->profile ? aws_profile(aws, aws->profile, &ignored) : NULL;
    const char *region = section ? mrp_json_str(section, "region") : NULL;
    return region && mrp_aws_is_region(region) ? region : aws_home_region(aws);
}

void mrp_aws_free(struct mrp_aws **out)
{
    struct mrp_aws *aws = *out;
    if (!aws)
        return;
    mrp_credentials_done(&aws->credentials);
    free(aws->account);
    free(aws->profile);
    json_decref(aws->hosts);
    json_decref(aws->config);
    json_decref(aws->shared);
    json_decref(aws->buckets);
    free(aws);
    *out = NULL;
}

struct mrp_http *mrp_aws_http(struct mrp_aws *aws)
{
    return aws->http;
}

void aws_learn_skew(struct mrp_aws *aws, const struct mrp_http_response *resp)
{
    const char *date = mrp_headers_get(&resp->headers, "Date");
    int64_t theirs = 0;
    if (date && mrp_parse_http_date(&theirs, date) == 0)
        aws->skew_ms = theirs - mrp_wall_ms();
}

const char *aws_global_region(const struct aws_service *service, const char *region)
{
    const char *partition = aws_partition_of(region)->name;
    if (strcmp(partition, "aws-us-gov") == 0)
        return "us-gov-west-1";
    if (strcmp(partition, "aws-cn") == 0)
        return strcmp(service->name, "iam") == 0 ? "cn-north-1" : "cn-northwest-1";
    return service->global;
}

static void debug_canonical(const struct aws_signing *s, const char *canonical)
{
    const char *token = s->credentials->session_token;
    const char *at = token ? strstr(canonical, token) : NULL;
    if (at)
        mrp_log(s->aws->stage, MRP_DEBUG, "sigv4: %.*s***%s", (int)(at - canonical), canonical,
                at + strlen(token));
    else
        mrp_log(s->aws->stage, MRP_DEBUG, "sigv4: %s", canonical);
}

int aws_sign(void *arg, struct mrp_headers *headers, struct mrp_error *err)
{
    const struct aws_signing *s = arg;
    struct mrp_url url;
    int rc = mrp_url_parse(&url, s->url, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_str) char *host = mrp_url_authority(&url);
    mrp_url_done(&url);
    rc = host ? mrp_headers_set(headers, "Host", host) : MRP_E_NOMEM;
    if (rc == 0 && s->s3)
        rc = mrp_headers_set(headers, "x-amz-content-sha256", s->payload);
    if (rc)
        return mrp_fail(err, (enum mrp_code)rc, "sign a request for %s", s->service);
    struct mrp_sigv4 how = {
        .credentials = s->credentials,
        .region = s->region,
        .service = s->service,
        .wall_ms = aws_wall_ms(s->aws),
        .s3 = s->s3,
    };
    mrp_auto(mrp_free_str) char *canonical = NULL;
    rc = mrp_sigv4_sign(headers, &how, s->method, s->url, s->payload,
                        s->aws->debug_sign ? &canonical : NULL, err);
    if (rc == 0 && canonical)
        debug_canonical(s, canonical);
    return rc;
}

int mrp_aws_account(const char **out, struct mrp_aws *aws, struct mrp_error *err)
{
    if (!aws->account) {
        mrp_auto(mrp_free_json) json_t *answer = NULL;
        int rc =
            mrp_aws_call(&answer, aws, "sts", aws_home_region(aws), "GetCallerIdentity", NULL, err);
        if (rc)
            return rc;
        const char *account = mrp_json_str(answer, "Account");
        if (!account)
            return mrp_fail(err, MRP_E_REMOTE, "sts GetCallerIdentity: no account in the answer");
        if (!aws->account)
            aws->account = mrp_strdup(account);
        if (!aws->account)
            return mrp_fail(err, MRP_E_NOMEM, "remember the account");
    }
    *out = aws->account;
    return 0;
}
