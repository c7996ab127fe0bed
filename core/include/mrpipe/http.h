/**
 * The HTTP engine on libcurl multi: one per worker (libmrpipe-net).
 *
 * Concurrency without threads: tasks (see mrp_group) are fibers on one curl multi handle.
 * mrp_http_do and mrp_http_wait called inside a task park that task and let the others go on;
 * called outside any task they run the loop until the request is done. Connections are reused; TLS
 * is always verified unless MRPIPE_INSECURE_TLS=1 is in the environment.
 *
 * Retries (one table, retry.c): connection errors and 429, 500, 502, 503, 504, AWS throttling
 * codes; full-jitter backoff, Retry-After obeyed; a request with a body source is retried only if
 * the source can rewind; POST only when the table says it is safe (no byte of an answer, or
 * `MRP_HTTP_IDEMPOTENT`), and never what `MRP_HTTP_ONCE` forbids.
 */
#ifndef MRPIPE_HTTP_H
#define MRPIPE_HTTP_H

#include <mrpipe/buf.h>
#include <mrpipe/error.h>
#include <mrpipe/stage.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mrp_http;
struct mrp_http_call;

struct mrp_http_header {
    const char *name;
    const char *value;
};

/** An owned list of header fields. */
struct mrp_headers {
    struct mrp_http_header *list; /* strings owned by the list */
    size_t count;
};
MRP_EXPORT int mrp_headers_add(struct mrp_headers *h,
                               const char *name,
                               const char *value); /* 0, MRP_E_NOMEM, MRP_E_CONFIG (CR, LF) */
MRP_EXPORT int mrp_headers_set(struct mrp_headers *h,
                               const char *name,
                               const char *value); /* replaces, any case */
MRP_EXPORT const char *
mrp_headers_get(const struct mrp_headers *h,
                const char *name); /* the first, any case; borrowed or NULL */
MRP_EXPORT void mrp_headers_done(struct mrp_headers *h);

#define MRP_HTTP_PIECE ((size_t)64 << 10) /* the most that a sink is given at once */
#define MRP_HTTP_PAUSE (-2L)
#define MRP_HTTP_ABORT (-1L)

struct mrp_http_response {
    int status;
    struct mrp_headers headers; /* of the last answer in a chain of redirects */
    struct mrp_buf body; /* unless a sink took it; errors (status >= 400) are always kept here, cut
                            at 64 KiB */
    char *url;           /* where the answer came from, after redirects */
    unsigned tries;
    uint64_t sent_bytes; /* of bodies */
    uint64_t received_bytes;
};

/** Where a request body comes from. Called inside the loop: must not block and must not call
 * mrp_http_do. */
struct mrp_http_source {
    /** Fill buf; returns the number of bytes, 0 at the end, MRP_HTTP_PAUSE (then mrp_http_resume),
     * MRP_HTTP_ABORT. */
    long (*read)(void *arg, char *buf, size_t len);
    /** Start again at byte 0 for a retry; NULL: no retry once a byte was read. 0 or -1. */
    int (*rewind)(void *arg);
    void *arg;
    int64_t length; /* bytes; -1: chunked */
};

/** Where the body of a 2xx answer goes. Same rules. */
struct mrp_http_sink {
    /** Consume all `len` bytes and return len, or MRP_HTTP_PAUSE (the same bytes come again), or
     * MRP_HTTP_ABORT. */
    long (*write)(void *arg, const struct mrp_http_response *head, const char *data, size_t len);
    /** A retry begins at byte 0; NULL: no retry once a byte was delivered. 0 or -1. */
    int (*restart)(void *arg);
    void *arg;
};

