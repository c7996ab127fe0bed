/* The HTTP engine against a server: answers, redirects, retries, limits, cancellation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server.h"

#include <mrpipe/auto.h>
#include <mrpipe/host.h>
#include <mrpipe/http.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct server *first;
static struct server *second;
static atomic_uint count; /* of the case at hand */
static char seen[8192];   /* what the last handler saw; read after the answer came */
static int release[2];    /* a pipe: the stalled answer goes on when it is closed */

static void note(const struct hit *hit)
{
    char auth[256] = "";
    char cookie[256] = "";
    char own[256] = "";
    hit_header(hit, "Authorization", auth, sizeof auth);
    hit_header(hit, "Cookie", cookie, sizeof cookie);
    hit_header(hit, "X-Own", own, sizeof own);
    snprintf(seen, sizeof seen, "%s %.200s auth=%s cookie=%s own=%s body=%.100s", hit->method,
             hit->target, auth, cookie, own, hit->body);
}

static void redirect_to(struct hit *hit, int status, const char *to)
{
    char fields[4096];
    snprintf(fields, sizeof fields, "Location: %s\r\n", to);
    answer(hit, status, fields, "moved");
}

static void redirects(struct hit *hit, const char *path)
{
    char url[256];
    if (mrp_starts(path, "/to-other")) {
        snprintf(url, sizeof url, "%s/end", server_url(second));
        redirect_to(hit, 307, url);
    } else if (mrp_starts(path, "/and-back")) {
        snprintf(url, sizeof url, "%s/end", server_url(first));
        redirect_to(hit, 307, url);
    } else if (mrp_starts(path, "/via-other")) {
        snprintf(url, sizeof url, "%s/and-back", server_url(second));
        redirect_to(hit, 302, url);
    } else if (mrp_starts(path, "/303")) {
        redirect_to(hit, 303, "/end?x");
    } else if (mrp_starts(path, "/301")) {
        redirect_to(hit, 301, "end");
    } else if (mrp_starts(path, "/308")) {
        redirect_to(hit, 308, "/end");
    } else if (mrp_starts(path, "/circle")) {
        redirect_to(hit, 302, strcmp(path, "/circle/a") == 0 ? "/circle/b" : "/circle/a");
    } else if (mrp_starts(path, "/deep")) {
        snprintf(url, sizeof url, "/deep/%u", atomic_fetch_add(&count, 1));
        redirect_to(hit, 302, url);
    } else if (mrp_starts(path, "/ftp")) {
        redirect_to(hit, 302, "ftp://127.0.0.1/x");
    } else if (mrp_starts(path, "/userinfo")) {
        redirect_to(hit, 302, "http://user:pw@127.0.0.1/x");
    } else {
        answer(hit, 302, "", "no location");
    }
}

static void failures(struct hit *hit, const char *path)
{
    unsigned n = atomic_fetch_add(&count, 1);
    if (mrp_starts(path, "/fail/503") && n < 2)
        answer(hit, 503, "", "busy");
    else if (mrp_starts(path, "/fail/429") && n < 1)
        answer(hit, 429, "x-amz-retry-after: 20\r\n", "slow down");
    else if (mrp_starts(path, "/fail/500"))
        answer(hit, 500, "", "{\"__type\":\"x#InternalError\",\"message\":\"oops\"}");
    else if (mrp_starts(path, "/fail/reset") && n < 2)
        answer_reset(hit);
    else if (mrp_starts(path, "/fail/cut") && n < 1)
        answer_bytes(hit, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 43),
            hit->close = true;
    else if (mrp_starts(path, "/fail/400") && n < 2)
        answer(hit, 400, "", "{\"__type\":\"ThrottlingException\"}");
    else if (mrp_starts(path, "/fail/garbage"))
        answer_bytes(hit, "what is this\r\n\r\n", 16), hit->close = true;
    else
        answer(hit, 200, "", "0123456789");
}

static void big(struct hit *hit, const char *path)
{
    if (mrp_starts(path, "/big/head")) {
        answer_bytes(hit, "HTTP/1.1 200 OK\r\n", 17);
        char line[1024];
        memset(line, 'x', sizeof line);
        memcpy(line, "X-Long: ", 8);
        memcpy(line + sizeof line - 2, "\r\n", 2);
        for (int i = 0; i < 400 && !hit->close; i++)
            answer_bytes(hit, line, sizeof line);
        hit->close = true;
        return;
    }
    char block[16384];
    memset(block, 'b', sizeof block);
    bool known = mrp_starts(path, "/big/known");
    const char *head = known ? "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"
                             : "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    if (mrp_starts(path, "/big/error"))
        head = "HTTP/1.1 404 No\r\nConnection: close\r\n\r\n";
    answer_bytes(hit, head, strlen(head));
    for (int i = 0; i < 64 && !hit->close; i++)
        answer_bytes(hit, block, sizeof block);
    hit->close = true;
}

