/* The sockets that curl waits for, and the files that tasks wait for: one epoll instance. */
#include "call.h"

#include <mrpipe/time.h>

#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    EVENTS = 64,      /* taken at once */
    MAX_FILES = 256,  /* that tasks wait for */
    MAX_RECORDS = 256 /* read from one connection's buffer before others have their turn */
};

/* What curl has said of a descriptor; the list is indexed by it. */
struct watch {
    CURL *easy; /* NULL: not watched */
    int what;   /* CURL_POLL_IN, CURL_POLL_OUT or both */
};

static struct watch *watch_of(struct sockets *s, int fd)
{
    size_t need = (size_t)fd + 1;
    if (need > s->count) {
        struct watch *list = reallocarray(s->list, need * 2, sizeof *list);
        if (!list)
            return NULL;
        for (size_t i = s->count; i < need * 2; i++)
            list[i] = (struct watch){0};
        s->list = list;
        s->count = need * 2;
    }
    return &s->list[fd];
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    struct sockets *s = arg;
    (void)unused;
    struct watch *w = watch_of(s, fd);
    if (!w)
        return -1;
    if (what == CURL_POLL_REMOVE) {
        w->easy = NULL;
        epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL); /* closed already, maybe */
        return 0;
    }
    struct epoll_event e = {.data.fd = fd};
    e.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    int first = w->easy ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int other = w->easy ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    w->easy = easy;
    w->what = what;
    if (epoll_ctl(s->epoll, first, fd, &e) == 0)
        return 0;
    bool mistaken = errno == ENOENT || errno == EEXIST;
    return mistaken && epoll_ctl(s->epoll, other, fd, &e) == 0 ? 0 : -1;
}

static int on_timer(CURLM *multi, long wait_ms, void *arg)
{
    struct sockets *s = arg;
    (void)multi;
    s->due_ms = wait_ms < 0 ? FAR_MS : mrp_now_ms() + wait_ms;
    return 0;
}

int sockets_init(struct sockets *s, CURLM *multi)
{
    *s = (struct sockets){.epoll = epoll_create1(EPOLL_CLOEXEC), .due_ms = FAR_MS};
    if (s->epoll < 0)
        return -1;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, s);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, s);
    return 0;
}

void sockets_done(struct sockets *s)
{
    if (s->epoll >= 0)
        close(s->epoll);
    free(s->list);
    *s = (struct sockets){.epoll = -1};
}

static void act(struct mrp_http *http, int fd, int what)
{
    int running = 0;
    /* then curl runs other transfers too: those whose time has come */
    if (http->sockets.due_ms <= mrp_now_ms() + 1)
        http->sockets.unread = true;
    http->in_callback = true;
    curl_multi_socket_action(http->multi, fd, what, &running);
    http->in_callback = false;
}

/* Bytes that the TLS layer has read from the socket, and that curl could have of it. */
static bool has_records(CURL *easy)
{
    struct mrp_http_call *call = NULL;
    struct curl_tlssessioninfo *tls = NULL;
    if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call) != CURLE_OK || !call ||
        call->state != CALL_RUNNING || !call->tls)
        return false;
    if (curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &tls) != CURLE_OK || !tls ||
        tls->backend != CURLSSLBACKEND_OPENSSL || !tls->internals)
        return false;
    /* a part of a record wants more from the socket: epoll tells when that has come */
    return SSL_has_pending(tls->internals) && !SSL_want_read(tls->internals);
}

/* curl reads one record at a time, and then waits for the socket. */
static void read_records(struct mrp_http *http, int fd)
{
    for (int i = 0; i < MAX_RECORDS; i++) {
        const struct watch *w = &http->sockets.list[fd];
        if (!w->easy || !(w->what & CURL_POLL_IN) || !has_records(w->easy))
            return; /* who wants to send only leaves there what comes behind its answer */
        act(http, fd, CURL_CSELECT_IN);
    }
    http->sockets.unread = true;
}

void sockets_timers(struct mrp_http *http)
{
    if (http->sockets.due_ms > mrp_now_ms() && !http->sockets.unread)
        return;
    http->sockets.due_ms = FAR_MS;
    act(http, CURL_SOCKET_TIMEOUT, 0);
    http->sockets.unread = false;
    for (size_t fd = 0; fd < http->sockets.count; fd++)
        read_records(http, (int)fd);
}

/* Wait for the files of tasks too; the sockets are asked afterwards. */
static int wait_with_files(struct mrp_http *http, int wait_ms)
{
    struct pollfd fds[MAX_FILES + 1];
    nfds_t n = 0;
    fds[n++] = (struct pollfd){.fd = http->sockets.epoll, .events = POLLIN};
    for (const struct waiter *w = http->sleepers; w && n <= MAX_FILES; w = w->next)
        if (w->fd >= 0 && !w->woken)
            fds[n++] = (struct pollfd){.fd = w->fd, .events = w->writable ? POLLOUT : POLLIN};
    if (n == 1)
        return wait_ms;
    if (poll(fds, n, wait_ms) <= 0)
        return 0;
    nfds_t i = 1;
    for (struct waiter *w = http->sleepers; w && i < n; w = w->next) {
        if (w->fd < 0 || w->woken)
            continue;
        if (fds[i++].revents) {
            w->fd_ready = true;
            loop_wake(http, w);
        }
    }
    return 0;
}

void sockets_wait(struct mrp_http *http, int wait_ms)
{
    struct epoll_event events[EVENTS];
    wait_ms = wait_with_files(http, wait_ms);
    int n = epoll_wait(http->sockets.epoll, events, EVENTS, wait_ms);
    for (int i = 0; i < n; i++) {
        int fd = events[i].data.fd;
        uint32_t e = events[i].events;
        if (!http->sockets.list[fd].easy)
            continue;                            /* let go of on account of an earlier event */
        bool broken = e & (EPOLLHUP | EPOLLERR); /* reading and writing tell how */
        act(http, fd,
            (broken || e & EPOLLIN ? CURL_CSELECT_IN : 0) |
                (broken || e & EPOLLOUT ? CURL_CSELECT_OUT : 0));
        read_records(http, fd);
    }
}
