/* A bounded buffer between one feed and several readers, without threads: who finds it full or
 * empty is told to pause, and is resumed by the other side. */
#ifndef ECR_RING_H
#define ECR_RING_H

#include <mrpipe/http.h>

#include <stdbool.h>
#include <stdint.h>

struct reader {
    struct reader *next;
    struct ring *ring;
    uint64_t pos;
    struct mrp_http_call *call; /* resumed when there is more; NULL: a task waits on `more` */
    struct mrp_waitq more;
    bool paused;
    bool left;     /* reads no longer: holds nobody back */
    bool detached; /* too slow for the others: gets a feed of its own later */
};

struct ring {
    struct mrp_http *http;
    char *buf;
    size_t cap;
    uint64_t head; /* bytes that were put in */
    uint64_t size; /* of the whole blob */
    struct reader *readers;
    struct mrp_http_call *feed; /* resumed when there is room */
    bool feed_paused;
    struct mrp_waitq room;  /* a feed that is a task */
    struct mrp_waitq start; /* readers that wait for the first bytes */
    bool started;
    bool failed;   /* no more bytes will come */
    unsigned held; /* how often one reader was seen to hold up another */
};

/** `from`: the offset of the first byte that will be put in. 0 or MRP_E_NOMEM. */
int ring_init(struct ring *r,
              struct mrp_http *http,
              size_t cap,
              uint64_t from,
              uint64_t size,
              struct mrp_error *err) MRP_NODISCARD;
void ring_done(struct ring *r);
void ring_join(struct ring *r, struct reader *reader);
void ring_leave(struct reader *reader);

/** All or nothing: len, MRP_HTTP_PAUSE, or MRP_HTTP_ABORT when nobody reads any more. */
long ring_put(struct ring *r, const char *data, size_t len);
/** The same for a task: parks while it is full. */
int ring_write(struct ring *r, const char *data, size_t len, struct mrp_error *err) MRP_NODISCARD;
/** Bytes, 0 at the end, MRP_HTTP_PAUSE, or MRP_HTTP_ABORT when the feed failed. */
long ring_get(struct reader *reader, char *buf, size_t len);
/** The same for a task: parks while it is empty; negative codes on failure. */
long ring_read(struct reader *reader, char *buf, size_t len, struct mrp_error *err);
/** Parks until the first bytes came or the feed failed. */
int ring_wait_start(struct ring *r, struct mrp_error *err) MRP_NODISCARD;
/** Let the readers begin: done by the first bytes, and by the end of a feed that has none. */
void ring_begin(struct ring *r);
bool ring_has_readers(const struct ring *r);
void ring_fail(struct ring *r);
/** Called now and then: detaches the reader that has held up another `limit` times. */
bool ring_look(struct ring *r, unsigned limit);

#endif