static void handle(void *arg, struct hit *hit)
{
    (void)arg;
    const char *path = hit->target;
    note(hit);
    if (mrp_starts(path, "/r/") && !mrp_starts(path, "/r/end")) {
        redirects(hit, path + 2);
    } else if (mrp_starts(path, "/circle") || mrp_starts(path, "/deep") ||
               mrp_starts(path, "/and-back")) {
        redirects(hit, path);
    } else if (mrp_starts(path, "/fail/")) {
        failures(hit, path);
    } else if (mrp_starts(path, "/big/")) {
        big(hit, path);
    } else if (mrp_starts(path, "/stall")) {
        if (mrp_starts(path, "/stall/half"))
            answer_bytes(hit, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 43);
        char c;
        ssize_t n = read(release[0], &c, 1);
        hit->close = n <= 0;
    } else if (mrp_starts(path, "/gzip")) {
        static const char zipped[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9"
                                     "\xd7\x51\xc8\x40\xa2\x00\x9f\xa1\xca\x09\x13\x00\x00\x00";
        char head[128];
        int n = snprintf(head, sizeof head,
                         "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
                         sizeof zipped - 1);
        answer_bytes(hit, head, (size_t)n);
        answer_bytes(hit, zipped, sizeof zipped - 1);
    } else if (mrp_starts(path, "/status/")) {
        answer(hit, (path[8] - '0') * 100 + (path[9] - '0') * 10 + path[10] - '0',
               "X-A: 1\r\nX-A: 2\r\nX-Empty:\r\n",
               "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\\nway\"}]}");
    } else {
        answer(hit, 200, "X-Answer: yes\r\n", "hello");
    }
}

struct ask {
    const char *method;
    const char *path;
    const char *body;
    unsigned flags;
    int retries;
    int64_t timeout_ms;
    int64_t stall_ms;
    size_t max_body;
    struct mrp_stage *stage;
    int (*prepare)(void *arg, struct mrp_headers *headers, struct mrp_error *err);
    unsigned tries;
};

static struct mrp_http_response resp;
static struct mrp_error err;

static int go(struct ask ask)
{
    mrp_http_response_done(&resp);
    err = (struct mrp_error){0};
    atomic_store(&count, 0);
    mrp_auto(mrp_http_free) struct mrp_http *http = NULL;
    assert_int_equal(mrp_http_new(&http, ask.stage, &err), 0);
    mrp_auto(mrp_free_str) char *url = mrp_starts(ask.path, "/")
                                           ? mrp_strf("%s%s", server_url(first), ask.path)
                                           : mrp_strdup(ask.path);
    struct mrp_http_header headers[] = {
        {"Authorization", "Basic c2VjcmV0"}, {"Cookie", "a=b"}, {"X-Own", "mine"}, {NULL, NULL}};
    struct mrp_http_request req = {
        .method = ask.method,
        .url = url,
        .headers = headers,
        .body = ask.body,
        .body_len = ask.body ? strlen(ask.body) : 0,
        .flags = ask.flags,
        .retries = ask.retries,
        .timeout_ms = ask.timeout_ms,
        .stall_ms = ask.stall_ms,
        .max_body = ask.max_body,
        .prepare = ask.prepare,
        .prepare_arg = &ask.tries,
    };
    int rc = mrp_http_do(&resp, http, &req, &err);
    if (rc)
        assert_int_equal(rc, err.code);
    return rc;
}

static void plain(void **state)
{
    (void)state;
    assert_int_equal(go((struct ask){.path = "/x?y"}), 0);
    assert_int_equal(resp.status, 200);
    assert_string_equal(mrp_buf_str(&resp.body), "hello");
    assert_string_equal(mrp_headers_get(&resp.headers, "x-answer"), "yes");
    assert_int_equal(resp.received_bytes, 5);
    assert_int_equal(resp.tries, 1);
    assert_true(mrp_ends(resp.url, "/x?y"));
    assert_string_equal(seen, "GET /x?y auth=Basic c2VjcmV0 cookie=a=b own=mine body=");

    assert_int_equal(go((struct ask){.method = "POST", .path = "/p", .body = "data"}), 0);
    assert_true(mrp_ends(seen, "body=data"));
    assert_int_equal(resp.sent_bytes, 4);
    assert_int_equal(go((struct ask){.method = "PUT", .path = "/p"}), 0);
    assert_true(mrp_starts(seen, "PUT /p "));
    assert_int_equal(go((struct ask){.method = "DELETE", .path = "/p"}), 0);
    assert_true(mrp_starts(seen, "DELETE /p "));
    assert_int_equal(go((struct ask){.method = "HEAD", .path = "/p"}), 0);
    assert_int_equal(resp.body.len, 0);
    assert_string_equal(mrp_headers_get(&resp.headers, "Content-Length"), "5");
    assert_int_equal(go((struct ask){.path = "/a/../b//c"}), 0);
    assert_true(mrp_starts(seen, "GET /a/../b//c "));
}

static void statuses(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum mrp_code code;
    } cases[] = {{401, MRP_E_AUTH}, {403, MRP_E_AUTH}, {404, MRP_E_NOTFOUND}, {410, MRP_E_REMOTE}};
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        mrp_auto(mrp_free_str) char *path = mrp_strf("/status/%d", cases[i].status);
        assert_int_equal(go((struct ask){.path = path}), 0);
        assert_int_equal(resp.status, cases[i].status);
        assert_int_equal(mrp_http_status_error(&resp, "GET it", &err), cases[i].code);
        mrp_auto(mrp_free_str) char *wanted =
            mrp_strf("GET it: HTTP %d: DENIED: no way", resp.status);
        assert_string_equal(err.msg, wanted);
        assert_string_equal(err.api, "DENIED");
        assert_int_equal(err.upstream, cases[i].status);
        assert_string_equal(mrp_headers_get(&resp.headers, "x-empty"), "");
    }
}

