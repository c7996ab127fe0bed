/* A git repository behind smart HTTP: advertisement, upload-pack and receive-pack on the engine. */
#include "band.h"
#include "end.h"
#include "pull_body.h"
#include "report.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define AGENT "git/2.39 mrpipe"

enum { GZIP_FROM = 1024 }; /* as git does */

/* Headers of one request, with a fresh password. */
struct heads {
    struct mrp_http_header list[6];
    char *authorization;
};

static void heads_done(struct heads *h)
{
    if (h->authorization)
        explicit_bzero(h->authorization, strlen(h->authorization));
    mrp_free_str(&h->authorization);
}

static int heads_make(struct heads *h,
                      struct mrp_end *end,
                      const char *type,
                      const char *accept,
                      bool gzip,
                      struct mrp_error *err)
{
    size_t n = 0;
    int rc = mrp_login_header(&h->authorization, end, err);
    if (rc)
        return rc;
    h->list[n++] = (struct mrp_http_header){"User-Agent", AGENT};
    h->list[n++] = (struct mrp_http_header){"Accept", accept};
    if (type)
        h->list[n++] = (struct mrp_http_header){"Content-Type", type};
    if (gzip)
        h->list[n++] = (struct mrp_http_header){"Content-Encoding", "gzip"};
    if (h->authorization)
        h->list[n++] = (struct mrp_http_header){"Authorization", h->authorization};
    h->list[n] = (struct mrp_http_header){0};
    return MRP_OK;
}

static void free_response(struct mrp_http_response *r)
{
    mrp_http_response_done(r);
}

static bool has_type(const struct mrp_http_response *resp, const char *want)
{
    const char *type = mrp_headers_get(&resp->headers, "Content-Type");
    size_t n = strlen(want);
    return type && strncasecmp(type, want, n) == 0 && (!type[n] || strchr("; \t", type[n]));
}

static int wrong_type(const struct mrp_http_response *resp, const char *what, struct mrp_error *err)
{
    const char *type = mrp_headers_get(&resp->headers, "Content-Type");
    mrp_fail(err, MRP_E_REMOTE, "%s: the answer is \"%.80s\", not git's smart protocol", what,
             type ? type : "");
    return mrp_hint(err, "is the URL that of a git repository? dumb HTTP servers cannot be used");
}

/* A refusal in words that name the permission. */
static int refused(const struct mrp_end *end,
                   const struct mrp_http_response *resp,
                   const char *what,
                   enum mrp_service service,
                   struct mrp_error *err)
{
    int rc = mrp_http_status_error(resp, what, err);
    if (rc != MRP_E_AUTH)
        return rc;
    if (end->region)
        mrp_hint(
            err,
            "needs codecommit:%s on %s; a wrong region or a clock that is wrong is refused too",
            service == MRP_UPLOAD_PACK ? "GitPull" : "GitPush", end->name);
    else
        mrp_hint(err,
                 "set username and password or token for this end, or a git credential helper");
    return rc;
}

/* ---- the list of refs ---- */

struct listing {
    struct mrp_advert advert;
    struct mrp_refs *refs;
    enum mrp_service service;
    struct mrp_error err;
    char type[64];
};

static long
list_write(void *arg, const struct mrp_http_response *head, const char *data, size_t len)
{
    struct listing *l = arg;
    if (!has_type(head, l->type)) {
        l->err.code = MRP_E_REMOTE; /* told in words by the caller */
        return MRP_HTTP_ABORT;
    }
    return mrp_advert_feed(&l->advert, data, len, &l->err) ? MRP_HTTP_ABORT : (long)len;
}

static int list_restart(void *arg)
{
    struct listing *l = arg;
    mrp_advert_done(&l->advert);
    mrp_refs_done(l->refs);
    mrp_advert_init(&l->advert, l->refs, l->service, true);
    l->err = (struct mrp_error){0};
    return 0;
}

/* Where a redirect led is where the POSTs must go. */
static int follow(struct mrp_end *end, const char *url, struct mrp_error *err)
{
    const char *tail = url ? strstr(url, "/info/refs?service=") : NULL;
    if (!tail)
        return MRP_OK;
    size_t n = (size_t)(tail - url);
    if (strlen(end->url) == n && memcmp(end->url, url, n) == 0)
        return MRP_OK;
    char *base = mrp_strndup(url, n);
    if (!base)
        return mrp_fail(err, MRP_E_NOMEM, "follow a redirect");
    free(end->url);
    end->url = base;
    return MRP_OK;
}

