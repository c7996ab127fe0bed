/* Transfers that wait: held, paused, refused and given up meanwhile; many of them; few descriptors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server.h"

#include <mrpipe/auto.h>
#include <mrpipe/http.h>
#include <mrpipe/text.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BODY = 1 << 20, LIMIT_MS = 10000, SLOW = 1000, MANY = 300, FEW = 40 };

static struct server *server;
static struct mrp_http *http;
static struct mrp_error err;

/* "/cut": half of the body, then the end. */
static void handle(void *arg, struct hit *hit)
{
    (void)arg;
    if (strcmp(hit->method, "GET") != 0 || mrp_starts(hit->target, "/small")) {
        answer(hit, 200, "", "small");
        return;
    }
    bool cut = mrp_starts(hit->target, "/cut");
    char *all = calloc(1, BODY + 128);
    int n = snprintf(all, 128, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY);
    memset(all + n, 0, BODY);
    answer_bytes(hit, all, (size_t)n + (cut ? BODY / 2 : BODY));
    free(all);
    hit->close = cut;
}

enum plan { PAUSE_THEN_STOP, HOLD_THEN_STOP, HOLD, HOLD_AND_RESUME, THROTTLED_STOP };

struct catcher {
    enum plan plan;
    struct mrp_http_call *call;
    struct mrp_waitq turn;
    size_t got;
    unsigned asked;
    unsigned holds;
    bool held;
    bool resumed;
};

static long take(void *arg, const struct mrp_http_response *head, const char *data, size_t len)
{
    struct catcher *c = arg;
    (void)head, (void)data;
    c->asked++;
    if (c->plan == THROTTLED_STOP)
        return c->asked > 2 ? MRP_HTTP_ABORT : (long)len;
    if (c->plan == PAUSE_THEN_STOP) {
        mrp_waitq_wake(&c->turn, http);
        return c->asked == 1 ? MRP_HTTP_PAUSE : MRP_HTTP_ABORT;
    }
    if (c->plan == HOLD_THEN_STOP && c->resumed)
        return MRP_HTTP_ABORT;
    c->got += len;
    c->holds++;
    mrp_http_hold(c->call);
    if (c->plan == HOLD_AND_RESUME) {
        mrp_http_resume(c->call);
        return (long)len;
    }
    c->held = true;
    mrp_waitq_wake(&c->turn, http);
    return (long)len;
}

/* Start it; the test goes on when the first piece was offered. */
static void start(struct catcher *c, struct mrp_http_response *resp, const char *path)
{
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s%s", server_url(server), path);
    struct mrp_http_sink sink = {.write = take, .arg = c};
    struct mrp_http_request req = {
        .url = url, .sink = &sink, .timeout_ms = LIMIT_MS, .flags = MRP_HTTP_NO_RETRY};
    err = (struct mrp_error){0};
    assert_int_equal(mrp_http_start(&c->call, resp, http, &req, &err), 0);
}

static int get_small(void *arg, struct mrp_error *e)
{
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s/small", server_url(server));
    struct mrp_http_request req = {.url = url};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    unsigned *done = arg;
    int rc = mrp_http_do(&resp, http, &req, e);
    *done += rc == 0 && resp.body.len == 5;
    return rc;
}

static unsigned get_many(unsigned count)
{
    unsigned done = 0;
    struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, count, &err), 0);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(mrp_group_spawn(group, get_small, &done, &err), 0);
    if (mrp_group_finish(&group, 0, &err) != 0)
        print_message("%s\n", err.msg);
    return done;
}

/* What curl has kept is given by the resume itself: a receiver that stops there ends the call. */
static void stops_what_was_kept(void **state)
{
    (void)state;
    struct mrp_http_response resp = {0};
    struct catcher c = {.plan = PAUSE_THEN_STOP};
    assert_int_equal(get_many(1), 1); /* on that connection no timer is left that could help */
    start(&c, &resp, "/");
    assert_int_equal(mrp_waitq_wait(&c.turn, http, &err), 0);
    mrp_http_resume(c.call);
    assert_int_equal(mrp_http_wait(c.call, &err), MRP_E_IO);
    mrp_http_call_free(&c.call);
    mrp_http_response_done(&resp);
}