static void bad_requests(void **state)
{
    (void)state;
    assert_int_equal(go((struct ask){.path = "ftp://127.0.0.1/"}), MRP_E_CONFIG);
    assert_int_equal(go((struct ask){.path = "http://user:pw@127.0.0.1/"}), MRP_E_CONFIG);
    assert_null(strstr(err.msg, "pw"));
    assert_int_equal(go((struct ask){.path = "nonsense"}), MRP_E_CONFIG);
    assert_int_equal(go((struct ask){.path = "http://127.0.0.1:1/", .retries = -1}), MRP_E_NET);
    assert_non_null(strstr(err.msg, "127.0.0.1:1"));
    assert_true(err.hint[0]);
}

static void follow(void **state)
{
    (void)state;
    assert_int_equal(go((struct ask){.path = "/r/301"}), 0);
    assert_true(mrp_starts(seen, "GET /r/end auth=Basic"));
    assert_true(mrp_ends(resp.url, "/r/end"));
    assert_int_equal(go((struct ask){.method = "POST", .path = "/r/303", .body = "b"}), 0);
    assert_true(mrp_starts(seen, "GET /end?x auth=Basic"));
    assert_int_equal(go((struct ask){.method = "POST", .path = "/r/308", .body = "b"}), 0);
    assert_true(mrp_starts(seen, "POST /end auth=Basic"));
    assert_true(mrp_ends(seen, "body=b"));
    assert_int_equal(go((struct ask){.path = "/r/301", .flags = MRP_HTTP_NO_REDIRECT}), 0);
    assert_int_equal(resp.status, 301);
    assert_string_equal(mrp_buf_str(&resp.body), "moved");
}

static void strangers(void **state)
{
    (void)state;
    assert_int_equal(go((struct ask){.path = "/r/to-other"}), 0);
    assert_string_equal(seen, "GET /end auth= cookie= own=mine body=");
    assert_true(mrp_starts(resp.url, server_url(second)));
    assert_int_equal(go((struct ask){.path = "/r/to-other", .flags = MRP_HTTP_TRUST_REDIRECT}), 0);
    assert_true(mrp_starts(seen, "GET /end auth=Basic"));
    /* what a stranger sends back to us gets no credentials either */
    assert_int_equal(go((struct ask){.path = "/r/via-other"}), 0);
    assert_string_equal(seen, "GET /end auth= cookie= own=mine body=");
}

static void refused_redirects(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *words;
    } cases[] = {{"/r/circle", "circle"},
                 {"/r/deep", "more than 10"},
                 {"/r/ftp", "not HTTP"},
                 {"/r/userinfo", "malformed"},
                 {"/r/nowhere", "without a Location"}};
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        assert_int_equal(go((struct ask){.path = cases[i].path}), MRP_E_REMOTE);
        if (!strstr(err.msg, cases[i].words))
            fail_msg("%s: %s", cases[i].path, err.msg);
    }
}

static int sign(void *arg, struct mrp_headers *headers, struct mrp_error *e)
{
    (void)e;
    unsigned *tries = arg;
    char text[32];
    snprintf(text, sizeof text, "try %u", ++*tries);
    return mrp_headers_set(headers, "X-Own", text);
}

