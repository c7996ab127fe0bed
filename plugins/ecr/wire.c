/* One request to a registry: paced, authorised, counted; and what its answers mean. */
#include "hub.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/url.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOGIN_TRIES = 3 };

/* The engine counts a redirect as a try; it is a request, but nothing was tried again. */
static void count(struct tally *tally, const struct mrp_http_response *resp, const char *url)
{
    if (!tally)
        return;
    unsigned hops = resp->url && strcmp(resp->url, url) != 0 ? 2 : 1;
    tally->requests += resp->tries > 1 ? resp->tries : 1;
    tally->retries += resp->tries > hops ? resp->tries - hops : 0;
}

/* The engine paces by these names; ECR's published rates are known to it. */
static const char *bucket(const struct host *h, enum api api)
{
    static const char *const plain[API_COUNT] = {"registry:read",     "registry:blob",
                                                 "registry:post",     "registry:put",
                                                 "registry:manifest", "registry:list"};
    static const char *const ecr[API_COUNT] = {
        [API_POST] = "ecr:InitiateLayerUpload",
        [API_PUT] = "ecr:CompleteLayerUpload",
        [API_MANIFEST] = "ecr:PutImage",
    };
    return h->ecr && ecr[api] ? ecr[api] : plain[api];
}

static int send_once(struct mrp_http_response *resp,
                     struct host *h,
                     const struct call *c,
                     const char *authorization,
                     struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *url =
        c->url ? mrp_strdup(c->url) : mrp_strf("%s%s", h->base, c->path);
    if (!url)
        return mrp_fail(err, MRP_E_NOMEM, "%s", c->what);
    struct mrp_http_header headers[5] = {{0}};
    size_t n = 0;
    if (authorization)
        headers[n++] = (struct mrp_http_header){"Authorization", authorization};
    if (c->accept)
        headers[n++] = (struct mrp_http_header){"Accept", c->accept};
    if (c->type)
        headers[n++] = (struct mrp_http_header){"Content-Type", c->type};
    if (c->range)
        headers[n++] = (struct mrp_http_header){"Range", c->range};
    const struct mrp_http_request req = {.method = c->method,
                                         .url = url,
                                         .headers = headers,
                                         .body = c->body,
                                         .body_len = c->body_len,
                                         .source = c->source,
                                         .sink = c->sink,
                                         .max_body = c->max_body,
                                         .flags = c->flags,
                                         .stall_ms = h->hub->stall_ms,
                                         .api = bucket(h, c->api),
                                         .what = c->what};
    struct mrp_http_call *running = NULL;
    int rc = mrp_http_start(&running, resp, h->hub->http, &req, err);
    if (!rc) {
        if (c->handle)
            *c->handle = running;
        rc = mrp_http_wait(running, err);
        if (c->handle)
            *c->handle = NULL;
        mrp_http_call_free(&running);
    }
    count(c->tally, resp, url);
    return rc;
}

/* What a registry itself says is JSON, also where a HEAD shows only its type. */
static bool says_registry(const struct mrp_http_response *resp)
{
    const char *type = mrp_headers_get(&resp->headers, "Content-Type");
    return mrp_headers_get(&resp->headers, "Docker-Distribution-Api-Version") ||
           (type && strstr(type, "json"));
}

/* A server on the loopback that speaks TLS answers plain HTTP with a 400. */
static bool
is_tls_server(struct host *h, const struct call *c, const struct mrp_http_response *resp)
{
    if (!h->loopback || resp->status != 400 || !mrp_starts(h->base, "http://") || c->url)
        return false;
    bool head = !strcmp(c->method, "HEAD");
    if (head ? says_registry(resp) : !strstr(mrp_buf_str(&resp->body), "HTTPS"))
        return false;
    char *base = mrp_strf("https://%s", h->base + strlen("http://"));
    if (!base)
        return false;
    free(h->base);
    h->base = base;
    return true;
}

static bool login_again(struct host *h,
                        const struct mrp_http_response *resp,
                        const char *sent,
                        const char *method)
{
    if (resp->status == 401)
        return host_challenged(h, resp, sent);
    /* ECR answers 403 with plain text when the token is too old; HEAD has no text. */
    if (resp->status != 403 || !h->ecr)
        return false;
    bool old = strstr(mrp_buf_str(&resp->body), "expired") != NULL;
    return (old || !strcmp(method, "HEAD")) && host_challenged(h, resp, sent);
}

/* HEAD has no words for what is wrong: ask again with GET. */
static int ask_for_words(struct mrp_http_response *resp,
                         struct host *h,
                         const struct call *c,
                         const char *authorization,
                         struct mrp_error *err)
{
    struct call get = *c;
    get.method = "GET";
    mrp_http_response_done(resp);
    return send_once(resp, h, &get, authorization, err);
}