static int list_once(struct mrp_end *end, struct listing *l, int *status, struct mrp_error *err)
{
    const char *name = mrp_service_name(l->service);
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s/info/refs?service=%s", end->url, name);
    mrp_auto(mrp_free_str) char *what = mrp_strf("read the refs of %s", end->text);
    mrp_auto(heads_done) struct heads heads = {0};
    mrp_auto(free_response) struct mrp_http_response resp = {0};
    if (!url || !what)
        return mrp_fail(err, MRP_E_NOMEM, "read the refs of %s", end->text);
    int rc = heads_make(&heads, end, NULL, "*/*", false, err);
    if (rc)
        return rc;
    struct mrp_http_sink sink = {.write = list_write, .restart = list_restart, .arg = l};
    struct mrp_http_request req = {.method = "GET",
                                   .url = url,
                                   .headers = heads.list,
                                   .sink = &sink,
                                   .what = what,
                                   .flags = MRP_HTTP_DECODE,
                                   .stall_ms = end->session->stall_ms};
    rc = mrp_http_do(&resp, end->session->http, &req, err);
    *status = resp.status;
    if (l->err.msg[0]) {
        *err = l->err;
        return mrp_wrap(err, "%s", what);
    }
    if (l->err.code || (!rc && resp.status == 200 && !has_type(&resp, l->type)))
        return wrong_type(&resp, what, err);
    if (rc)
        return rc;
    if (resp.status != 200)
        return refused(end, &resp, what, l->service, err);
    rc = mrp_advert_finish(&l->advert, err);
    return rc ? (int)mrp_wrap(err, "%s", what) : follow(end, resp.url, err);
}

static int http_list(struct mrp_end *end,
                     struct mrp_refs *out,
                     enum mrp_service service,
                     struct mrp_error *err)
{
    struct listing l = {.refs = out, .service = service};
    const char *name = mrp_service_name(service);
    mrp_copy(l.type, sizeof l.type,
             service == MRP_UPLOAD_PACK ? "application/x-git-upload-pack-advertisement"
                                        : "application/x-git-receive-pack-advertisement");
    mrp_log(end->session->stage, MRP_DEBUG, "%s: ask %s", end->text, name);
    mrp_advert_init(&l.advert, out, service, true);
    int status = 0;
    int rc = list_once(end, &l, &status, err);
    if (rc && status == 401 && end->login.kind == MRP_LOGIN_NONE) {
        struct mrp_error first = *err;
        rc = mrp_login_ask(end, err);
        if (rc == MRP_E_AUTH) {
            *err = first;
        } else if (!rc) {
            list_restart(&l);
            rc = list_once(end, &l, &status, err);
            mrp_login_tell(end, rc == MRP_OK);
        }
    }
    mrp_advert_done(&l.advert);
    if (rc)
        mrp_refs_done(out);
    return rc;
}

/* ---- the pack from the source ---- */

struct pulling {
    struct mrp_band band;
    struct mrp_hub *hub;
    struct mrp_error err;
    bool typed;
};

static int pull_pack(void *arg, const char *data, size_t len, struct mrp_error *err)
{
    return mrp_hub_add(((struct pulling *)arg)->hub, data, len, err);
}

static long
pull_write(void *arg, const struct mrp_http_response *head, const char *data, size_t len)
{
    struct pulling *p = arg;
    if (!p->typed && !has_type(head, "application/x-git-upload-pack-result")) {
        wrong_type(head, "fetch", &p->err);
        return MRP_HTTP_ABORT;
    }
    p->typed = true;
    if (!mrp_hub_wanted(p->hub)) {
        mrp_fail(&p->err, MRP_E_CANCELLED, "no destination takes the pack any more");
        return MRP_HTTP_ABORT;
    }
    /* Up to 4 bytes of a raw pack may have come with the piece before. */
    if (!mrp_hub_room(p->hub, len + 4))
        return MRP_HTTP_PAUSE;
    return mrp_band_feed(&p->band, data, len, &p->err) ? MRP_HTTP_ABORT : (long)len;
}

static int pull_run(struct mrp_end *end,
                    struct pulling *p,
                    struct mrp_http_response *resp,
                    const struct mrp_http_request *req,
                    struct mrp_error *err)
{
    mrp_auto(mrp_http_call_free) struct mrp_http_call *call = NULL;
    int rc = mrp_http_start(&call, resp, end->session->http, req, err);
    if (rc)
        return rc;
    mrp_hub_set_source(p->hub, call);
    rc = mrp_http_wait(call, err);
    mrp_hub_set_source(p->hub, NULL);
    if (p->err.code) {
        *err = p->err;
        return mrp_wrap(err, "%s", req->what);
    }
    return rc;
}