static void retries(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        const char *path;
        unsigned flags;
        int status;
        unsigned tries;
    } cases[] = {
        {"GET", "/fail/503", 0, 200, 3},
        {"POST", "/fail/503", 0, 200, 3},
        {"POST", "/fail/429", 0, 200, 2},
        {"GET", "/fail/400", 0, 200, 3},
        {"GET", "/fail/cut", 0, 200, 2},
        {"GET", "/fail/reset", 0, 200, 3},
        {"POST", "/fail/reset", 0, 200, 3},
        {"POST", "/fail/500", 0, 500, 1},
        {"GET", "/fail/500", MRP_HTTP_NO_RETRY, 500, 1},
        {"POST", "/fail/429", MRP_HTTP_ONCE, 200, 2},
        {"POST", "/fail/400", MRP_HTTP_ONCE, 200, 3},
        {"POST", "/fail/503", MRP_HTTP_ONCE, 503, 1},
        {"POST", "/fail/500", MRP_HTTP_ONCE, 500, 1},
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        int rc = go((struct ask){.method = cases[i].method,
                                 .path = cases[i].path,
                                 .flags = cases[i].flags,
                                 .prepare = sign});
        if (rc)
            fail_msg("%s: %s", cases[i].path, err.msg);
        assert_int_equal(resp.status, cases[i].status);
        assert_int_equal(resp.tries, cases[i].tries);
        if (resp.status == 200)
            assert_string_equal(mrp_buf_str(&resp.body), "0123456789");
        mrp_auto(mrp_free_str) char *own = mrp_strf("own=try %u ", cases[i].tries);
        assert_non_null(strstr(seen, own));
    }
    assert_int_equal(
        go((struct ask){
            .method = "POST", .path = "/fail/500", .flags = MRP_HTTP_IDEMPOTENT, .retries = 1}),
        0);
    assert_int_equal(resp.tries, 2);
    assert_int_equal(go((struct ask){.method = "POST", .path = "/fail/cut"}), MRP_E_NET);
    assert_int_equal(go((struct ask){.path = "/fail/garbage", .retries = 1}), MRP_E_NET);
}

/* On a connection that is used again curl would send a second time by itself. */
static void once(void **state)
{
    (void)state;
    mrp_auto(mrp_http_free) struct mrp_http *http = NULL;
    mrp_auto(mrp_free_str) char *plain_url = mrp_strf("%s/end", server_url(first));
    mrp_auto(mrp_free_str) char *reset_url = mrp_strf("%s/fail/reset", server_url(first));
    assert_int_equal(mrp_http_new(&http, NULL, &err), 0);
    for (unsigned flags = 0; flags <= MRP_HTTP_ONCE; flags += MRP_HTTP_ONCE) {
        struct mrp_http_request before = {.url = plain_url};
        struct mrp_http_request req = {.method = "POST", .url = reset_url, .flags = flags};
        mrp_http_response_done(&resp);
        assert_int_equal(mrp_http_do(&resp, http, &before, &err), 0);
        mrp_http_response_done(&resp);
        atomic_store(&count, 0);
        unsigned hits = server_hits(first);
        assert_int_equal(mrp_http_do(&resp, http, &req, &err), flags ? MRP_E_NET : 0);
        assert_int_equal(server_hits(first) - hits, flags ? 1 : 3);
    }
    /* nothing was sent, so nothing can have been done */
    mrp_auto(mrp_http_free) struct mrp_http *other = NULL;
    assert_int_equal(mrp_http_new(&other, NULL, &err), 0);
    struct mrp_http_request refused = {
        .method = "POST", .url = "http://127.0.0.1:1/", .flags = MRP_HTTP_ONCE, .retries = 2};
    mrp_http_response_done(&resp);
    assert_int_equal(mrp_http_do(&resp, other, &refused, &err), MRP_E_NET);
    assert_int_equal(resp.tries, 3);
}

static void bounds(void **state)
{
    (void)state;
    assert_int_equal(go((struct ask){.path = "/big/known"}), MRP_E_REMOTE);
    assert_int_equal(go((struct ask){.path = "/big/unknown", .max_body = 100000}), MRP_E_REMOTE);
    assert_non_null(strstr(err.msg, "longer than 100000"));
    assert_int_equal(go((struct ask){.path = "/big/unknown"}), 0);
    assert_int_equal(resp.body.len, 1 << 20);
    assert_int_equal(go((struct ask){.path = "/big/head"}), MRP_E_REMOTE);
    assert_non_null(strstr(err.msg, "head"));
    assert_int_equal(go((struct ask){.path = "/big/error", .max_body = 10}), 0);
    assert_int_equal(resp.status, 404);
    assert_int_equal(resp.body.len, 64 << 10);
}