enum {
    MRP_HTTP_NO_RETRY = 1u << 0,
    MRP_HTTP_NO_REDIRECT = 1u << 1,    /* give 3xx answers to the caller */
    MRP_HTTP_IDEMPOTENT = 1u << 2,     /* a POST that may be sent twice */
    MRP_HTTP_TRUST_REDIRECT = 1u << 3, /* keep Authorization on other hosts: never for registries */
    MRP_HTTP_NO_DECODE = 1u << 4, /* reserved: bodies are never decoded unless MRP_HTTP_DECODE */
    MRP_HTTP_DECODE = 1u << 5,    /* send Accept-Encoding and decode gzip */
    MRP_HTTP_HTTP2 = 1u << 6,     /* allow HTTP/2 (default 1.1: cheaper for bodies) */
    MRP_HTTP_CLEANUP = 1u << 7,   /* undoing something: runs even when the run is being stopped */
    /** Must not be done twice: tried again only when nothing was sent or the answer says that it
     * was throttled. MRP_E_NET, MRP_E_TIMEOUT and answers >= 500 leave open whether it was done. */
    MRP_HTTP_ONCE = 1u << 8
};

struct mrp_http_request {
    const char *method; /* "GET" */
    const char *url;    /* http or https; user info is refused: use headers */
    const struct mrp_http_header
        *headers;     /* ends with name == NULL; may be NULL. Never sent to another host after a
                         redirect: Authorization, Cookie */
    const void *body; /* in memory, borrowed until the call ends */
    size_t body_len;
    const struct mrp_http_source *source; /* instead of body */
    const struct mrp_http_sink *sink;     /* NULL: the body is kept in the response */
    size_t max_body; /* of a kept body; 0: 8 MiB. Longer answers fail with MRP_E_REMOTE */
    unsigned flags;
    int64_t timeout_ms; /* for the whole call with its retries; 0: none, only the stall limit */
    int64_t stall_ms;   /* no byte for so long: broken; 0: 60 s */
    int retries;        /* 0: the table's default; -1: none */
    const char *api;    /* pacing bucket beside the host: "ecr:BatchGetImage"; NULL: host only */
    const char *what;   /* for messages: "GET manifest core:1.4"; NULL: method and redacted URL */
    /** Called before every try, e.g. to sign it with the current time; may change `headers`. Runs
     * inside the loop: must not block. Not called once a redirect has left the first host. */
    int (*prepare)(void *arg, struct mrp_headers *headers, struct mrp_error *err);
    void *prepare_arg;
};

/** One engine; `stage` (may be NULL) gets counters (requests, retries, bytes), debug lines and
 * cancels calls when the run ends. */
MRP_EXPORT int
mrp_http_new(struct mrp_http **out, struct mrp_stage *stage, struct mrp_error *err) MRP_NODISCARD;
MRP_EXPORT void mrp_http_free(struct mrp_http **http); /* for mrp_auto; ends what is in flight */

/** Settings for the whole engine. */
MRP_EXPORT void mrp_http_limit_bandwidth(struct mrp_http *http,
                                         uint64_t bytes_per_s); /* 0: none; both directions added */
MRP_EXPORT void
mrp_http_limit_connections(struct mrp_http *http, unsigned per_host, unsigned total);
/** Open connections to the server of `url` until `count` wait for requests (less what its limit
 * leaves), because as many requests will follow soon: their handshakes run while something else is
 * waited for. Only for a server that has answered this engine before; else, and on failure, nothing
 * happens. Does not block. */
MRP_EXPORT void mrp_http_warm(struct mrp_http *http, const char *url, unsigned count);

/** Send and wait. 0 for every answer, whatever its status; MRP_E_NET, MRP_E_TIMEOUT,
 * MRP_E_CANCELLED, MRP_E_REMOTE (malformed). `resp` must be zeroed; free it with
 * mrp_http_response_done in any case. */
MRP_EXPORT int mrp_http_do(struct mrp_http_response *resp,
                           struct mrp_http *http,
                           const struct mrp_http_request *req,
                           struct mrp_error *err) MRP_NODISCARD;

/** The same in two steps. The request's strings are copied; body, source, sink and resp must live
 * until the call is freed. */
MRP_EXPORT int mrp_http_start(struct mrp_http_call **out,
                              struct mrp_http_response *resp,
                              struct mrp_http *http,
                              const struct mrp_http_request *req,
                              struct mrp_error *err) MRP_NODISCARD;
/** Until the final answer's headers are there (body may still flow), or the call ended. */
MRP_EXPORT int mrp_http_wait_headers(struct mrp_http_call *call,
                                     struct mrp_error *err) MRP_NODISCARD;