static void stops_what_was_held(void **state)
{
    (void)state;
    struct mrp_http_response resp = {0};
    struct catcher c = {.plan = HOLD_THEN_STOP};
    assert_int_equal(get_many(1), 1);
    start(&c, &resp, "/");
    for (int turns = 0; turns < 3; turns++) /* of the loop: what a hold sets off is over */
        assert_int_equal(mrp_http_sleep(http, 1, &err), 0);
    assert_true(c.held);
    c.resumed = true;
    mrp_http_resume(c.call);
    assert_int_equal(mrp_http_wait(c.call, &err), MRP_E_IO);
    mrp_http_call_free(&c.call);
    mrp_http_response_done(&resp);
}

static void stops_after_the_limit(void **state)
{
    (void)state;
    struct mrp_http_response resp = {0};
    struct catcher c = {.plan = THROTTLED_STOP};
    assert_int_equal(get_many(1), 1);
    mrp_http_limit_bandwidth(http, 200000);
    start(&c, &resp, "/");
    int rc = mrp_http_wait(c.call, &err);
    mrp_http_limit_bandwidth(http, 0);
    assert_int_equal(rc, MRP_E_IO);
    mrp_http_call_free(&c.call);
    mrp_http_response_done(&resp);
}

struct racer {
    struct racer *other;
    size_t got;
    size_t behind; /* what the other had when this one was done */
};

static long run(void *arg, const struct mrp_http_response *head, const char *data, size_t len)
{
    struct racer *r = arg;
    (void)head, (void)data;
    r->got += len;
    if (r->got == BODY)
        r->behind = r->other->got;
    return (long)len;
}

