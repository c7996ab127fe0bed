/* One request with its tries and redirects: what call.c, transfer.c and redirect.c share. */
#ifndef MRP_NET_CALL_H
#define MRP_NET_CALL_H

#include "engine.h"

enum call_state { CALL_NEW, CALL_PENDING, CALL_RUNNING, CALL_BACKOFF, CALL_ENDED };

#define MAX_HOPS 10u

struct mrp_http_call {
    struct mrp_http *http;
    struct mrp_http_call *prev, *next;
    enum call_state state;

    /* the request, copied */
    char *method;
    char *url;       /* of the next try: changes with redirects */
    char *authority; /* of url */
    char *home;      /* scheme://authority of the first URL */
    char *what;
    char *api;
    struct mrp_headers given;
    const void *body;
    size_t body_len;
    bool has_body;
    bool has_source;
    bool has_sink;
    struct mrp_http_source source;
    struct mrp_http_sink sink;
    size_t max_body;
    unsigned flags;
    int retries;
    int64_t deadline_ms; /* FAR_MS: none */
    int64_t stall_ms;
    int (*prepare)(void *arg, struct mrp_headers *headers, struct mrp_error *err);
    void *prepare_arg;

    /* the present try */
    CURL *easy;
    struct curl_slist *fields;
    char curl_words[CURL_ERROR_SIZE];
    int64_t begun_ms;
    int64_t moved_ms; /* when the last byte moved */
    int64_t moved_bytes;
    int64_t due_ms; /* of the next try, in CALL_BACKOFF */
    size_t header_bytes;
    long sent_head;         /* bytes of the request that left; known when the try is over */
    int64_t source_bytes;   /* read from the source */
    int64_t expected_bytes; /* Content-Length of the answer; -1: unknown */
    bool head_done;
    bool delivered; /* the sink got bytes */
    bool tls;
    bool paused;
    bool hold;      /* the sink wants no more for now */
    bool throttled; /* paused because of the bandwidth limit */
    bool resume;
    bool too_big;
    bool sink_stopped;
    bool source_stopped;
    bool source_short;
    struct slot slot;

    /* over all tries */
    unsigned failures;
    unsigned hops;
    bool left_home;
    char **seen; /* "METHOD URL" of the present chain of redirects */

    /* the outcome */
    struct mrp_http_response *resp;
    bool headers_ready;
    int rc;
    struct mrp_error error;
    struct waiter *waiters;
};

/* ---- transfer.c ---- */
int transfer_begin(struct mrp_http_call *call, struct mrp_error *err);
/** Take it out of curl; keeps counters. */
void transfer_end(struct mrp_http_call *call);
/** Go on after a pause. CURLE_OK, or what the receiver of kept bytes has made of it: curl itself
 * does not end the transfer then. */
CURLcode transfer_resume(struct mrp_http_call *call);
/** Bytes moved so far by the present try, both ways, heads included. */
int64_t transfer_moved(const struct mrp_http_call *call);

/* ---- redirect.c ---- */
bool redirect_wanted(const struct mrp_http_call *call);
/** Point the call at the Location of its answer. */
int redirect_follow(struct mrp_http_call *call, struct mrp_error *err);
/** "scheme://host[:port]" of a URL; owned. */
char *url_origin(const char *url);

/* ---- call.c ---- */
void call_wake(struct mrp_http_call *call);
/** Give the body source back to its first byte. 0, or -1 if it cannot. */
int call_rewind(struct mrp_http_call *call);

/* ---- api_error.c ---- */
/** The remote's own code and words in an error answer (JSON, XML, registry, header, text); both
 * cleaned, "" if there are none. */
void api_error_read(char *code,
                    size_t code_size,
                    char *words,
                    size_t words_size,
                    const struct mrp_http_response *resp);

#endif