/* One POST; with `gzip` the request is compressed. */
static int pull_once(struct mrp_end *end,
                     struct mrp_pull_body *body,
                     struct mrp_hub *hub,
                     bool gzip,
                     int *status,
                     struct mrp_error *err)
{
    struct pulling p = {.hub = hub};
    p.band = (struct mrp_band){.side_band = body->side_band, .pack = pull_pack, .arg = &p};
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s/git-upload-pack", end->url);
    mrp_auto(mrp_free_str) char *what = mrp_strf("fetch from %s", end->text);
    mrp_auto(heads_done) struct heads heads = {0};
    mrp_auto(free_response) struct mrp_http_response resp = {0};
    mrp_auto(mrp_buf_done) struct mrp_buf packed = MRP_BUF_INIT(64 << 20);
    if (!url || !what)
        return mrp_fail(err, MRP_E_NOMEM, "fetch from %s", end->text);
    int rc = gzip ? mrp_pull_body_gzip(&packed, body, err) : MRP_OK;
    if (!rc)
        rc = heads_make(&heads, end, "application/x-git-upload-pack-request",
                        "application/x-git-upload-pack-result", gzip, err);
    if (rc)
        return rc;
    struct mrp_http_source source = {.read = mrp_pull_body_read,
                                     .rewind = mrp_pull_body_rewind,
                                     .arg = body,
                                     .length = (int64_t)mrp_pull_body_length(body)};
    /* Once a byte came the whole round is done again, with the refs read anew. */
    struct mrp_http_sink sink = {.write = pull_write, .arg = &p};
    struct mrp_http_request req = {.method = "POST",
                                   .url = url,
                                   .headers = heads.list,
                                   .body = gzip ? packed.data : NULL,
                                   .body_len = packed.len,
                                   .source = gzip ? NULL : &source,
                                   .sink = &sink,
                                   .what = what,
                                   .flags = MRP_HTTP_IDEMPOTENT | MRP_HTTP_NO_REDIRECT,
                                   .stall_ms = end->session->stall_ms};
    rc = pull_run(end, &p, &resp, &req, err);
    *status = resp.status;
    if (rc)
        return rc;
    if (resp.status != 200)
        return refused(end, &resp, what, MRP_UPLOAD_PACK, err);
    rc = mrp_band_finish(&p.band, err);
    if (!rc)
        rc = mrp_hub_close(hub, err);
    return rc ? (int)mrp_wrap(err, "%s", what) : MRP_OK;
}

/* "https://host:port" */
static char *server_of(const char *url)
{
    const char *host = strstr(url, "://");
    return host ? mrp_strndup(url, (size_t)(host + 3 - url) + strcspn(host + 3, "/")) : NULL;
}

static int http_pull(struct mrp_end *end,
                     const struct mrp_pull *pull,
                     struct mrp_hub *hub,
                     struct mrp_error *err)
{
    struct mrp_pull_body body;
    mrp_pull_body_init(&body, pull);
    struct mrp_session *s = end->session;
    mrp_auto(mrp_free_str) char *server = server_of(end->url);
    bool gzip = server && mrp_pull_body_length(&body) > GZIP_FROM &&
                !mrp_strv_has(s->plain_servers, server);
    int status = 0;
    int rc = pull_once(end, &body, hub, gzip, &status, err);
    if (!rc || !gzip || (status != 400 && status != 415))
        return rc;
    mrp_log(s->stage, MRP_DEBUG, "%s: HTTP %d to a compressed request, once more without",
            end->text, status);
    *err = (struct mrp_error){0};
    rc = pull_once(end, &body, hub, false, &status, err);
    return rc ? rc
           : mrp_strv_add(&s->plain_servers, server)
               ? mrp_fail(err, MRP_E_NOMEM, "remember a server")
               : MRP_OK;
}

/* ---- the pack to the destination ---- */

struct pushing {
    struct mrp_buf commands;
    size_t sent; /* of the commands */
    struct mrp_hub_reader *reader;
    struct mrp_report report;
    struct mrp_push *push;
    size_t next; /* where the next line of the report is expected */
    struct mrp_error err;
};

