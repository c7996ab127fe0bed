/* Tasks: groups, limits, nesting, waits, failures, descriptors. */
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

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct server *server;
static struct mrp_http *http;
static struct mrp_error err;

static void handle(void *arg, struct hit *hit)
{
    (void)arg;
    answer(hit, 200, "", "ok");
}

struct counter {
    unsigned running;
    unsigned most;
    unsigned ended;
    int fail_at; /* -1: none */
    unsigned order[64];
    struct mrp_waitq q;
    bool open;
};

static int get(struct mrp_error *e)
{
    struct mrp_http_response r = {0};
    struct mrp_http_request req = {.url = server_url(server)};
    int rc = mrp_http_do(&r, http, &req, e);
    if (rc == 0 && (r.status != 200 || strcmp(mrp_buf_str(&r.body), "ok") != 0))
        rc = mrp_fail(e, MRP_E_BUG, "wrong answer");
    mrp_http_response_done(&r);
    return rc;
}

static int ask(void *arg, struct mrp_error *e)
{
    struct counter *c = arg;
    c->running++;
    c->most = c->running > c->most ? c->running : c->most;
    int rc = get(e);
    if (rc == 0)
        rc = get(e);
    c->running--;
    c->ended++;
    if (rc == 0 && (int)c->ended == c->fail_at)
        rc = mrp_fail(e, MRP_E_REMOTE, "task %u fails", c->ended);
    return rc;
}

static void many(void **state)
{
    (void)state;
    struct counter c = {.fail_at = -1};
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 7, &err), 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(mrp_group_spawn(group, ask, &c, &err), 0);
    assert_int_equal(mrp_group_wait(group, &err), 0);
    assert_int_equal(c.ended, 200);
    assert_int_equal(c.most, 7);
}

static void first_failure(void **state)
{
    (void)state;
    struct counter c = {.fail_at = 3};
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 4, &err), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(mrp_group_spawn(group, ask, &c, &err), 0);
    assert_int_equal(mrp_group_wait(group, &err), MRP_E_REMOTE);
    assert_string_equal(err.msg, "task 3 fails");
    assert_int_equal(c.ended, 20);

    c = (struct counter){.fail_at = 3};
    mrp_group_stop_on_error(group);
    int rc = 0;
    int started = 0;
    for (; started < 20 && rc == 0; started++)
        rc = mrp_group_spawn(group, ask, &c, &err);
    assert_int_equal(rc, MRP_E_CANCELLED);
    assert_non_null(strstr(err.msg, "task 3 fails"));
    assert_true(started < 20);
    assert_int_equal(mrp_group_wait(group, &err), MRP_E_REMOTE);
    assert_int_equal(c.running, 0);
}

/* The starter's own failure stays; a task's takes the place of success and of "stopped". */
static void finish(void **state)
{
    (void)state;
    struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_finish(&group, 0, &err), 0);
    assert_int_equal(mrp_group_finish(&group, MRP_E_IO, &err), MRP_E_IO);
    const int begins[] = {0, MRP_E_CANCELLED, MRP_E_CONFIG};
    const int ends[] = {MRP_E_REMOTE, MRP_E_REMOTE, MRP_E_CONFIG};
    for (size_t i = 0; i < 3; i++) {
        struct counter c = {.fail_at = 3};
        assert_int_equal(mrp_group_new(&group, http, 4, &err), 0);
        for (int n = 0; n < 10; n++)
            assert_int_equal(mrp_group_spawn(group, ask, &c, &err), 0);
        mrp_fail(&err, MRP_E_CONFIG, "own");
        assert_int_equal(mrp_group_finish(&group, begins[i], &err), ends[i]);
        assert_string_equal(err.msg, i == 2 ? "own" : "task 3 fails");
        assert_int_equal(c.ended, 10);
        assert_null(group);
    }
    struct counter good = {.fail_at = -1};
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    assert_int_equal(mrp_group_spawn(group, ask, &good, &err), 0);
    assert_int_equal(mrp_group_finish(&group, 0, &err), 0);
    assert_int_equal(good.ended, 1);
}

struct nest {
    struct counter *counter;
    int depth;
};

static int nested(void *arg, struct mrp_error *e)
{
    struct nest *nest = arg;
    if (nest->depth == 0)
        return ask(nest->counter, e);
    struct nest below = {nest->counter, nest->depth - 1};
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, http, 2, e);
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = mrp_group_spawn(group, nested, &below, e);
    return rc ? rc : mrp_group_wait(group, e);
}