/* None waits until the other is done: its server would give it up. */
static void shared_limit(void **state)
{
    (void)state;
    struct racer racers[2] = {{.other = &racers[1]}, {.other = &racers[0]}};
    struct mrp_http_call *calls[2] = {NULL, NULL};
    struct mrp_http_response resp[2] = {{0}, {0}};
    mrp_http_limit_bandwidth(http, 4 << 20);
    for (size_t i = 0; i < 2; i++) {
        struct mrp_http_sink sink = {.write = run, .arg = &racers[i]};
        struct mrp_http_request req = {
            .url = server_url(server), .sink = &sink, .timeout_ms = LIMIT_MS};
        assert_int_equal(mrp_http_start(&calls[i], &resp[i], http, &req, &err), 0);
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(mrp_http_wait(calls[i], &err), 0);
    mrp_http_limit_bandwidth(http, 0);
    for (size_t i = 0; i < 2; i++) {
        mrp_http_call_free(&calls[i]);
        mrp_http_response_done(&resp[i]);
        assert_true(racers[i].behind > BODY / 3);
    }
}

static int go_on(void *arg, struct mrp_error *e)
{
    struct catcher *c = arg;
    while (!mrp_http_ended(c->call)) {
        int rc = c->held ? mrp_http_sleep(http, 0, e) : mrp_waitq_wait(&c->turn, http, e);
        if (rc)
            return rc == MRP_E_BUG ? 0 : rc;
        c->held = false;
        mrp_http_resume(c->call);
        if (c->got == BODY)
            return 0;
    }
    return 0;
}

static int fetch_held(void *arg, struct mrp_error *e)
{
    struct catcher *c = arg;
    return mrp_http_wait(c->call, e);
}

/* Also at the last piece, after which nothing comes any more. */
static void holds(void **state)
{
    (void)state;
    struct mrp_http_response resp = {0};
    struct catcher c = {.plan = HOLD};
    start(&c, &resp, "/");
    struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    assert_int_equal(mrp_group_spawn(group, fetch_held, &c, &err), 0);
    assert_int_equal(mrp_group_spawn(group, go_on, &c, &err), 0);
    assert_int_equal(mrp_group_finish(&group, 0, &err), 0);
    assert_int_equal(c.got, BODY);
    assert_true(c.holds > 1);
    mrp_http_call_free(&c.call);
    mrp_http_response_done(&resp);
    c = (struct catcher){.plan = HOLD_AND_RESUME};
    start(&c, &resp, "/");
    assert_int_equal(mrp_http_wait(c.call, &err), 0);
    assert_int_equal(c.got, BODY);
    mrp_http_call_free(&c.call);
    mrp_http_response_done(&resp);
}

static void held_with_a_limit(void **state)
{
    (void)state;
    mrp_http_limit_bandwidth(http, 8 << 20);
    holds(state);
    mrp_http_limit_bandwidth(http, 0);
}

static void cut_while_held(void **state)
{
    (void)state;
    struct mrp_http_response resp = {0};
    struct catcher c = {.plan = HOLD};
    start(&c, &resp, "/cut");
    assert_int_equal(mrp_waitq_wait(&c.turn, http, &err), 0);
    c.plan = HOLD_AND_RESUME;
    mrp_http_resume(c.call);
    assert_int_equal(mrp_http_wait(c.call, &err), MRP_E_NET);
    assert_int_equal(c.got, BODY / 2);
    mrp_http_call_free(&c.call);
    mrp_http_response_done(&resp);
}

static void freed_while_held(void **state)
{
    (void)state;
    struct mrp_http_response resp = {0};
    struct catcher c = {.plan = HOLD};
    start(&c, &resp, "/");
    assert_int_equal(mrp_waitq_wait(&c.turn, http, &err), 0);
    mrp_http_call_free(&c.call);
    mrp_http_response_done(&resp);
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s/small", server_url(server));
    struct mrp_http_request req = {.url = url};
    assert_int_equal(mrp_http_do(&resp, http, &req, &err), 0);
    mrp_http_response_done(&resp);
}

static void many_at_once(void **state)
{
    (void)state;
    mrp_http_limit_connections(http, MANY, MANY);
    assert_int_equal(get_many(MANY), MANY);
    mrp_http_limit_connections(http, 0, 0);
}

/* Of the connections that are kept now; their other end is this process's too. */
static unsigned count_clients(bool *all_closed_on_exec)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned n = 0;
    *all_closed_on_exec = true;
    assert_non_null(folder);
    for (const struct dirent *e; (e = readdir(folder)) != NULL;) {
        int64_t fd = 0;
        struct sockaddr_in to = {0};
        socklen_t len = sizeof to;
        if (mrp_parse_int(&fd, e->d_name, 0, 65535) != 0 ||
            getpeername((int)fd, (struct sockaddr *)&to, &len) != 0 || to.sin_family != AF_INET ||
            ntohs(to.sin_port) != server_port(server))
            continue;
        n++;
        int flags = fcntl((int)fd, F_GETFD);
        *all_closed_on_exec = *all_closed_on_exec && flags >= 0 && flags & FD_CLOEXEC;
    }
    closedir(folder);
    return n;
}

static void not_inherited(void **state)
{
    (void)state;
    bool closed = false;
    assert_int_equal(get_many(3), 3);
    assert_true(count_clients(&closed) > 0);
    assert_true(closed);
}

/* In a process of its own, which leaves the server its descriptors. */
static bool get_with_few(void)
{
    unsigned done = 0;
    struct mrp_group *group = NULL;
    struct rlimit low = {.rlim_cur = (rlim_t)dup(0) + 16, .rlim_max = RLIM_INFINITY};
    mrp_auto(mrp_http_free) struct mrp_http *own = NULL;
    if (setrlimit(RLIMIT_NOFILE, &low) != 0 && (low.rlim_max = low.rlim_cur) &&
        setrlimit(RLIMIT_NOFILE, &low) != 0)
        return false;
    if (mrp_http_new(&own, NULL, &err) != 0 || mrp_group_new(&group, own, FEW, &err) != 0)
        return false;
    http = own;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < FEW; i++)
        rc = mrp_group_spawn(group, get_small, &done, &err);
    rc = mrp_group_finish(&group, rc, &err);
    if (rc)
        print_message("%u of %d: %s\n", done, FEW, err.msg);
    return done == FEW;
}

