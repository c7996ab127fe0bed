/* A small HTTP/1.1 server in threads for tests: the test's own function answers each request. */
#ifndef TEST_SERVER_H
#define TEST_SERVER_H

#include <stdbool.h>
#include <stddef.h>

struct hit {
    char method[16];
    char target[4096]; /* path and query as sent */
    char head[32768];  /* the request's head, NUL-terminated */
    char *body;        /* at most 1 MiB is kept */
    size_t body_len;   /* of all that came */
    int fd;
    bool close; /* set: hang up after the answer */
    bool chunked;
};

typedef void (*answer_fn)(void *arg, struct hit *hit);

struct server;
/** Called in the server's threads. With `early`, the function is called before the body is read. */
struct server *server_start(answer_fn answer, void *arg);
void server_stop(struct server *server);
int server_port(const struct server *server);
const char *server_url(const struct server *server); /* "http://127.0.0.1:PORT" */
unsigned server_hits(struct server *server);
unsigned server_connections(struct server *server);

/** For servers of a test's own: the head of a request, NUL-terminated, and nothing behind it. */
bool receive_head(int fd, char *head, size_t size);

/** Status line, Content-Length, `fields` ("A: b\r\n" or ""), body. */
void answer(struct hit *hit, int status, const char *fields, const char *body);
void answer_bytes(struct hit *hit, const void *data, size_t len);
/** The value of a request header, or NULL; static memory per call site is the caller's buffer. */
const char *hit_header(const struct hit *hit, const char *name, char *out, size_t size);
/** Hang up with a reset instead of an orderly end. */
void answer_reset(struct hit *hit);

#endif
