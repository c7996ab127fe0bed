/* Bodies that flow: sources and sinks, pauses, resends, relays, limits on speed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server.h"

#include <mrpipe/auto.h>
#include <mrpipe/digest.h>
#include <mrpipe/http.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING ((size_t)256 << 10)
#define TOTAL ((size_t)20 << 20)

static struct server *server;
static struct mrp_http *http;
static struct mrp_error err;
static atomic_size_t got_bytes;
static atomic_bool got_chunked;
static atomic_uint failures;

static char byte_at(size_t i)
{
    return (char)('a' + i % 23);
}

static void handle(void *arg, struct hit *hit)
{
    (void)arg;
    atomic_store(&got_bytes, hit->body_len);
    atomic_store(&got_chunked, hit->chunked);
    if (mrp_starts(hit->target, "/refuse")) {
        answer(hit, 403, "", "no");
        return;
    }
    if (atomic_load(&failures) > 0) {
        atomic_fetch_sub(&failures, 1);
        if (strcmp(hit->method, "PUT") == 0)
            answer(hit, 503, "x-amz-retry-after: 1\r\n", "");
        else
            answer_bytes(hit, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc", 42),
                hit->close = true;
        return;
    }
    if (strcmp(hit->method, "PUT") == 0) {
        answer(hit, 201, "", "");
        return;
    }
    char head[128];
    int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", TOTAL);
    answer_bytes(hit, head, (size_t)n);
    char block[23 * 1000];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = byte_at(i);
    for (size_t sent = 0; sent < TOTAL && !hit->close; sent += sizeof block)
        answer_bytes(hit, block, TOTAL - sent < sizeof block ? TOTAL - sent : sizeof block);
}

struct pattern {
    size_t at;
    size_t end;
    size_t step;
    unsigned pauses; /* how often to pause still */
    unsigned rewinds;
    long stop_with; /* at the end: 0, or MRP_HTTP_ABORT */
    struct mrp_http_call *call;
};

static long produce(void *arg, char *buf, size_t len)
{
    struct pattern *p = arg;
    if (p->pauses && p->at >= p->end / 2) {
        p->pauses--;
        mrp_http_resume(p->call);
        return MRP_HTTP_PAUSE;
    }
    if (p->at == p->end)
        return p->stop_with;
    size_t n = p->end - p->at < len ? p->end - p->at : len;
    n = p->step && p->step < n ? p->step : n;
    for (size_t i = 0; i < n; i++)
        buf[i] = byte_at(p->at + i);
    p->at += n;
    return (long)n;
}

static int rewind_pattern(void *arg)
{
    struct pattern *p = arg;
    p->at = 0;
    p->rewinds++;
    return 0;
}

static int put(struct pattern *p, const char *path, int64_t length, bool can_rewind, int *status)
{
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s%s", server_url(server), path);
    struct mrp_http_source source = {
        .read = produce, .rewind = can_rewind ? rewind_pattern : NULL, .arg = p, .length = length};
    struct mrp_http_request req = {.method = "PUT", .url = url, .source = &source};
    struct mrp_http_response resp = {0};
    err = (struct mrp_error){0};
    int rc = mrp_http_start(&p->call, &resp, http, &req, &err);
    if (rc == 0)
        rc = mrp_http_wait(p->call, &err);
    *status = resp.status;
    if (rc == 0 && resp.status == 201)
        assert_true(resp.sent_bytes >= p->end);
    mrp_http_call_free(&p->call);
    mrp_http_response_done(&resp);
    return rc;
}

static void uploads(void **state)
{
    (void)state;
    int status = 0;
    struct pattern p = {.end = 3000000, .step = 70000, .pauses = 5};
    assert_int_equal(put(&p, "/", 3000000, false, &status), 0);
    assert_int_equal(status, 201);
    assert_int_equal(atomic_load(&got_bytes), 3000000);
    assert_false(atomic_load(&got_chunked));
    p = (struct pattern){.end = 3000001, .pauses = 2};
    assert_int_equal(put(&p, "/", -1, false, &status), 0);
    assert_int_equal(atomic_load(&got_bytes), 3000001);
    assert_true(atomic_load(&got_chunked));
    p = (struct pattern){.end = 0};
    assert_int_equal(put(&p, "/", 0, false, &status), 0);
    assert_int_equal(atomic_load(&got_bytes), 0);
}