int host_do(struct mrp_http_response *resp,
            struct host *h,
            const struct call *c,
            struct mrp_error *err)
{
    for (int left = LOGIN_TRIES;; left--) {
        mrp_auto(mrp_free_str) char *authorization = NULL;
        int rc = 0;
        if (!c->bare)
            rc = host_authorization(&authorization, h, c->repo, c->from, c->push, err);
        if (!rc)
            rc = send_once(resp, h, c, authorization, err);
        if (rc)
            return rc;
        bool again = is_tls_server(h, c, resp) ||
                     (!c->bare && login_again(h, resp, authorization, c->method));
        if (again && left > 1 && !c->source) {
            mrp_http_response_done(resp);
            continue;
        }
        if (!strcmp(c->method, "HEAD") && resp->status >= 400 && resp->status != 404)
            return ask_for_words(resp, h, c, authorization, err);
        return 0;
    }
}

static void hint_of(const struct host *h, int status, struct mrp_error *err)
{
    if (status == 401 && !h->ecr && h->user)
        mrp_hint(err, "docker's login of %s as %.60s was refused: log in again", h->name, h->user);
    else if (status == 403 && !h->ecr && h->user)
        mrp_hint(err, "%.60s has not the rights for this at %s", h->user, h->name);
    else if (status == 401 && !h->ecr)
        mrp_hint(err, "log in with `docker login %s`", h->name);
    else if (status == 401)
        mrp_hint(err,
                 "the token was refused: check the AWS credentials, or an old login of docker");
    else if (status == 403 && h->ecr)
        mrp_hint(err, "the IAM permissions that this needs are listed in the plugin's README");
    else if (status == 405)
        mrp_hint(err, "%s does not allow this: is it read-only, or a mere cache of another one?",
                 h->name);
    else if (status == 429)
        mrp_hint(err, "the registry limits requests: lower `parallel`, or wait");
}

static enum mrp_code code_of(int status)
{
    if (status == 401 || status == 403)
        return MRP_E_AUTH;
    return status == 404 ? MRP_E_NOTFOUND : MRP_E_REMOTE;
}

/* "CODE: message (detail)", where the detail is a word of its own such as a digest. */
static void add_cause(char *out, size_t size, const json_t *error)
{
    const char *code = mrp_json_str(error, "code");
    const char *message = mrp_json_str(error, "message");
    const char *detail = json_string_value(json_object_get(error, "detail"));
    size_t used = strlen(out);
    if (!code)
        return;
    if (!message) {
        message = detail ? detail : "";
        detail = NULL;
    }
    if (detail && (!*detail || strlen(detail) > 100 || strstr(message, detail)))
        detail = NULL;
    char text[380];
    snprintf(text, sizeof text, "%.60s: %.200s%s%s%s", code, message, detail ? " (" : "",
             detail ? detail : "", detail ? ")" : "");
    if (!strstr(out, text))
        snprintf(out + used, size - used, "%s%.*s", used ? "; " : "", (int)(size - used), text);
}

/* The first is what counts; others may tell more: a blob that is missing after "unknown error". */
static const char *causes(char *out, size_t size, const json_t *answer)
{
    enum { SHOWN = 3 };
    const json_t *list = mrp_json_arr(answer, "errors");
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(list) && i < SHOWN; i++)
        add_cause(out, size, json_array_get(list, i));
    return mrp_json_str(json_array_get(list, 0), "code");
}

int host_error(const struct mrp_http_response *resp,
               const struct host *h,
               const char *what,
               struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *j = NULL;
    struct mrp_error ignored = {0};
    const char *text = mrp_buf_str(&resp->body);
    const char *code = NULL;
    char why[320];
    if (text[0] == '{' && !mrp_json_parse(&j, text, resp->body.len, "answer", &ignored))
        code = causes(why, sizeof why, j);
    if (!code) {
        mrp_http_status_error(resp, what, err);
    } else {
        mrp_fail(err, code_of(resp->status), "%s: HTTP %d: %s", what, resp->status, why);
        for (char *p = err->msg; *p; p++)
            if ((unsigned char)*p < 32 || *p == 127)
                *p = ' ';
        err->upstream = resp->status;
        mrp_copy(err->api, sizeof err->api, code);
    }
    if (!err->hint[0])
        hint_of(h, resp->status, err);
    return err->code;
}

int host_location(char **out,
                  bool *own,
                  const struct host *h,
                  const char *request_url,
                  const char *location,
                  struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *url = mrp_url_resolve(request_url, location);
    if (!url)
        return mrp_fail(err, MRP_E_REMOTE, "%s answered with a Location that is no URL", h->name);
    mrp_auto(mrp_free_str) char *mapped = NULL;
    int rc = mrp_aws_map_url(&mapped, h->hub->aws, url, err);
    if (rc)
        return rc;
    mrp_auto(mrp_url_done) struct mrp_url a = {0};
    mrp_auto(mrp_url_done) struct mrp_url b = {0};
    if (mrp_url_parse(&a, mapped, err) || mrp_url_parse(&b, h->base, err))
        return mrp_wrap(err, "Location of %s", h->name);
    bool plain = h->plain && strcmp(b.scheme, "https") != 0 && !strcmp(a.scheme, "http");
    if (strcmp(a.scheme, "https") != 0 && !plain)
        return mrp_fail(err, MRP_E_REMOTE, "%s sends us from https to %s://%s, which is refused",
                        h->name, a.scheme, a.host);
    *own = !strcmp(a.host, b.host) && a.port == b.port && !strcmp(a.scheme, b.scheme);
    *out = mrp_take_str(&mapped);
    return 0;
}
