/* The ring between one source and its destinations. */
#include "hub.h"
#include "lfs.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { TRAILER = 20, RING = 256 << 10, START = 64 << 10 };

struct mrp_hub {
    struct mrp_http *http;
    unsigned char *ring;
    size_t cap;
    uint64_t head;  /* bytes added */
    uint64_t limit; /* bytes that readers may have */
    EVP_MD_CTX *sha1;
    unsigned char first[12]; /* "PACK", version, count */
    struct mrp_http_call *source;
    bool source_paused;
    bool complete;
    bool broken;
    struct mrp_error cause;
    struct mrp_waitq wait;
    struct mrp_lfs lfs;
    void (*moved)(void *arg, size_t len);
    void *arg;
    size_t count;
    struct mrp_hub_reader readers[];
};

int mrp_hub_new(struct mrp_hub **out, struct mrp_http *http, size_t readers, struct mrp_error *err)
{
    struct mrp_hub *hub = calloc(1, sizeof *hub + readers * sizeof hub->readers[0]);
    if (hub) {
        hub->http = http;
        hub->cap = RING;
        hub->ring = malloc(hub->cap);
        hub->sha1 = EVP_MD_CTX_new();
        hub->count = readers;
        for (size_t i = 0; i < readers; i++)
            hub->readers[i].hub = hub;
    }
    if (!hub || !hub->ring || !hub->sha1 || EVP_DigestInit_ex(hub->sha1, EVP_sha1(), NULL) != 1) {
        mrp_hub_free(&hub);
        return mrp_fail(err, MRP_E_NOMEM, "make room for a pack");
    }
    *out = hub;
    return MRP_OK;
}

void mrp_hub_free(struct mrp_hub **hub)
{
    if (!*hub)
        return;
    EVP_MD_CTX_free((*hub)->sha1);
    free((*hub)->ring);
    free(*hub);
    *hub = NULL;
}

void mrp_hub_on_bytes(struct mrp_hub *hub, void (*moved)(void *arg, size_t len), void *arg)
{
    hub->moved = moved;
    hub->arg = arg;
}

struct mrp_hub_reader *mrp_hub_reader(struct mrp_hub *hub, size_t index)
{
    return &hub->readers[index];
}

/* Tell everybody who waits for bytes. */
static void wake_readers(struct mrp_hub *hub)
{
    for (size_t i = 0; i < hub->count; i++) {
        struct mrp_hub_reader *r = &hub->readers[i];
        if (r->paused && r->call) {
            r->paused = false;
            mrp_http_resume(r->call);
        }
    }
    mrp_waitq_wake(&hub->wait, hub->http);
}

static void wake_source(struct mrp_hub *hub)
{
    if (hub->source && hub->source_paused) {
        hub->source_paused = false;
        mrp_http_resume(hub->source);
    }
    mrp_waitq_wake(&hub->wait, hub->http);
}

/* What the slowest reader still needs. */
static uint64_t floor_of(const struct mrp_hub *hub)
{
    uint64_t low = hub->limit;
    for (size_t i = 0; i < hub->count; i++)
        if (!hub->readers[i].left && hub->readers[i].pos < low)
            low = hub->readers[i].pos;
    return low;
}

static size_t free_bytes(const struct mrp_hub *hub)
{
    return hub->cap - (size_t)(hub->head - floor_of(hub));
}

bool mrp_hub_wanted(const struct mrp_hub *hub)
{
    for (size_t i = 0; i < hub->count; i++)
        if (!hub->readers[i].left)
            return true;
    return false;
}

void mrp_hub_set_source(struct mrp_hub *hub, struct mrp_http_call *call)
{
    hub->source = call;
}

/* A piece larger than the network usually gives. */
static void grow(struct mrp_hub *hub, size_t cap)
{
    unsigned char *ring = malloc(cap);
    if (!ring)
        return;
    for (uint64_t i = floor_of(hub); i < hub->head; i++)
        ring[i % cap] = hub->ring[i % hub->cap];
    free(hub->ring);
    hub->ring = ring;
    hub->cap = cap;
}