static void nesting(void **state)
{
    (void)state;
    struct counter c = {.fail_at = -1};
    struct nest nest = {&c, 3};
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(mrp_group_spawn(group, nested, &nest, &err), 0);
    assert_int_equal(mrp_group_wait(group, &err), 0);
    assert_int_equal(c.ended, 81);
    assert_int_equal(c.most, 24);
}

static int for_ever(void *arg, struct mrp_error *e)
{
    struct counter *c = arg;
    int rc = mrp_http_sleep(http, 3600 * 1000, e);
    c->ended++;
    return rc;
}

static int parent(void *arg, struct mrp_error *e)
{
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, http, 0, e);
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = mrp_group_spawn(group, for_ever, arg, e);
    return rc ? rc : mrp_group_wait(group, e);
}

static int fails(void *arg, struct mrp_error *e)
{
    (void)arg;
    int rc = get(e);
    return rc ? rc : mrp_fail(e, MRP_E_CONFLICT, "no");
}

static void a_stop_reaches_the_children(void **state)
{
    (void)state;
    struct counter c = {0};
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    mrp_group_stop_on_error(group);
    assert_int_equal(mrp_group_spawn(group, parent, &c, &err), 0);
    assert_int_equal(mrp_group_spawn(group, parent, &c, &err), 0);
    assert_int_equal(mrp_group_spawn(group, fails, NULL, &err), 0);
    assert_int_equal(mrp_group_wait(group, &err), MRP_E_CONFLICT);
    assert_int_equal(c.ended, 6);
}

static void freeing_ends_them(void **state)
{
    (void)state;
    struct counter c = {0};
    struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(mrp_group_spawn(group, for_ever, &c, &err), 0);
    mrp_group_free(&group);
    assert_int_equal(c.ended, 5);
    assert_null(group);
    mrp_group_free(&group);
}

static int waits(void *arg, struct mrp_error *e)
{
    struct counter *c = arg;
    while (!c->open) {
        int rc = mrp_waitq_wait(&c->q, http, e);
        if (rc)
            return rc;
    }
    c->ended++;
    return 0;
}

static int opens(void *arg, struct mrp_error *e)
{
    struct counter *c = arg;
    int rc = get(e);
    mrp_waitq_wake(&c->q, http); /* a false alarm: they wait again */
    if (rc == 0)
        rc = get(e);
    assert_int_equal(c->ended, 0);
    c->open = true;
    mrp_waitq_wake(&c->q, http);
    return rc;
}

static void wait_queue(void **state)
{
    (void)state;
    struct counter c = {0};
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(mrp_group_spawn(group, waits, &c, &err), 0);
    assert_int_equal(mrp_group_spawn(group, opens, &c, &err), 0);
    assert_int_equal(waits(&c, &err), 0); /* from outside too */
    assert_int_equal(mrp_group_wait(group, &err), 0);
    assert_int_equal(c.ended, 11);
}

static void nobody_left_to_wake(void **state)
{
    (void)state;
    struct counter c = {0};
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(mrp_group_spawn(group, waits, &c, &err), 0);
    assert_int_equal(mrp_group_wait(group, &err), MRP_E_BUG);
    assert_int_equal(waits(&c, &err), MRP_E_BUG);
    assert_int_equal(get(&err), 0); /* the engine still works */
}

static int writes(void *arg, struct mrp_error *e)
{
    int rc = get(e);
    return write(*(int *)arg, "x", 1) == 1 ? rc : mrp_fail(e, MRP_E_IO, "write");
}

static void descriptors(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(mrp_http_wait_fd(http, fds[0], false, 20, &err), 0);
    assert_int_equal(mrp_http_wait_fd(http, fds[1], true, 1000, &err), 1);
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    assert_int_equal(mrp_group_spawn(group, writes, &fds[1], &err), 0);
    assert_int_equal(mrp_http_wait_fd(http, fds[0], false, -1, &err), 1);
    assert_int_equal(mrp_group_wait(group, &err), 0);
    close(fds[0]);
    close(fds[1]);
}

static int sleeps(void *arg, struct mrp_error *e)
{
    struct counter *c = arg;
    unsigned me = c->running++;
    int rc = mrp_http_sleep(http, 90 - 30 * (int64_t)me, e);
    c->order[c->ended++] = me;
    return rc;
}

