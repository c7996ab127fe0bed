/* The server of server.h: one thread accepts, one thread per connection answers. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEEP ((size_t)1 << 20)
#define MAX_CONNECTIONS 512

struct server {
    answer_fn answer;
    void *arg;
    int fd;
    int port;
    char url[64];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    int fds[MAX_CONNECTIONS]; /* open ones; -1: free */
    unsigned live;
    unsigned hits;
    unsigned connections;
    bool stopping;
};

struct connection {
    struct server *server;
    int fd;
    char buf[65536];
    size_t len;
};

bool receive_head(int fd, char *head, size_t size)
{
    size_t n = 0;
    while (n < size - 1 && !(n > 4 && memcmp(head + n - 4, "\r\n\r\n", 4) == 0))
        if (recv(fd, head + n++, 1, 0) != 1)
            return false;
    head[n] = '\0';
    return true;
}

static bool fill(struct connection *c)
{
    if (c->len == sizeof c->buf)
        return false;
    ssize_t n;
    do {
        n = recv(c->fd, c->buf + c->len, sizeof c->buf - c->len, 0);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    c->len += (size_t)n;
    return true;
}

static void eat(struct connection *c, size_t n)
{
    memmove(c->buf, c->buf + n, c->len - n);
    c->len -= n;
}

static void keep(struct hit *hit, const char *data, size_t n)
{
    if (hit->body_len < KEEP) {
        size_t room = KEEP - hit->body_len;
        memcpy(hit->body + hit->body_len, data, n < room ? n : room);
    }
    hit->body_len += n;
}

static bool take(struct connection *c, struct hit *hit, size_t n)
{
    while (n > 0) {
        if (c->len == 0 && !fill(c))
            return false;
        size_t part = c->len < n ? c->len : n;
        keep(hit, c->buf, part);
        eat(c, part);
        n -= part;
    }
    return true;
}

static bool read_line(struct connection *c, char *out, size_t size)
{
    for (;;) {
        char *end = memchr(c->buf, '\n', c->len);
        if (end) {
            size_t n = (size_t)(end + 1 - c->buf);
            size_t kept = n < size ? n : size - 1;
            memcpy(out, c->buf, kept);
            out[kept] = '\0';
            eat(c, n);
            return true;
        }
        if (!fill(c))
            return false;
    }
}

static bool read_chunked(struct connection *c, struct hit *hit)
{
    char line[256];
    for (;;) {
        if (!read_line(c, line, sizeof line))
            return false;
        size_t n = strtoul(line, NULL, 16);
        if (n == 0)
            return read_line(c, line, sizeof line);
        if (!take(c, hit, n) || !read_line(c, line, sizeof line))
            return false;
    }
}

static bool read_head(struct connection *c, struct hit *hit)
{
    char *end;
    while ((end = memmem(c->buf, c->len, "\r\n\r\n", 4)) == NULL)
        if (!fill(c))
            return false;
    size_t n = (size_t)(end + 4 - c->buf);
    if (n >= sizeof hit->head)
        return false;
    memcpy(hit->head, c->buf, n);
    hit->head[n] = '\0';
    eat(c, n);
    const char *blank = strchr(hit->head, ' ');
    const char *second = blank ? strchr(blank + 1, ' ') : NULL;
    if (!second)
        return false;
    snprintf(hit->method, sizeof hit->method, "%.*s", (int)(blank - hit->head), hit->head);
    snprintf(hit->target, sizeof hit->target, "%.*s", (int)(second - blank - 1), blank + 1);
    return true;
}

const char *hit_header(const struct hit *hit, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    for (const char *line = strstr(hit->head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) != 0 || line[2 + len] != ':')
            continue;
        const char *value = line + 3 + len + strspn(line + 3 + len, " ");
        snprintf(out, size, "%.*s", (int)strcspn(value, "\r\n"), value);
        return out;
    }
    return NULL;
}