static void decoding(void **state)
{
    (void)state;
    assert_int_equal(go((struct ask){.path = "/gzip"}), 0);
    assert_int_equal((unsigned char)resp.body.data[0], 0x1f); /* as it came: digests need that */
    assert_int_equal(go((struct ask){.path = "/gzip", .flags = MRP_HTTP_DECODE}), 0);
    assert_string_equal(mrp_buf_str(&resp.body), "hello, hello, hello");
}

static void limits_of_time(void **state)
{
    (void)state;
    assert_int_equal(go((struct ask){.path = "/stall", .timeout_ms = 100}), MRP_E_TIMEOUT);
    assert_int_equal(go((struct ask){.path = "/stall/half", .timeout_ms = 100}), MRP_E_TIMEOUT);
    assert_int_equal(go((struct ask){.path = "/stall/half", .stall_ms = 100, .retries = -1}),
                     MRP_E_NET);
    assert_non_null(strstr(err.msg, "no byte for"));
    assert_int_equal(go((struct ask){.path = "/fail/500", .timeout_ms = 200}), 0);
    assert_int_equal(resp.status, 500);
}

static volatile sig_atomic_t stop;
static char events[1 << 16];

static void on_event(void *arg, const char *json, size_t len)
{
    (void)arg;
    size_t have = strlen(events);
    if (have + len + 2 < sizeof events) {
        memcpy(events + have, json, len);
        events[have + len] = '\n';
        events[have + len + 1] = '\0';
    }
    if (strstr(json, "requests")) /* the request is on its way: now the run is stopped */
        stop = strstr(events, "armed") != NULL;
}

static void cancelled(void **state)
{
    (void)state;
    static char *no_env[] = {NULL};
    static char *none[] = {NULL};
    struct mrp_stage_init init = {.id = "t",
                                  .run_id = "r",
                                  .region = "us-east-1",
                                  .primary = "us-east-1",
                                  .secondaries = none,
                                  .workdir = ".",
                                  .rundir = ".",
                                  .role_arn = "",
                                  .debug = "http",
                                  .env = no_env,
                                  .cancelled = &stop,
                                  .emit = on_event};
    struct mrp_stage *stage = mrp_stage_new(&init);
    assert_non_null(stage);
    assert_int_equal(go((struct ask){.path = "/x?token=abcdef", .stage = stage}), 0);
    assert_non_null(strstr(events, "GET"));
    assert_null(strstr(events, "abcdef"));
    assert_non_null(strstr(events, "\"bytes\""));
    mrp_log(stage, MRP_INFO, "armed");
    assert_int_equal(go((struct ask){.path = "/stall", .stage = stage}), MRP_E_CANCELLED);
    assert_int_equal(stop, 1);
    assert_int_equal(go((struct ask){.path = "/x", .stage = stage}), MRP_E_CANCELLED);
    assert_int_equal(go((struct ask){.path = "/x", .stage = stage, .flags = MRP_HTTP_CLEANUP}), 0);
    assert_int_equal(resp.status, 200);
    mrp_stage_free(stage);
}

static void connections_are_kept(void **state)
{
    (void)state;
    mrp_auto(mrp_http_free) struct mrp_http *http = NULL;
    assert_int_equal(mrp_http_new(&http, NULL, &err), 0);
    unsigned before = server_connections(first);
    for (int i = 0; i < 20; i++) {
        struct mrp_http_response r = {0};
        struct mrp_http_request req = {.url = server_url(first)};
        assert_int_equal(mrp_http_do(&r, http, &req, &err), 0);
        mrp_http_response_done(&r);
    }
    assert_int_equal(server_connections(first) - before, 1);
}

static int start_all(void **state)
{
    (void)state;
    first = server_start(handle, NULL);
    second = server_start(handle, NULL);
    return pipe(release);
}

static int stop_all(void **state)
{
    (void)state;
    mrp_http_response_done(&resp);
    close(release[1]); /* the stalled answers end */
    server_stop(first);
    server_stop(second);
    close(release[0]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(statuses),
        cmocka_unit_test(bad_requests),
        cmocka_unit_test(follow),
        cmocka_unit_test(strangers),
        cmocka_unit_test(refused_redirects),
        cmocka_unit_test(retries),
        cmocka_unit_test(once),
        cmocka_unit_test(bounds),
        cmocka_unit_test(decoding),
        cmocka_unit_test(limits_of_time),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(connections_are_kept),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