static void sleepers_wake_in_order(void **state)
{
    (void)state;
    struct counter c = {0};
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(mrp_group_spawn(group, sleeps, &c, &err), 0);
    assert_int_equal(mrp_group_wait(group, &err), 0);
    assert_int_equal(c.order[0], 2);
    assert_int_equal(c.order[2], 0);
    assert_int_equal(mrp_http_sleep(http, 1, &err), 0);
}

static int two_step(void *arg, struct mrp_error *e)
{
    (void)arg;
    struct mrp_http_response r[2] = {{0}, {0}};
    struct mrp_http_call *call[2] = {NULL, NULL};
    struct mrp_http_request req = {.url = server_url(server)};
    int rc = mrp_http_start(&call[0], &r[0], http, &req, e);
    if (rc == 0)
        rc = mrp_http_start(&call[1], &r[1], http, &req, e);
    if (rc == 0)
        rc = mrp_http_wait_headers(call[1], e);
    if (rc == 0)
        rc = mrp_http_wait(call[0], e);
    if (rc == 0 && !mrp_http_ended(call[0]))
        rc = mrp_fail(e, MRP_E_BUG, "not ended");
    mrp_http_call_free(&call[0]);
    mrp_http_call_free(&call[1]); /* maybe still running */
    mrp_http_response_done(&r[0]);
    mrp_http_response_done(&r[1]);
    return rc;
}

static void calls_in_two_steps(void **state)
{
    (void)state;
    assert_int_equal(two_step(NULL, &err), 0);
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(mrp_group_spawn(group, two_step, NULL, &err), 0);
    assert_int_equal(mrp_group_wait(group, &err), 0);
}

static volatile sig_atomic_t stop;
static struct mrp_http *staged;

static int sleeps_staged(void *arg, struct mrp_error *e)
{
    struct counter *c = arg;
    int rc = c->running++ % 2 ? mrp_http_sleep(staged, 3600 * 1000, e)
                              : mrp_waitq_wait(&c->q, staged, e);
    c->ended++;
    return rc;
}

static int stops(void *arg, struct mrp_error *e)
{
    (void)arg;
    int rc = mrp_http_sleep(staged, 10, e);
    stop = 1;
    return rc;
}

static int undoes(void *arg, struct mrp_error *e)
{
    (void)arg;
    int rc = mrp_http_sleep(staged, 3600 * 1000, e);
    if (rc != MRP_E_CANCELLED)
        return rc;
    struct mrp_http_response r = {0};
    struct mrp_http_request req = {.url = server_url(server), .flags = MRP_HTTP_CLEANUP};
    rc = mrp_http_do(&r, staged, &req, e);
    if (rc == 0 && r.status != 200)
        rc = mrp_fail(e, MRP_E_BUG, "no clean-up");
    mrp_http_response_done(&r);
    return rc ? rc : MRP_E_CANCELLED;
}

static void the_run_is_stopped(void **state)
{
    (void)state;
    static char *none[] = {NULL};
    struct mrp_stage_init init = {.id = "t",
                                  .run_id = "r",
                                  .region = "us-east-1",
                                  .primary = "us-east-1",
                                  .secondaries = none,
                                  .workdir = ".",
                                  .rundir = ".",
                                  .role_arn = "",
                                  .cancelled = &stop};
    struct mrp_stage *stage = mrp_stage_new(&init);
    assert_int_equal(mrp_http_new(&staged, stage, &err), 0);
    struct counter c = {0};
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, staged, 0, &err), 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(mrp_group_spawn(group, sleeps_staged, &c, &err), 0);
    assert_int_equal(mrp_group_spawn(group, undoes, NULL, &err), 0);
    assert_int_equal(mrp_group_spawn(group, stops, NULL, &err), 0);
    assert_int_equal(mrp_group_wait(group, &err), MRP_E_CANCELLED);
    assert_int_equal(c.ended, 6);
    assert_int_equal(mrp_group_spawn(group, stops, NULL, &err), MRP_E_CANCELLED);
    mrp_group_free(&group);
    mrp_http_free(&staged);
    mrp_stage_free(stage);
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
        cmocka_unit_test(many),
        cmocka_unit_test(first_failure),
        cmocka_unit_test(finish),
        cmocka_unit_test(nesting),
        cmocka_unit_test(a_stop_reaches_the_children),
        cmocka_unit_test(freeing_ends_them),
        cmocka_unit_test(wait_queue),
        cmocka_unit_test(nobody_left_to_wake),
        cmocka_unit_test(descriptors),
        cmocka_unit_test(sleepers_wake_in_order),
        cmocka_unit_test(calls_in_two_steps),
        cmocka_unit_test(the_run_is_stopped),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