static bool read_body(struct connection *c, struct hit *hit)
{
    char value[64];
    if (hit_header(hit, "Expect", value, sizeof value)) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (send(c->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL) < 0)
            return false;
    }
    if (hit_header(hit, "Transfer-Encoding", value, sizeof value)) {
        hit->chunked = true;
        return read_chunked(c, hit);
    }
    if (!hit_header(hit, "Content-Length", value, sizeof value))
        return true;
    return take(c, hit, strtoul(value, NULL, 10));
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    struct server *s = c->server;
    struct hit *hit = calloc(1, sizeof *hit);
    hit->body = malloc(KEEP + 1);
    for (;;) {
        hit->fd = c->fd;
        hit->body_len = 0;
        hit->close = hit->chunked = false;
        if (!read_head(c, hit) || !read_body(c, hit))
            break;
        hit->body[hit->body_len < KEEP ? hit->body_len : KEEP] = '\0';
        pthread_mutex_lock(&s->lock);
        s->hits++;
        pthread_mutex_unlock(&s->lock);
        s->answer(s->arg, hit);
        if (hit->close)
            break;
    }
    free(hit->body);
    free(hit);
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        if (s->fds[i] == c->fd)
            s->fds[i] = -1;
    close(c->fd);
    s->live--;
    pthread_cond_signal(&s->idle);
    pthread_mutex_unlock(&s->lock);
    free(c);
    return NULL;
}

static void start_connection(struct server *s, int fd)
{
    struct connection *c = calloc(1, sizeof *c);
    c->server = s;
    c->fd = fd;
    pthread_t thread;
    pthread_mutex_lock(&s->lock);
    bool placed = false;
    for (int i = 0; !s->stopping && !placed && i < MAX_CONNECTIONS; i++) {
        if (s->fds[i] < 0) {
            s->fds[i] = fd;
            placed = true;
        }
    }
    s->live += placed ? 1 : 0;
    s->connections += placed ? 1 : 0;
    pthread_mutex_unlock(&s->lock);
    if (!placed || pthread_create(&thread, NULL, serve, c) != 0) {
        close(fd);
        free(c);
        return;
    }
    pthread_detach(thread);
}

static void *accept_all(void *arg)
{
    struct server *s = arg;
    for (;;) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0 && errno == EINTR)
            continue;
        if (fd < 0)
            return NULL;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        start_connection(s, fd);
    }
}

struct server *server_start(answer_fn fn, void *arg)
{
    struct server *s = calloc(1, sizeof *s);
    s->answer = fn;
    s->arg = arg;
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        s->fds[i] = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->idle, NULL);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    if (bind(s->fd, (struct sockaddr *)&address, len) != 0 || listen(s->fd, 256) != 0 ||
        getsockname(s->fd, (struct sockaddr *)&address, &len) != 0)
        abort();
    s->port = ntohs(address.sin_port);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", s->port);
    if (pthread_create(&s->thread, NULL, accept_all, s) != 0)
        abort();
    return s;
}

void server_stop(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        if (s->fds[i] >= 0)
            shutdown(s->fds[i], SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    pthread_mutex_lock(&s->lock);
    while (s->live > 0)
        pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->idle);
    free(s);
}

int server_port(const struct server *s)
{
    return s->port;
}
const char *server_url(const struct server *s)
{
    return s->url;
}

unsigned server_hits(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = s->hits;
    pthread_mutex_unlock(&s->lock);
    return n;
}

unsigned server_connections(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = s->connections;
    pthread_mutex_unlock(&s->lock);
    return n;
}

void answer_bytes(struct hit *hit, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = send(hit->fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            hit->close = true;
            return;
        }
        p += n;
        len -= (size_t)n;
    }
}

void answer(struct hit *hit, int status, const char *fields, const char *body)
{
    char head[4096];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n", status,
                     strlen(body), fields);
    char *all = malloc((size_t)n + strlen(body) + 1);
    memcpy(all, head, (size_t)n);
    bool bare = strcmp(hit->method, "HEAD") == 0 || status == 204 || status == 304;
    memcpy(all + n, body, strlen(body) + 1);
    answer_bytes(hit, all, (size_t)n + (bare ? 0 : strlen(body)));
    free(all);
}

void answer_reset(struct hit *hit)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    setsockopt(hit->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    hit->close = true;
}
