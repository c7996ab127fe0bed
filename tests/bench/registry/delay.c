/* A TCP proxy that behaves as a long line: handshake, one-way delay, slow start, a largest window.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_WINDOW = 10 * 1460, LARGEST_WINDOW = 4 << 20, PIECE = 64 << 10, EVENTS = 256 };

struct piece {
    struct piece *next;
    size_t len; /* 0: the sender has ended */
    size_t done;
    char data[];
};

/* One direction of one connection. */
struct line {
    struct link *link;
    int from, to;
    size_t window, flying, queued;
    struct piece *first, **last; /* has arrived, waits for `to` */
    bool ended, shut;
};

/* One end of a connection, as epoll knows it. */
struct side {
    struct link *link;
    int fd;
    uint32_t watched;
};

struct link {
    struct side sides[2];
    struct line lines[2]; /* of side i to the other one */
    bool open, dead;
    unsigned events; /* that still name it */
    struct link *graves;
};

enum what { OPEN, ARRIVE, ACKNOWLEDGE };

struct event {
    struct event *next;
    int64_t due_us;
    enum what what;
    struct line *line;
    struct piece *piece;
    size_t count;
};

/* Events of one delay are due in the order they were made. */
struct queue {
    struct event *first, **last;
    int64_t delay_us;
};

struct proxy {
    int epoll, listener;
    uint16_t upstream;
    struct queue once, twice; /* the delay, and a round trip */
    struct link *graves;
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void *get(size_t len)
{
    void *p = calloc(1, len);
    if (!p)
        die("memory");
    return p;
}

static void
later(struct queue *q, enum what what, struct line *line, struct piece *piece, size_t count)
{
    struct event *e = get(sizeof *e);
    *e = (struct event){.due_us = now_us() + q->delay_us,
                        .what = what,
                        .line = line,
                        .piece = piece,
                        .count = count};
    *q->last = e;
    q->last = &e->next;
    line->link->events++;
}

static void watch(const struct proxy *p, struct side *side, uint32_t events)
{
    if (side->watched == events)
        return;
    struct epoll_event e = {.events = events, .data.ptr = side};
    epoll_ctl(p->epoll, EPOLL_CTL_MOD, side->fd, &e);
    side->watched = events;
}

static size_t room(const struct line *l)
{
    if (l->ended || l->queued >= LARGEST_WINDOW || l->flying >= l->window)
        return 0;
    size_t free_bytes = l->window - l->flying;
    return free_bytes < PIECE ? free_bytes : PIECE;
}

static void end_link(struct proxy *p, struct link *k)
{
    if (k->dead)
        return;
    k->dead = true;
    for (int i = 0; i < 2; i++)
        close(k->sides[i].fd);
    k->graves = p->graves;
    p->graves = k;
}

static void rewatch(struct proxy *p, struct link *k)
{
    if (k->dead)
        return;
    if (k->lines[0].shut && k->lines[1].shut) {
        end_link(p, k);
        return;
    }
    for (int i = 0; i < 2; i++) {
        bool in = k->open && room(&k->lines[i]);
        bool out = k->lines[!i].first != NULL;
        watch(p, &k->sides[i], (in ? EPOLLIN : 0u) | (out ? EPOLLOUT : 0u));
    }
}

static void receive(struct proxy *p, struct line *l)
{
    size_t want = room(l);
    if (!want)
        return;
    struct piece *piece = malloc(sizeof *piece + want);
    if (!piece)
        die("memory");
    ssize_t n = recv(l->from, piece->data, want, 0);
    if (n < 0) {
        free(piece);
        if (errno != EAGAIN && errno != EINTR)
            end_link(p, l->link);
        return;
    }
    piece->next = NULL;
    piece->len = (size_t)n;
    piece->done = 0;
    l->flying += piece->len;
    l->ended = !n;
    later(&p->once, ARRIVE, l, piece, 0);
    if (n)
        later(&p->twice, ACKNOWLEDGE, l, NULL, piece->len);
}

static void deliver(struct proxy *p, struct line *l)
{
    while (l->first) {
        struct piece *piece = l->first;
        if (!piece->len) {
            shutdown(l->to, SHUT_WR);
            l->shut = true;
        } else {
            ssize_t n = send(l->to, piece->data + piece->done, piece->len - piece->done, 0);
            if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
            if (n < 0) {
                end_link(p, l->link);
                return;
            }
            piece->done += (size_t)n;
            l->queued -= (size_t)n;
            if (piece->done < piece->len)
                return;
        }
        l->first = piece->next;
        if (!l->first)
            l->last = &l->first;
        free(piece);
    }
}

static void happen(struct proxy *p, const struct event *e)
{
    struct line *l = e->line;
    struct link *k = l->link;
    k->events--;
    if (k->dead) {
        free(e->piece);
        return;
    }
    if (e->what == OPEN) {
        k->open = true;
    } else if (e->what == ARRIVE) {
        *l->last = e->piece;
        l->last = &e->piece->next;
        l->queued += e->piece->len;
        deliver(p, l);
    } else {
        /* Slow start: each acknowledged byte makes room for one more. */
        l->flying -= e->count;
        l->window = l->window + e->count < LARGEST_WINDOW ? l->window + e->count : LARGEST_WINDOW;
    }
    rewatch(p, k);
}

/* All that is due; microseconds to the next, -1 for none. */
static int64_t run_queue(struct proxy *p, struct queue *q)
{
    while (q->first) {
        struct event *e = q->first;
        int64_t left = e->due_us - now_us();
        if (left > 0)
            return left;
        q->first = e->next;
        if (!q->first)
            q->last = &q->first;
        happen(p, e);
        free(e);
    }
    return -1;
}

static void bury(struct proxy *p)
{
    struct link **at = &p->graves;
    while (*at) {
        struct link *k = *at;
        if (k->events) {
            at = &k->graves;
            continue;
        }
        *at = k->graves;
        for (int i = 0; i < 2; i++) {
            while (k->lines[i].first) {
                struct piece *piece = k->lines[i].first;
                k->lines[i].first = piece->next;
                free(piece);
            }
        }
        free(k);
    }
}

static struct sockaddr_in local(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void take(struct proxy *p)
{
    int in = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (in < 0)
        return;
    int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = local(p->upstream);
    if (out < 0 || connect(out, (struct sockaddr *)&to, sizeof to)) {
        close(in);
        if (out >= 0)
            close(out);
        return;
    }
    fcntl(out, F_SETFL, O_NONBLOCK);
    struct link *k = get(sizeof *k);
    const int fds[] = {in, out};
    for (int i = 0; i < 2; i++) {
        int one = 1;
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        k->sides[i] = (struct side){.link = k, .fd = fds[i]};
        k->lines[i] =
            (struct line){.link = k, .from = fds[i], .to = fds[!i], .window = FIRST_WINDOW};
        k->lines[i].last = &k->lines[i].first;
        struct epoll_event e = {.data.ptr = &k->sides[i]};
        if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, fds[i], &e))
            die("epoll");
    }
    /* connect() came back at once at the client: the first bytes wait for the handshake. */
    later(&p->twice, OPEN, &k->lines[0], NULL, 0);
}