bool mrp_hub_room(struct mrp_hub *hub, size_t len)
{
    if (len > hub->cap / 2 && len < SIZE_MAX / 4)
        grow(hub, 2 * len + TRAILER);
    if (free_bytes(hub) >= len)
        return true;
    hub->source_paused = true;
    return false;
}

static void ring_put(struct mrp_hub *hub, const unsigned char *data, size_t len)
{
    size_t at = (size_t)(hub->head % hub->cap);
    size_t n = len < hub->cap - at ? len : hub->cap - at;
    memcpy(hub->ring + at, data, n);
    memcpy(hub->ring, data + n, len - n);
    hub->head += len;
}

/* Hash what has just been released to the readers. */
static void release(struct mrp_hub *hub, uint64_t limit)
{
    while (hub->limit < limit) {
        size_t at = (size_t)(hub->limit % hub->cap);
        size_t n = hub->cap - at;
        if (n > limit - hub->limit)
            n = (size_t)(limit - hub->limit);
        EVP_DigestUpdate(hub->sha1, hub->ring + at, n);
        hub->limit += n;
    }
}

static int check_start(const struct mrp_hub *hub, struct mrp_error *err)
{
    const unsigned char *f = hub->first;
    if (memcmp(f, "PACK", 4) != 0 || f[4] || f[5] || f[6] || (f[7] != 2 && f[7] != 3))
        return mrp_fail(err, MRP_E_REMOTE, "what the source sent is no pack");
    return MRP_OK;
}

int mrp_hub_add(struct mrp_hub *hub, const char *data, size_t len, struct mrp_error *err)
{
    const unsigned char *bytes = (const unsigned char *)data;
    if (free_bytes(hub) < len)
        return mrp_fail(err, MRP_E_BUG, "%zu bytes were added to a full ring", len);
    if (hub->head < sizeof hub->first) {
        size_t have = (size_t)hub->head, n = sizeof hub->first - have;
        memcpy(hub->first + have, bytes, n < len ? n : len);
        if (have + len >= sizeof hub->first && check_start(hub, err))
            return MRP_E_REMOTE;
    }
    mrp_lfs_scan(&hub->lfs, bytes, len);
    ring_put(hub, bytes, len);
    if (hub->head > TRAILER)
        release(hub, hub->head - TRAILER);
    wake_readers(hub);
    if (hub->moved)
        hub->moved(hub->arg, len);
    return MRP_OK;
}

int mrp_hub_put(struct mrp_hub *hub, const char *data, size_t len, struct mrp_error *err)
{
    while (len) {
        size_t n = len < RING / 4 ? len : RING / 4;
        if (!mrp_hub_wanted(hub))
            return mrp_fail(err, MRP_E_CANCELLED, "no destination takes the pack any more");
        if (hub->broken) {
            *err = hub->cause;
            return err->code;
        }
        int rc = MRP_OK;
        if (mrp_hub_room(hub, n)) {
            rc = mrp_hub_add(hub, data, n, err);
            data += n;
            len -= n;
        } else {
            rc = mrp_waitq_wait(&hub->wait, hub->http, err);
        }
        if (rc)
            return rc;
    }
    return MRP_OK;
}

int mrp_hub_close(struct mrp_hub *hub, struct mrp_error *err)
{
    unsigned char sum[EVP_MAX_MD_SIZE], trailer[TRAILER];
    if (hub->head < sizeof hub->first + TRAILER) {
        mrp_fail(err, MRP_E_NET, "the source's pack was cut after %llu bytes",
                 (unsigned long long)hub->head);
        return err->code;
    }
    for (size_t i = 0; i < TRAILER; i++)
        trailer[i] = hub->ring[(hub->head - TRAILER + i) % hub->cap];
    if (EVP_DigestFinal_ex(hub->sha1, sum, NULL) != 1 || memcmp(sum, trailer, TRAILER) != 0)
        return mrp_fail(err, MRP_E_NET,
                        "the source's pack is cut or damaged: its SHA-1 is wrong after %llu bytes",
                        (unsigned long long)hub->head);
    hub->limit = hub->head;
    hub->complete = true;
    wake_readers(hub);
    return MRP_OK;
}

