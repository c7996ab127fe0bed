/* Connections opened ahead: used by the requests that follow, and no trouble when they are dead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server.h"

#include <mrpipe/auto.h>
#include <mrpipe/http.h>
#include <mrpipe/text.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TOGETHER = 5 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
static unsigned waiting;

/* /all is answered when TOGETHER requests for it are there: each on a connection of its own. */
static void handle(void *arg, struct hit *hit)
{
    (void)arg;
    if (mrp_starts(hit->target, "/all")) {
        pthread_mutex_lock(&lock);
        waiting++;
        pthread_cond_broadcast(&change);
        while (waiting < TOGETHER)
            pthread_cond_wait(&change, &lock);
        pthread_mutex_unlock(&lock);
    }
    answer(hit, 200, "", "ok");
}

static int get(void *arg, struct mrp_error *err)
{
    const char *const *at = arg; /* url; the engine behind it */
    struct mrp_http *http = (struct mrp_http *)(uintptr_t)at[1];
    const struct mrp_http_request req = {.url = at[0]};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    int rc = mrp_http_do(&resp, http, &req, err);
    return rc ? rc : resp.status == 200 ? 0 : mrp_fail(err, MRP_E_REMOTE, "HTTP %d", resp.status);
}

static int get_url(struct mrp_http *http, const char *url, struct mrp_error *err)
{
    const char *const at[] = {url, (const char *)http};
    return get((void *)(uintptr_t)at, err);
}

static void wait_connections(struct mrp_http *http, struct server *server, unsigned count)
{
    struct mrp_error err = {0};
    while (server_connections(server) < count)
        assert_int_equal(mrp_http_sleep(http, 1, &err), 0);
}

static void test_used(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    struct server *server = server_start(handle, NULL);
    struct mrp_http *http = NULL;
    assert_int_equal(mrp_http_new(&http, NULL, &err), 0);
    mrp_http_warm(http, server_url(server), 3); /* nothing is known of it yet */
    assert_int_equal(get_url(http, server_url(server), &err), 0);
    assert_int_equal(server_connections(server), 1);
    mrp_http_warm(http, server_url(server), TOGETHER - 1);
    mrp_http_warm(http, server_url(server), TOGETHER - 1); /* they are there: no more */
    wait_connections(http, server, TOGETHER);
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s/all", server_url(server));
    const char *const at[] = {url, (const char *)http};
    struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    for (int i = 0; i < TOGETHER; i++)
        assert_int_equal(mrp_group_spawn(group, get, (void *)(uintptr_t)at, &err), 0);
    assert_int_equal(mrp_group_wait(group, &err), 0);
    mrp_group_free(&group);
    assert_int_equal(server_connections(server), TOGETHER);
    mrp_http_free(&http);
    server_stop(server);
}

static void test_limit(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    struct server *server = server_start(handle, NULL);
    struct mrp_http *http = NULL;
    assert_int_equal(mrp_http_new(&http, NULL, &err), 0);
    mrp_http_limit_connections(http, 2, 4);
    assert_int_equal(get_url(http, server_url(server), &err), 0);
    mrp_http_warm(http, server_url(server), 100);
    wait_connections(http, server, 3);
    assert_int_equal(get_url(http, server_url(server), &err), 0);
    assert_int_equal(server_connections(server), 3);
    mrp_http_free(&http);
    server_stop(server);
}

/* Serves one connection, hangs up on the second, serves the third. */
static void *fickle(void *arg)
{
    int listener = *(const int *)arg;
    for (int i = 0; i < 3; i++) {
        int fd = accept(listener, NULL, NULL);
        char buf[4096];
        static const char text[] =
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        if (i != 1 && recv(fd, buf, sizeof buf, 0) > 0)
            (void)send(fd, text, sizeof text - 1, MSG_NOSIGNAL);
        close(fd);
        pthread_mutex_lock(&lock);
        waiting++;
        pthread_cond_broadcast(&change);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void test_dead(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    mrp_auto(mrp_free_str) char *url = mrp_strf("http://127.0.0.1:%u", ntohs(at.sin_port));
    waiting = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fickle, &listener), 0);
    struct mrp_http *http = NULL;
    assert_int_equal(mrp_http_new(&http, NULL, &err), 0);
    assert_int_equal(get_url(http, url, &err), 0);
    mrp_http_warm(http, url, 1);
    pthread_mutex_lock(&lock);
    while (waiting < 2)
        pthread_cond_wait(&change, &lock);
    pthread_mutex_unlock(&lock);
    assert_int_equal(get_url(http, url, &err), 0);
    pthread_join(thread, NULL);
    mrp_http_free(&http);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_used),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
