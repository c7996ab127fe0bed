/* One call of an AWS service: build, sign, send, read; pages of answers. */
#include "aws_sign.h"
#include "client.h"

#include <mrpipe/auto.h>
#include <mrpipe/digest.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>
#include <mrpipe/xml.h>

#include <stdlib.h>
#include <string.h>

#define MAX_ANSWER ((size_t)64 << 20)
#define MAX_PAGES 100000u

static void response_done(struct mrp_http_response *resp)
{
    mrp_http_response_done(resp);
}

struct request {
    const struct aws_service *service;
    const char *method;
    char *url;
    char *body;
    char *target; /* X-Amz-Target; NULL: none */
    char *type;   /* Content-Type */
    char *what;
    char *api;
};

static void request_done(struct request *r)
{
    free(r->url);
    if (r->body)
        explicit_bzero(r->body, strlen(r->body)); /* may hold secrets */
    free(r->body);
    free(r->target);
    free(r->type);
    free(r->what);
    free(r->api);
}

static char *query_string(const json_t *input)
{
    struct mrp_buf out = MRP_BUF_INIT(1 << 20);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)input, key, value)
    {
        mrp_auto(mrp_free_str) char *text =
            json_is_string(value) ? mrp_strdup(json_string_value(value)) : mrp_json_text(value);
        mrp_auto(mrp_free_str) char *left = mrp_percent(key, strlen(key), false);
        mrp_auto(mrp_free_str) char *right = text ? mrp_percent(text, strlen(text), false) : NULL;
        if (left && right)
            mrp_buf_addf(&out, "%s%s=%s", out.len ? "&" : "?", left, right);
    }
    return mrp_buf_take(&out);
}

/* REST services: the operation is "METHOD /path". */
static int
make_rest(struct request *r, const char *operation, const json_t *input, struct mrp_error *err)
{
    static const char *const methods[] = {"GET", "HEAD", "DELETE", "POST", "PUT", "PATCH"};
    const char *path = strchr(operation, '/');
    for (size_t i = 0; path && i < MRP_COUNT(methods); i++) {
        size_t n = strlen(methods[i]);
        if (strncmp(operation, methods[i], n) == 0 && operation[n] == ' ' &&
            operation + n + 1 == path)
            r->method = methods[i];
    }
    if (!r->method)
        return mrp_fail(err, MRP_E_BUG, "%s: `%.100s` is not METHOD /PATH", r->service->name,
                        operation);
    bool in_url = r->method[0] == 'G' || r->method[0] == 'H' || r->method[0] == 'D';
    mrp_auto(mrp_free_str) char *query = in_url ? query_string(input) : mrp_strdup("");
    char *url = query ? mrp_strf("%s%s%s", r->url, path, query) : NULL;
    free(r->url);
    r->url = url;
    if (!in_url) {
        r->body = input ? mrp_json_text(input) : mrp_strdup("{}");
        r->type = mrp_strdup("application/json");
    }
    return url ? 0 : mrp_fail(err, MRP_E_NOMEM, "%s", r->what);
}

static int
make_body(struct request *r, const char *operation, const json_t *input, struct mrp_error *err)
{
    enum aws_protocol protocol = r->service->protocol;
    if (protocol == AWS_REST_JSON || protocol == AWS_REST_XML)
        return make_rest(r, operation, input, err);
    r->method = "POST";
    char *url = mrp_strf("%s/", r->url);
    free(r->url);
    r->url = url;
    if (protocol == AWS_QUERY || protocol == AWS_EC2) {
        r->body = query_body(r->service, operation, input);
        r->type = mrp_strdup("application/x-www-form-urlencoded; charset=utf-8");
    } else {
        r->body = input ? mrp_json_text(input) : mrp_strdup("{}");
        r->type = mrp_strdup(protocol == AWS_JSON_10 ? "application/x-amz-json-1.0"
                                                     : "application/x-amz-json-1.1");
        r->target = mrp_strf("%s.%s", r->service->target, operation);
    }
    bool ok = r->url && r->body && r->type && (r->target || !r->service->target);
    return ok ? 0 : mrp_fail(err, MRP_E_NOMEM, "%s", r->what);
}

static int make_request(struct request *r,
                        struct mrp_aws *aws,
                        const struct mrp_aws_request *ask,
                        struct mrp_error *err)
{
    r->service = aws_service_find(ask->service);
    if (!r->service)
        return mrp_fail(err, MRP_E_BUG, "no AWS service is called `%.60s`", ask->service);
    r->what = mrp_strf("%s %s in %s", r->service->name, ask->operation, ask->region);
    r->api = mrp_strf("%s:%s", r->service->name, ask->operation);
    if (!r->what || !r->api)
        return mrp_fail(err, MRP_E_NOMEM, "call %s", ask->service);
    int rc = endpoint_find(&r->url, NULL, aws, r->service, ask->region, err);
    return rc ? rc : make_body(r, ask->operation, ask->input, err);
}

static int read_answer(json_t **out,
                       const struct request *r,
                       const char *operation,
                       const struct mrp_http_response *resp,
                       struct mrp_error *err)
{
    if (!out)
        return 0;
    const char *text = mrp_buf_str(&resp->body);
    enum aws_protocol protocol = r->service->protocol;
    if (text[strspn(text, " \t\r\n")] == '\0') {
        *out = json_object();
        return *out ? 0 : mrp_fail(err, MRP_E_NOMEM, "%s", r->what);
    }
    if (protocol == AWS_QUERY || protocol == AWS_EC2)
        return query_answer(out, resp, operation, r->what, err);
    if (protocol == AWS_REST_XML)
        return mrp_xml_parse(out, text, resp->body.len, r->what, err);
    return mrp_json_parse(out, text, resp->body.len, r->what, err);
}