static void few_descriptors(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(get_with_few() ? 0 : 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* ---- a server that answers before it has the body ---- */

static int blunt_port;

/* Says what the path asks for as soon as the head is there; then reads until the client hangs up.
 */
static void say_at_once(int fd)
{
    static const char done[] = "HTTP/1.1 200 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    char head[4096];
    if (!receive_head(fd, head, sizeof head))
        return;
    mrp_auto(mrp_free_str) char *moved = mrp_strf(
        "HTTP/1.1 307 X\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n", server_url(server));
    const char *said = moved;
    if (strstr(head, "/refuse "))
        said = "HTTP/1.1 403 X\r\nContent-Length: 2\r\n\r\nno";
    else if (strstr(head, "/silent ")) /* no 100, and the answer only when all has come */
        said = "";
    send(fd, said, strlen(said), MSG_NOSIGNAL);
    size_t body = 0;
    for (ssize_t got; (got = recv(fd, head, sizeof head, 0)) > 0;) {
        body += (size_t)got;
        if (!said[0] && body == SLOW)
            send(fd, done, sizeof done - 1, MSG_NOSIGNAL);
    }
}

static void *be_blunt(void *arg)
{
    int *listener = arg;
    for (int fd; (fd = accept(*listener, NULL, NULL)) >= 0; close(fd))
        say_at_once(fd);
    return NULL;
}

struct slow {
    size_t at;
    bool ready; /* else it waits after its first bytes */
    bool rewound;
};

static long give_slowly(void *arg, char *buf, size_t len)
{
    struct slow *s = arg;
    if (s->at && !s->ready)
        return MRP_HTTP_PAUSE;
    size_t n = s->ready ? SLOW - s->at : 4;
    n = n < len ? n : len;
    memset(buf, 'x', n);
    s->at += n;
    return (long)n;
}

static int rewind_slow(void *arg)
{
    struct slow *s = arg;
    *s = (struct slow){.ready = true, .rewound = true};
    return 0;
}

static int put_slowly(struct slow *s, const char *path, bool expect)
{
    mrp_auto(mrp_free_str) char *url = mrp_strf("http://127.0.0.1:%d%s", blunt_port, path);
    const struct mrp_http_header fields[] = {
        {expect ? "Expect" : "X-A", expect ? "100-continue" : "b"}, {NULL, NULL}};
    struct mrp_http_source source = {
        .read = give_slowly, .rewind = rewind_slow, .arg = s, .length = SLOW};
    struct mrp_http_request req = {.method = "PUT",
                                   .url = url,
                                   .headers = fields,
                                   .source = &source,
                                   .timeout_ms = LIMIT_MS,
                                   .flags = MRP_HTTP_NO_RETRY};
    struct mrp_http_response resp = {0};
    int rc = mrp_http_do(&resp, http, &req, &err);
    int status = rc ? rc : resp.status;
    mrp_http_response_done(&resp);
    return status;
}

static void answered_before_the_body(void **state)
{
    (void)state;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    blunt_port = ntohs(address.sin_port);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, be_blunt, &listener), 0);
    for (int expect = 0; expect < 2; expect++) {
        struct slow s = {0};
        assert_int_equal(put_slowly(&s, "/refuse", expect), 403);
        s = (struct slow){.ready = expect}; /* then nothing was asked of it before */
        assert_int_equal(put_slowly(&s, "/elsewhere", expect), 200);
        assert_true(s.at == SLOW && s.rewound == !expect);
        s = (struct slow){.ready = true};
        assert_int_equal(put_slowly(&s, "/silent", expect), 200);
    }
    mrp_http_free(&http); /* hangs up */
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    assert_int_equal(mrp_http_new(&http, NULL, &err), 0);
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
        cmocka_unit_test(stops_what_was_kept),
        cmocka_unit_test(stops_what_was_held),
        cmocka_unit_test(shared_limit),
        cmocka_unit_test(stops_after_the_limit),
        cmocka_unit_test(holds),
        cmocka_unit_test(held_with_a_limit),
        cmocka_unit_test(cut_while_held),
        cmocka_unit_test(freed_while_held),
        cmocka_unit_test(not_inherited),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(few_descriptors),
        cmocka_unit_test(answered_before_the_body),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