void mrp_hub_break(struct mrp_hub *hub, const struct mrp_error *cause)
{
    if (hub->broken || hub->complete)
        return;
    hub->broken = true;
    hub->cause = *cause;
    wake_readers(hub);
}

int mrp_hub_add_empty(struct mrp_hub *hub, struct mrp_error *err)
{
    static const unsigned char pack[32] = {'P',  'A',  'C',  'K',  0,    0,    0,    2,
                                           0,    0,    0,    0,    0x02, 0x9d, 0x08, 0x82,
                                           0x3b, 0xd8, 0xa8, 0xea, 0xb5, 0x10, 0xad, 0x6a,
                                           0xc7, 0x5c, 0x82, 0x3c, 0xfd, 0x3e, 0xd3, 0x1e};
    int rc = mrp_hub_add(hub, (const char *)pack, sizeof pack, err);
    return rc ? rc : mrp_hub_close(hub, err);
}

static int cause_of(const struct mrp_hub *hub, struct mrp_error *err)
{
    *err = hub->cause;
    return hub->cause.code;
}

int mrp_hub_wait_start(struct mrp_hub_reader *r, struct mrp_error *err)
{
    struct mrp_hub *hub = r->hub;
    while (!hub->complete && !hub->broken && hub->limit < START) {
        int rc = mrp_waitq_wait(&hub->wait, hub->http, err);
        if (rc)
            return rc;
    }
    return hub->broken ? cause_of(hub, err) : MRP_OK;
}

long mrp_hub_read(struct mrp_hub_reader *r, char *buf, size_t len)
{
    struct mrp_hub *hub = r->hub;
    if (hub->broken)
        return MRP_HTTP_ABORT;
    size_t done = 0;
    while (done < len && r->pos < hub->limit) {
        size_t at = (size_t)(r->pos % hub->cap);
        size_t n = hub->cap - at;
        if (n > hub->limit - r->pos)
            n = (size_t)(hub->limit - r->pos);
        if (n > len - done)
            n = len - done;
        memcpy(buf + done, hub->ring + at, n);
        done += n;
        r->pos += n;
    }
    if (done) {
        wake_source(hub);
        return (long)done;
    }
    if (hub->complete)
        return 0;
    r->paused = true;
    return MRP_HTTP_PAUSE;
}

int mrp_hub_peek(const char **data, size_t *len, struct mrp_hub_reader *r, struct mrp_error *err)
{
    struct mrp_hub *hub = r->hub;
    while (!hub->broken && !hub->complete && r->pos == hub->limit) {
        int rc = mrp_waitq_wait(&hub->wait, hub->http, err);
        if (rc)
            return rc;
    }
    if (hub->broken)
        return cause_of(hub, err);
    size_t at = (size_t)(r->pos % hub->cap);
    size_t n = hub->cap - at;
    if (n > hub->limit - r->pos)
        n = (size_t)(hub->limit - r->pos);
    *data = (const char *)hub->ring + at;
    *len = n;
    return MRP_OK;
}

void mrp_hub_took(struct mrp_hub_reader *r, size_t len)
{
    r->pos += len;
    wake_source(r->hub);
}

void mrp_hub_leave(struct mrp_hub_reader *r)
{
    if (r->left)
        return;
    r->left = true;
    r->call = NULL;
    wake_source(r->hub);
}

bool mrp_hub_complete(const struct mrp_hub *hub)
{
    return hub->complete;
}

bool mrp_hub_broken(const struct mrp_hub *hub, struct mrp_error *cause)
{
    if (hub->broken && cause)
        *cause = hub->cause;
    return hub->broken;
}

uint64_t mrp_hub_bytes(const struct mrp_hub *hub)
{
    return hub->head;
}

uint32_t mrp_hub_objects(const struct mrp_hub *hub)
{
    const unsigned char *f = hub->first;
    return (uint32_t)f[8] << 24 | (uint32_t)f[9] << 16 | (uint32_t)f[10] << 8 | f[11];
}

uint64_t mrp_hub_lfs(const struct mrp_hub *hub)
{
    return hub->lfs.found;
}