int aws_call_as(json_t **out,
                struct mrp_aws *aws,
                const struct mrp_credentials *as,
                const struct mrp_aws_request *ask,
                struct mrp_error *err)
{
    mrp_auto(request_done) struct request r = {0};
    int rc = make_request(&r, aws, ask, err);
    if (rc)
        return rc;
    struct mrp_http_header headers[3] = {{0}};
    size_t n = 0;
    if (r.type)
        headers[n++] = (struct mrp_http_header){"Content-Type", r.type};
    if (r.target)
        headers[n++] = (struct mrp_http_header){"X-Amz-Target", r.target};
    struct aws_signing signing = {
        .aws = aws,
        .credentials = as,
        .service = r.service->signing,
        .region = r.service->global ? aws_global_region(r.service, ask->region) : ask->region,
        .method = r.method,
        .url = r.url,
    };
    mrp_sha256_hex(signing.payload, r.body, r.body ? strlen(r.body) : 0);
    struct mrp_http_request req = {
        .method = r.method,
        .url = r.url,
        .headers = headers,
        .body = r.body,
        .body_len = r.body ? strlen(r.body) : 0,
        .max_body = MAX_ANSWER,
        .flags = (ask->once ? MRP_HTTP_ONCE : MRP_HTTP_IDEMPOTENT) | MRP_HTTP_NO_REDIRECT,
        .api = r.api,
        .what = r.what,
        .prepare = as ? aws_sign : NULL,
        .prepare_arg = &signing,
    };
    mrp_auto(response_done) struct mrp_http_response resp = {0};
    rc = mrp_http_do(&resp, aws->http, &req, err);
    if (rc)
        return rc;
    if (resp.status >= 200 && resp.status < 300)
        return read_answer(out, &r, ask->operation, &resp, err);
    rc = aws_answer_error(&resp, r.what, err);
    if (aws_is_skewed(err))
        aws_learn_skew(aws, &resp);
    return rc;
}

static void credentials_done(struct mrp_credentials *c)
{
    mrp_credentials_done(c);
}

bool mrp_aws_is_open(const struct mrp_error *err)
{
    if (err->code == MRP_E_NET || err->code == MRP_E_TIMEOUT)
        return true;
    /* without a status it is no error of the service: what it said could not be read */
    return err->code == MRP_E_REMOTE && (err->upstream == 0 || err->upstream >= 500);
}

int mrp_aws_call(json_t **out,
                 struct mrp_aws *aws,
                 const char *service,
                 const char *region,
                 const char *operation,
                 const json_t *input,
                 struct mrp_error *err)
{
    const struct mrp_aws_request req = {
        .service = service, .region = region, .operation = operation, .input = input};
    return mrp_aws_do(out, aws, &req, err);
}

int mrp_aws_do(json_t **out,
               struct mrp_aws *aws,
               const struct mrp_aws_request *req,
               struct mrp_error *err)
{
    struct mrp_error own = {0};
    struct mrp_error *e = err ? err : &own; /* what to do next depends on it */
    for (int attempt = 0;; attempt++) {
        mrp_auto(credentials_done) struct mrp_credentials c = {0};
        int rc = mrp_aws_credentials(&c, aws, e);
        if (rc)
            return rc;
        int64_t skew = aws->skew_ms;
        rc = aws_call_as(out, aws, &c, req, e);
        if (rc == 0 || attempt > 0)
            return rc;
        if (aws_is_expired(e) && c.session_token)
            aws_forget_credentials(aws, &c);
        else if (!aws_is_skewed(e) || aws->skew_ms == skew)
            return rc;
        *e = (struct mrp_error){0};
    }
}

/* The answer's member that says that there is more, and the input's that asks for it. */
static const struct {
    const char *out;
    const char *in;
} tokens[] = {
    {"nextToken", "nextToken"}, {"NextToken", "NextToken"},        {"NextMarker", "Marker"},
    {"Marker", "Marker"},       {"nextForwardToken", "nextToken"},
};

static const char *next_token(const json_t *page, const char **in)
{
    for (size_t i = 0; i < MRP_COUNT(tokens); i++) {
        const char *token = mrp_json_str(page, tokens[i].out);
        *in = tokens[i].in;
        if (token && *token)
            return token;
    }
    return NULL;
}

int mrp_aws_pages(struct mrp_aws *aws,
                  const char *service,
                  const char *region,
                  const char *operation,
                  const json_t *input,
                  int (*each)(void *arg, const json_t *page, struct mrp_error *err),
                  void *arg,
                  struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *asked =
        input ? json_copy((json_t *)(uintptr_t)input) : json_object();
    mrp_auto(mrp_free_str) char *last = NULL;
    for (unsigned i = 0; asked && i < MAX_PAGES; i++) {
        mrp_auto(mrp_free_json) json_t *page = NULL;
        int rc = mrp_aws_call(&page, aws, service, region, operation, asked, err);
        if (rc == 0)
            rc = each(arg, page, err);
        const char *in = NULL;
        const char *token = rc ? NULL : next_token(page, &in);
        if (rc || !token ||
            mrp_streq(token, last)) /* the same token again: logs' sign of the end */
            return rc;
        free(last);
        last = mrp_strdup(token);
        mrp_json_puts(asked, in, token);
    }
    return asked ? mrp_fail(err, MRP_E_REMOTE, "%s %s in %s: pages without end", service, operation,
                            region)
                 : mrp_fail(err, MRP_E_NOMEM, "%s %s", service, operation);
}