static void resends(void **state)
{
    (void)state;
    int status = 0;
    struct pattern p = {.end = 100000};
    atomic_store(&failures, 2);
    assert_int_equal(put(&p, "/", 100000, true, &status), 0);
    assert_int_equal(status, 201);
    assert_int_equal(p.rewinds, 2);
    atomic_store(&failures, 1); /* a body that cannot be sent twice: the answer is the caller's */
    p = (struct pattern){.end = 100000};
    assert_int_equal(put(&p, "/", 100000, false, &status), 0);
    assert_int_equal(status, 503);
    assert_int_equal(put(&p, "/refuse", -1, false, &status), 0);
    assert_int_equal(status, 403);
}

static void broken_sources(void **state)
{
    (void)state;
    int status = 0;
    struct pattern p = {.end = 1000};
    assert_int_equal(put(&p, "/", 2000, true, &status), MRP_E_IO);
    assert_non_null(strstr(err.msg, "ended after 1000 of 2000"));
    p = (struct pattern){.end = 1000, .stop_with = MRP_HTTP_ABORT};
    assert_int_equal(put(&p, "/", -1, true, &status), MRP_E_IO);
}

struct check {
    size_t at;
    unsigned restarts;
    unsigned pauses;
    size_t stop_at; /* 0: never */
    struct mrp_http_call *call;
};

static long consume(void *arg, const struct mrp_http_response *head, const char *data, size_t len)
{
    struct check *c = arg;
    assert_int_equal(head->status, 200);
    if (c->pauses && c->at > TOTAL / 2) {
        c->pauses--;
        mrp_http_resume(c->call);
        return MRP_HTTP_PAUSE;
    }
    if (c->stop_at && c->at >= c->stop_at)
        return MRP_HTTP_ABORT;
    for (size_t i = 0; i < len; i += 997)
        if (data[i] != byte_at((c->at + i) % 23000))
            return MRP_HTTP_ABORT;
    c->at += len;
    return (long)len;
}

static int restart(void *arg)
{
    struct check *c = arg;
    c->at = 0;
    c->restarts++;
    return 0;
}

static int fetch(struct check *c, bool can_restart)
{
    struct mrp_http_sink sink = {
        .write = consume, .restart = can_restart ? restart : NULL, .arg = c};
    struct mrp_http_request req = {.url = server_url(server), .sink = &sink};
    struct mrp_http_response resp = {0};
    err = (struct mrp_error){0};
    int rc = mrp_http_start(&c->call, &resp, http, &req, &err);
    if (rc == 0)
        rc = mrp_http_wait_headers(c->call, &err);
    if (rc == 0)
        rc = mrp_http_wait(c->call, &err);
    assert_int_equal(resp.body.len, 0);
    mrp_http_call_free(&c->call);
    mrp_http_response_done(&resp);
    return rc;
}

static void downloads(void **state)
{
    (void)state;
    struct check c = {.pauses = 3};
    assert_int_equal(fetch(&c, false), 0);
    assert_int_equal(c.at, TOTAL);
    atomic_store(&failures, 1);
    c = (struct check){0};
    assert_int_equal(fetch(&c, true), 0);
    assert_int_equal(c.restarts, 1);
    assert_int_equal(c.at, TOTAL);
    atomic_store(&failures, 1);
    c = (struct check){0};
    assert_int_equal(fetch(&c, false), MRP_E_NET);
    c = (struct check){.stop_at = 100000};
    assert_int_equal(fetch(&c, true), MRP_E_IO);
}

/* From a download into an upload through a ring that is much smaller than the body. */
struct relay {
    char *ring;
    size_t read;
    size_t written;
    bool end;
    size_t most;
    struct mrp_http_call *down;
    struct mrp_http_call *up;
};

