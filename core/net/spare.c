/* Connections that are opened ahead: their handshakes run while an earlier answer is waited for. */
#include "call.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>
#include <mrpipe/url.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A server that has answered, and what is open to it without a request. */
struct peer {
    struct peer *next;
    char *authority;
    struct sockaddr_storage address;
    socklen_t address_len;
    int *fds; /* oldest first */
    unsigned count;
};

static struct peer *find(const struct mrp_http *http, const char *authority)
{
    for (struct peer *p = http->peers; p; p = p->next)
        if (strcmp(p->authority, authority) == 0)
            return p;
    return NULL;
}

/* Of the connection that curl has used; 0 if that is no address. */
static socklen_t read_address(struct sockaddr_storage *out, CURL *easy)
{
    char *text = NULL;
    long port = 0;
    *out = (struct sockaddr_storage){0};
    if (curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &text) != CURLE_OK || !text ||
        curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &port) != CURLE_OK)
        return 0;
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
        return 0;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    return sizeof *v6;
}

void spares_learn(struct mrp_http *http, const char *authority, CURL *easy)
{
    struct peer *p = find(http, authority) ? NULL : calloc(1, sizeof *p);
    if (!p)
        return;
    p->authority = mrp_strdup(authority);
    p->address_len = read_address(&p->address, easy);
    if (!p->authority || !p->address_len) {
        free(p->authority);
        free(p);
        return;
    }
    p->next = http->peers;
    http->peers = p;
}

static int open_one(const struct peer *p)
{
    int fd = socket(p->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&p->address, p->address_len) == 0 ||
        errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

void mrp_http_warm(struct mrp_http *http, const char *url, unsigned count)
{
    mrp_auto(mrp_url_done) struct mrp_url u = {0};
    struct mrp_error ignored = {0};
    mrp_auto(mrp_free_str) char *authority =
        mrp_url_parse(&u, url, &ignored) ? NULL : mrp_url_authority(&u);
    struct peer *p = authority ? find(http, authority) : NULL;
    unsigned busy = authority ? pacing_inflight(&http->pacing, authority) : 0;
    unsigned most = http->pacing.per_host > busy ? http->pacing.per_host - busy : 0;
    count = count < most ? count : most;
    if (!p || p->count >= count)
        return;
    int *fds = reallocarray(p->fds, count, sizeof *fds);
    if (!fds)
        return;
    p->fds = fds;
    while (p->count < count) {
        int fd = open_one(p);
        if (fd < 0)
            return; /* the request itself will say what is wrong */
        p->fds[p->count++] = fd;
    }
}

/* Not when the server has hung up, or has said something before it was asked. */
static bool is_usable(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == ENOTCONN); /* the latter: on its way */
}

static int take(struct peer *p)
{
    while (p->count) {
        int fd = p->fds[0];
        p->count--;
        memmove(p->fds, p->fds + 1, p->count * sizeof *p->fds);
        if (is_usable(fd))
            return fd;
        close(fd);
    }
    return -1;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct mrp_http *http = arg;
    (void)purpose;
    for (struct peer *p = http->peers; p; p = p->next) {
        if (p->address_len != to->addrlen || memcmp(&p->address, &to->addr, to->addrlen) != 0)
            continue;
        http->spare = take(p);
        if (http->spare >= 0)
            return http->spare;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* One that is still on its way counts as connected too: what is written to it waits. */
static int on_opened(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    struct mrp_http *http = arg;
    (void)purpose;
    bool ours = fd == http->spare;
    http->spare = -1;
    return ours ? CURL_SOCKOPT_ALREADY_CONNECTED : CURL_SOCKOPT_OK;
}

void spares_offer(struct mrp_http *http, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, http);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_opened);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, http);
}

void spares_done(struct mrp_http *http)
{
    while (http->peers) {
        struct peer *p = http->peers;
        http->peers = p->next;
        for (unsigned i = 0; i < p->count; i++)
            close(p->fds[i]);
        free(p->fds);
        free(p->authority);
        free(p);
    }
}