MRP_EXPORT int mrp_http_wait(struct mrp_http_call *call, struct mrp_error *err) MRP_NODISCARD;
MRP_EXPORT bool mrp_http_ended(const struct mrp_http_call *call);
MRP_EXPORT void
mrp_http_resume(struct mrp_http_call *call); /* after MRP_HTTP_PAUSE of source or sink; cheap */
/** From inside of a sink's `write` that takes its bytes: nothing more is read until mrp_http_resume
 * (what has been read already, less than MRP_HTTP_PIECE, may still come). Cheaper than
 * MRP_HTTP_PAUSE next time, for which the bytes have to be copied and kept. */
MRP_EXPORT void mrp_http_hold(struct mrp_http_call *call);
MRP_EXPORT void mrp_http_call_free(struct mrp_http_call **call); /* ends it if it still runs */

MRP_EXPORT void mrp_http_response_done(struct mrp_http_response *resp); /* and zeroes it */

/** An error from an answer that is not what was wanted: "WHAT: HTTP 403: <the server's words,
 * cleaned>". 401/403 -> MRP_E_AUTH, 404 -> NOTFOUND, else REMOTE. */
MRP_EXPORT int mrp_http_status_error(const struct mrp_http_response *resp,
                                     const char *what,
                                     struct mrp_error *err);

/* ---- tasks ---- */
struct mrp_group;
typedef int (*mrp_task_fn)(void *arg, struct mrp_error *err);

/** A group of tasks of which at most `limit` run at once (0: 64). Groups nest: a task may make its
 * own. */
MRP_EXPORT int mrp_group_new(struct mrp_group **out,
                             struct mrp_http *http,
                             unsigned limit,
                             struct mrp_error *err) MRP_NODISCARD;
/** Start fn(arg) as a fiber (256 KiB of stack); parks while the group is full. 0 or MRP_E_NOMEM, or
 * MRP_E_CANCELLED after a failure. */
MRP_EXPORT int mrp_group_spawn(struct mrp_group *group,
                               mrp_task_fn fn,
                               void *arg,
                               struct mrp_error *err) MRP_NODISCARD;
/** Until all tasks ended; the first failure is returned (and stops nothing unless
 * `mrp_group_stop_on_error`). */
MRP_EXPORT int mrp_group_wait(struct mrp_group *group, struct mrp_error *err);
/** After the first failure: spawn refuses, running tasks see MRP_E_CANCELLED from their next wait.
 */
MRP_EXPORT void mrp_group_stop_on_error(struct mrp_group *group);
MRP_EXPORT void mrp_group_limit(struct mrp_group *group, unsigned limit);
MRP_EXPORT void mrp_group_free(struct mrp_group **group); /* cancels and waits */
/** The end of every use: wait for all tasks and free the group (*group may be NULL). `rc` and err
 * are what the starter has met itself: that stays the result, unless it is 0 or only says that the
 * group was stopped; then it is the first failure of a task. */
MRP_EXPORT int
mrp_group_finish(struct mrp_group **group, int rc, struct mrp_error *err) MRP_NODISCARD;

/** A place where tasks wait for a condition: wait parks (outside a task: runs the loop) until a
 * wake; callable from source and sink callbacks: wake. */
struct mrp_waitq {
    void *first;
};
MRP_EXPORT int
mrp_waitq_wait(struct mrp_waitq *q, struct mrp_http *http, struct mrp_error *err) MRP_NODISCARD;
MRP_EXPORT void mrp_waitq_wake(struct mrp_waitq *q, struct mrp_http *http); /* all that wait */
MRP_EXPORT int
mrp_http_sleep(struct mrp_http *http, int64_t ms, struct mrp_error *err) MRP_NODISCARD; /* parks */
/** Wait until fd is readable (or writable), or timeout_ms passed: 1 ready, 0 timeout, negative
 * code. Parks. */
MRP_EXPORT int mrp_http_wait_fd(struct mrp_http *http,
                                int fd,
                                bool writable,
                                int64_t timeout_ms,
                                struct mrp_error *err) MRP_NODISCARD;

#endif