static long relay_in(void *arg, const struct mrp_http_response *head, const char *data, size_t len)
{
    struct relay *r = arg;
    (void)head;
    size_t used = r->written - r->read;
    if (RING - used < len)
        return MRP_HTTP_PAUSE;
    for (size_t i = 0; i < len; i++)
        r->ring[(r->written + i) % RING] = data[i];
    r->written += len;
    r->most = used + len > r->most ? used + len : r->most;
    mrp_http_resume(r->up);
    return (long)len;
}

static long relay_out(void *arg, char *buf, size_t len)
{
    struct relay *r = arg;
    size_t used = r->written - r->read;
    if (used == 0)
        return r->end || r->written == TOTAL ? 0 : MRP_HTTP_PAUSE;
    size_t n = used < len ? used : len;
    for (size_t i = 0; i < n; i++)
        buf[i] = r->ring[(r->read + i) % RING];
    r->read += n;
    mrp_http_resume(r->down);
    return (long)n;
}

static int relay_one(void *arg, struct mrp_error *e)
{
    struct relay *r = arg;
    struct mrp_http_sink sink = {.write = relay_in, .arg = r};
    struct mrp_http_source source = {.read = relay_out, .arg = r, .length = (int64_t)TOTAL};
    struct mrp_http_request get = {.url = server_url(server), .sink = &sink};
    struct mrp_http_request up = {.method = "PUT", .url = server_url(server), .source = &source};
    struct mrp_http_response a = {0};
    struct mrp_http_response b = {0};
    int rc = mrp_http_start(&r->up, &b, http, &up, e);
    if (rc == 0)
        rc = mrp_http_start(&r->down, &a, http, &get, e);
    if (rc == 0)
        rc = mrp_http_wait(r->down, e);
    if (rc == 0)
        rc = mrp_http_wait(r->up, e);
    if (rc == 0 && b.status != 201)
        rc = mrp_fail(e, MRP_E_REMOTE, "status %d", b.status);
    mrp_http_call_free(&r->up);
    mrp_http_call_free(&r->down);
    mrp_http_response_done(&a);
    mrp_http_response_done(&b);
    return rc;
}

static void relays(void **state)
{
    (void)state;
    struct relay r[4] = {{0}};
    mrp_http_limit_connections(http, 3, 0); /* fewer than there are halves: no deadlock */
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    for (size_t i = 0; i < MRP_COUNT(r); i++) {
        r[i].ring = malloc(RING);
        assert_int_equal(mrp_group_spawn(group, relay_one, &r[i], &err), 0);
    }
    if (mrp_group_wait(group, &err) != 0)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < MRP_COUNT(r); i++) {
        assert_int_equal(r[i].read, TOTAL);
        assert_true(r[i].most <= RING);
        free(r[i].ring);
    }
    assert_int_equal(atomic_load(&got_bytes), TOTAL);
    mrp_http_limit_connections(http, 0, 0);
}

static void bandwidth(void **state)
{
    (void)state;
    mrp_http_limit_bandwidth(http, 10u << 20);
    int status = 0;
    struct pattern p = {.end = 5u << 20};
    int64_t begun = mrp_now_ms();
    assert_int_equal(put(&p, "/", 5 << 20, false, &status), 0);
    mrp_http_limit_bandwidth(http, 0);
    assert_true(mrp_now_ms() - begun >= 300); /* half a second less the first burst */
    assert_int_equal(atomic_load(&got_bytes), 5u << 20);
}

static int start_all(void **state)
{
    (void)state;
    server = server_start(handle, NULL);
    return mrp_http_new(&http, NULL, &err);
}

static int stop_all(void **state)
{
    (void)state;
    mrp_http_free(&http);
    server_stop(server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uploads),   cmocka_unit_test(resends), cmocka_unit_test(broken_sources),
        cmocka_unit_test(downloads), cmocka_unit_test(relays),  cmocka_unit_test(bandwidth),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
