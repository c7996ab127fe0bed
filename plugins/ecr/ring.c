/* The bounded buffer through which one source blob flows to all its destinations. */
#include "ring.h"

#include <stdlib.h>
#include <string.h>

int ring_init(struct ring *r,
              struct mrp_http *http,
              size_t cap,
              uint64_t from,
              uint64_t size,
              struct mrp_error *err)
{
    *r = (struct ring){.http = http, .cap = cap, .head = from, .size = size};
    r->buf = malloc(cap + 1); /* never of no bytes */
    return r->buf ? 0 : mrp_fail(err, MRP_E_NOMEM, "transfer buffer");
}

void ring_done(struct ring *r)
{
    free(r->buf);
    r->buf = NULL;
}

void ring_join(struct ring *r, struct reader *reader)
{
    reader->ring = r;
    reader->left = false;
    reader->detached = false;
    reader->next = r->readers;
    r->readers = reader;
}

/* The slowest that still reads, or NULL. */
static struct reader *slowest(const struct ring *r)
{
    struct reader *s = NULL;
    for (struct reader *at = r->readers; at; at = at->next)
        if (!at->left && !at->detached && (!s || at->pos < s->pos))
            s = at;
    return s;
}

static size_t space(const struct ring *r)
{
    const struct reader *s = slowest(r);
    return s ? r->cap - (size_t)(r->head - s->pos) : r->cap;
}

static void resume_feed(struct ring *r)
{
    /* Not for each byte: two thirds of the ring at a time keep the number of wake-ups low. */
    if (!r->feed_paused || (slowest(r) && space(r) < r->cap / 3 * 2))
        return;
    r->feed_paused = false;
    if (r->feed)
        mrp_http_resume(r->feed);
    mrp_waitq_wake(&r->room, r->http);
}

static void resume_readers(struct ring *r)
{
    for (struct reader *at = r->readers; at; at = at->next) {
        if (!at->paused || at->detached)
            continue;
        at->paused = false;
        if (at->call)
            mrp_http_resume(at->call);
        mrp_waitq_wake(&at->more, r->http);
    }
}

void ring_leave(struct reader *reader)
{
    struct ring *r = reader->ring;
    reader->left = true;
    reader->ring = NULL;
    if (!r)
        return;
    for (struct reader **at = &r->readers; *at; at = &(*at)->next) {
        if (*at == reader) {
            *at = reader->next;
            break;
        }
    }
    if (!slowest(r) && r->feed_paused) {
        r->feed_paused = false;
        if (r->feed)
            mrp_http_resume(r->feed);
        mrp_waitq_wake(&r->room, r->http);
    }
    resume_feed(r);
}

void ring_begin(struct ring *r)
{
    if (r->started)
        return;
    r->started = true;
    mrp_waitq_wake(&r->start, r->http);
}

/* Before a piece comes that has no room: the engine would have to keep it meanwhile. */
static void hold_feed(struct ring *r)
{
    uint64_t left = r->size - r->head;
    size_t piece = left < MRP_HTTP_PIECE ? (size_t)left : MRP_HTTP_PIECE;
    if (!r->feed || !slowest(r) || space(r) >= piece)
        return;
    r->feed_paused = true;
    mrp_http_hold(r->feed);
}

long ring_put(struct ring *r, const char *data, size_t len)
{
    if (!slowest(r) || len > r->cap)
        return MRP_HTTP_ABORT;
    if (len > space(r)) {
        r->feed_paused = true;
        return MRP_HTTP_PAUSE;
    }
    size_t at = (size_t)(r->head % r->cap);
    size_t first = len < r->cap - at ? len : r->cap - at;
    memcpy(r->buf + at, data, first);
    memcpy(r->buf, data + first, len - first);
    r->head += len;
    ring_begin(r);
    resume_readers(r);
    hold_feed(r);
    return (long)len;
}

int ring_write(struct ring *r, const char *data, size_t len, struct mrp_error *err)
{
    for (;;) {
        long n = ring_put(r, data, len);
        if (n == MRP_HTTP_ABORT)
            return mrp_fail(err, MRP_E_CANCELLED, "no destination takes the blob any more");
        if (n != MRP_HTTP_PAUSE)
            return 0;
        int rc = mrp_waitq_wait(&r->room, r->http, err);
        if (rc)
            return rc;
    }
}

long ring_get(struct reader *reader, char *buf, size_t len)
{
    struct ring *r = reader->ring;
    if (r && reader->pos == r->size)
        return 0;
    if (!r || (r->failed && reader->pos == r->head))
        return MRP_HTTP_ABORT;
    if (reader->detached || reader->pos == r->head) {
        reader->paused = true;
        return MRP_HTTP_PAUSE;
    }
    size_t have = (size_t)(r->head - reader->pos);
    size_t n = have < len ? have : len;
    size_t at = (size_t)(reader->pos % r->cap);
    size_t first = n < r->cap - at ? n : r->cap - at;
    memcpy(buf, r->buf + at, first);
    memcpy(buf + first, r->buf, n - first);
    reader->pos += n;
    resume_feed(r);
    return (long)n;
}

long ring_read(struct reader *reader, char *buf, size_t len, struct mrp_error *err)
{
    for (;;) {
        long n = ring_get(reader, buf, len);
        if (n >= 0)
            return n;
        if (n == MRP_HTTP_ABORT)
            return mrp_fail(err, MRP_E_NET, "the source ended early");
        int rc = mrp_waitq_wait(&reader->more, reader->ring->http, err);
        if (rc)
            return rc;
    }
}

int ring_wait_start(struct ring *r, struct mrp_error *err)
{
    while (!r->started && !r->failed) {
        int rc = mrp_waitq_wait(&r->start, r->http, err);
        if (rc)
            return rc;
    }
    return 0;
}

bool ring_has_readers(const struct ring *r)
{
    return slowest(r) != NULL;
}

void ring_fail(struct ring *r)
{
    r->failed = true;
    mrp_waitq_wake(&r->start, r->http);
    resume_readers(r);
}

bool ring_look(struct ring *r, unsigned limit)
{
    struct reader *s = slowest(r);
    if (!s || !r->feed_paused || r->head == r->size)
        return false;
    bool starving = false;
    for (const struct reader *at = r->readers; at; at = at->next)
        starving = starving || (at != s && !at->left && !at->detached && at->pos == r->head);
    if (!starving || ++r->held < limit)
        return false;
    r->held = 0;
    s->detached = true;
    resume_feed(r);
    return true;
}