static void react(struct proxy *p, struct side *side, uint32_t events)
{
    struct link *k = side->link;
    int i = side == &k->sides[1];
    if (k->dead)
        return;
    if (events & EPOLLERR)
        end_link(p, k);
    else if (events & EPOLLOUT)
        deliver(p, &k->lines[!i]);
    if (!k->dead && (events & EPOLLIN))
        receive(p, &k->lines[i]);
    /* Both directions are closed: what is still to arrive here has nowhere to go. */
    if (!k->dead && (events & EPOLLHUP) && !(events & EPOLLIN))
        end_link(p, k);
    rewatch(p, k);
}

static void serve(struct proxy *p)
{
    struct epoll_event ready[EVENTS];
    for (;;) {
        int64_t a = run_queue(p, &p->once);
        int64_t b = run_queue(p, &p->twice);
        int64_t next = a < 0 || (b >= 0 && b < a) ? b : a;
        bury(p);
        int n = epoll_wait(p->epoll, ready, EVENTS, next < 0 ? -1 : (int)((next + 999) / 1000));
        for (int i = 0; i < n; i++) {
            if (ready[i].data.ptr)
                react(p, ready[i].data.ptr, ready[i].events);
            else
                take(p);
        }
    }
}

int main(int argc, char **argv)
{
    char *end = NULL;
    long port = argc == 3 ? strtol(argv[1], &end, 10) : 0;
    double ms = end && !*end ? strtod(argv[2], &end) : -1;
    if (port < 1 || port > 65535 || !(ms >= 0 && ms < 10000) || *end) {
        fprintf(stderr, "usage: delay UPSTREAM-PORT MILLISECONDS-ONE-WAY (prints its own port)\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct proxy p = {.upstream = (uint16_t)port};
    p.once = (struct queue){.delay_us = (int64_t)(ms * 1000)};
    p.twice = (struct queue){.delay_us = (int64_t)(ms * 2000)};
    p.once.last = &p.once.first;
    p.twice.last = &p.twice.first;
    p.epoll = epoll_create1(EPOLL_CLOEXEC);
    p.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = local(0);
    socklen_t len = sizeof at;
    struct epoll_event e = {.events = EPOLLIN};
    if (p.listener < 0 || bind(p.listener, (struct sockaddr *)&at, sizeof at) ||
        listen(p.listener, 1024) || getsockname(p.listener, (struct sockaddr *)&at, &len) ||
        epoll_ctl(p.epoll, EPOLL_CTL_ADD, p.listener, &e))
        die("listen");
    printf("%u\n", (unsigned)ntohs(at.sin_port));
    fflush(stdout);
    serve(&p);
}