static void pushing_done(struct pushing *p)
{
    mrp_buf_done(&p->commands);
    mrp_report_done(&p->report);
}

static long push_read(void *arg, char *buf, size_t len)
{
    struct pushing *p = arg;
    size_t left = p->commands.len - p->sent;
    if (left) {
        size_t n = left < len ? left : len;
        memcpy(buf, p->commands.data + p->sent, n);
        p->sent += n;
        return (long)n;
    }
    return p->reader ? mrp_hub_read(p->reader, buf, len) : 0;
}

static long
push_write(void *arg, const struct mrp_http_response *head, const char *data, size_t len)
{
    struct pushing *p = arg;
    if (!has_type(head, "application/x-git-receive-pack-result")) {
        wrong_type(head, "push", &p->err);
        return MRP_HTTP_ABORT;
    }
    return mrp_report_feed(&p->report, data, len, &p->err) ? MRP_HTTP_ABORT : (long)len;
}

static int push_each(void *arg,
                     const char *ref,
                     size_t ref_len,
                     const char *words,
                     size_t words_len,
                     struct mrp_error *err)
{
    struct pushing *p = arg;
    return mrp_push_told(p->push, &p->next, ref, ref_len, words, words_len, err);
}

static int push_run(struct mrp_end *end,
                    struct pushing *p,
                    struct mrp_http_response *resp,
                    const struct mrp_http_request *req,
                    struct mrp_error *err)
{
    mrp_auto(mrp_http_call_free) struct mrp_http_call *call = NULL;
    int rc = mrp_http_start(&call, resp, end->session->http, req, err);
    if (rc)
        return rc;
    if (p->reader)
        p->reader->call = call;
    rc = mrp_http_wait(call, err);
    if (p->reader)
        p->reader->call = NULL;
    p->push->sent_bytes = resp->sent_bytes;
    if (p->reader && mrp_hub_broken(p->reader->hub, err))
        return err->code;
    if (p->err.code) {
        *err = p->err;
        return mrp_wrap(err, "%s", req->what);
    }
    return rc;
}

static int http_push(struct mrp_end *end,
                     struct mrp_push *push,
                     struct mrp_hub_reader *reader,
                     struct mrp_error *err)
{
    mrp_auto(pushing_done) struct pushing p = {
        .commands = MRP_BUF_INIT(64 << 20), .reader = reader, .push = push, .next = push->first};
    mrp_report_init(&p.report, push_each, &p);
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s/git-receive-pack", end->url);
    mrp_auto(mrp_free_str) char *what = mrp_strf("push to %s", end->text);
    mrp_auto(heads_done) struct heads heads = {0};
    mrp_auto(free_response) struct mrp_http_response resp = {0};
    if (!url || !what)
        return mrp_fail(err, MRP_E_NOMEM, "push to %s", end->text);
    int rc = mrp_push_commands(&p.commands, push, err);
    if (!rc && reader)
        rc = mrp_hub_wait_start(reader, err);
    if (!rc)
        rc = heads_make(&heads, end, "application/x-git-receive-pack-request",
                        "application/x-git-receive-pack-result", false, err);
    if (rc)
        return rc;
    struct mrp_http_source source = {.read = push_read, .arg = &p, .length = -1};
    if (!reader || mrp_hub_complete(reader->hub)) /* small: servers prefer to know the length */
        source.length = (int64_t)(p.commands.len + (reader ? mrp_hub_bytes(reader->hub) : 0));
    struct mrp_http_sink sink = {.write = push_write, .arg = &p};
    struct mrp_http_request req = {.method = "POST",
                                   .url = url,
                                   .headers = heads.list,
                                   .source = &source,
                                   .sink = &sink,
                                   .what = what,
                                   .flags = MRP_HTTP_NO_RETRY | MRP_HTTP_NO_REDIRECT,
                                   .retries = -1,
                                   .stall_ms = end->session->stall_ms};
    rc = push_run(end, &p, &resp, &req, err);
    if (rc)
        return rc;
    if (resp.status == 411) {
        mrp_http_status_error(&resp, what, err);
        return mrp_hint(err, "the server or a proxy before it takes no chunked requests");
    }
    if (resp.status != 200)
        return refused(end, &resp, what, MRP_RECEIVE_PACK, err);
    return mrp_push_finish(push, &p.report, what, err);
}

const struct mrp_end_ops mrp_end_http = {.name = "http",
                                         .list = http_list,
                                         .pull = http_pull,
                                         .push = http_push};
