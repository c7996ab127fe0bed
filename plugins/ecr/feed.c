/* The reading side of a blob transfer: a registry (resumed by Range) or a file. */
#include "feed.h"

#include <mrpipe/auto.h>
#include <mrpipe/digest.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    IDLE_TRIES = 2, /* without one new byte; the engine has tried each several times */
    FIRST_WAIT_MS = 250,
    CHUNK = 128 << 10
};

/* One GET. */
struct intake {
    struct ring *ring;
    struct mrp_sha256 *hash;
    uint64_t skip; /* bytes that we have already: the server does not do ranges */
    bool begun;    /* bytes of it were taken: the engine asks no second time */
    char bad[160]; /* why the answer was refused */
};

static void check_head(struct intake *in, const struct mrp_http_response *head)
{
    uint64_t at = in->ring->head;
    uint64_t want = in->ring->size - at;
    in->skip = 0;
    const char *length = mrp_headers_get(&head->headers, "Content-Length");
    uint64_t n = want;
    if (head->status == 206) {
        const char *range = mrp_headers_get(&head->headers, "Content-Range");
        char begin[48];
        snprintf(begin, sizeof begin, "bytes %" PRIu64 "-", at);
        if (!range || !mrp_starts(range, begin))
            snprintf(in->bad, sizeof in->bad, "asked for bytes from %" PRIu64 ", got `%.60s`", at,
                     range ? range : "no Content-Range");
    } else {
        in->skip = at;
        want += at;
        n = want;
    }
    if (!in->bad[0] && length &&
        (mrp_parse_uint(&n, length, strlen(length), UINT64_MAX) || n != want))
        snprintf(in->bad, sizeof in->bad,
                 "the answer has %.24s bytes where the descriptor leaves %" PRIu64, length, want);
}

static long take(void *arg, const struct mrp_http_response *head, const char *data, size_t len)
{
    struct intake *in = arg;
    if (!in->begun)
        check_head(in, head);
    if (in->bad[0])
        return MRP_HTTP_ABORT;
    if (in->skip >= len) {
        in->begun = true;
        in->skip -= len;
        return (long)len;
    }
    const char *fresh = data + in->skip;
    size_t n = len - (size_t)in->skip;
    if (n > in->ring->size - in->ring->head) {
        snprintf(in->bad, sizeof in->bad,
                 "the source sent more than the %" PRIu64 " bytes of its descriptor",
                 in->ring->size);
        return MRP_HTTP_ABORT;
    }
    long rc = ring_put(in->ring, fresh, n);
    if (rc < 0)
        return rc;
    in->begun = true;
    if (in->hash)
        mrp_sha256_add(in->hash, fresh, n);
    in->skip = 0;
    return (long)len;
}

static int
get_once(const struct feed *f, struct ring *ring, struct mrp_sha256 *hash, struct mrp_error *err)
{
    struct repo *repo = f->src->repo;
    struct intake in = {.ring = ring, .hash = hash};
    const struct mrp_http_sink sink = {.write = take, .arg = &in};
    char range[40];
    snprintf(range, sizeof range, "bytes=%" PRIu64 "-", ring->head);
    mrp_auto(mrp_free_str) char *path = mrp_strf("/v2/%s/blobs/%s", repo->name, f->blob->digest);
    mrp_auto(mrp_free_str) char *what =
        mrp_strf("blob %s at %s/%s", f->blob->digest, repo->host->name, repo->name);
    if (!path || !what)
        return mrp_fail(err, MRP_E_NOMEM, "blob transfer");
    const struct call c = {.api = API_BLOB,
                           .method = "GET",
                           .path = path,
                           .repo = repo->name,
                           .sink = &sink,
                           .handle = &ring->feed,
                           .range = ring->head ? range : NULL,
                           .what = what,
                           .tally = f->tally};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    int rc = host_do(&resp, repo->host, &c, err);
    ring->feed_paused = false;
    if (in.bad[0])
        return mrp_fail(err, MRP_E_REMOTE, "%s: %s", what, in.bad);
    if (rc)
        return rc;
    if (resp.status != 200 && resp.status != 206)
        return host_error(&resp, repo->host, what, err);
    if (ring->head < ring->size)
        return mrp_fail(err, MRP_E_NET, "%s: ended after %" PRIu64 " of %" PRIu64 " bytes", what,
                        ring->head, ring->size);
    return 0;
}

/* Answers that say "busy" were asked for again by the engine, as often as its table says. */
static bool worth_again(int rc)
{
    return rc == MRP_E_NET || rc == MRP_E_TIMEOUT;
}

static int check_hash(struct mrp_sha256 *hash, const struct feed *f, struct mrp_error *err)
{
    char got[DIGEST_SIZE] = "sha256:";
    char name[300];
    mrp_sha256_end_hex(hash, got + 7);
    if (!strcmp(got, f->blob->digest))
        return 0;
    return mrp_fail(err, f->src->layout ? MRP_E_IO : MRP_E_REMOTE,
                    "blob %s at %s: the source %s bytes that hash to %s", f->blob->digest,
                    end_show(name, sizeof name, f->src), f->src->layout ? "holds" : "sends", got);
}

static int from_registry(const struct feed *f,
                         struct ring *ring,
                         struct mrp_sha256 *hash,
                         struct mrp_error *err)
{
    int idle = 0;
    for (;;) {
        uint64_t before = ring->head;
        int rc = get_once(f, ring, hash, err);
        if (!rc || !ring_has_readers(ring))
            return 0;
        idle = ring->head > before ? 0 : idle + 1;
        if (!worth_again(rc) || idle >= IDLE_TRIES)
            return rc;
        mrp_log(f->hub->stage, MRP_DEBUG, "%s; going on at byte %" PRIu64, err->msg, ring->head);
        if (f->tally)
            f->tally->retries++;
        int64_t most = (int64_t)FIRST_WAIT_MS << idle;
        int64_t wait_ms = (int64_t)(mrp_random() % (uint64_t)most);
        if ((rc = mrp_http_sleep(f->hub->http, wait_ms, err)))
            return rc;
    }
}

static int
from_file(const struct feed *f, struct ring *ring, struct mrp_sha256 *hash, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = layout_blob_path(f->src->layout, f->blob->digest);
    mrp_auto(mrp_free_str) char *buf = malloc(CHUNK);
    if (!path || !buf)
        return mrp_fail(err, MRP_E_NOMEM, "blob transfer");
    mrp_auto(mrp_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mrp_fail_errno(err, "blob %s of %s", f->blob->digest, f->src->layout->shown);
    while (ring->head < ring->size) {
        uint64_t left = ring->size - ring->head;
        size_t want = left < CHUNK ? (size_t)left : CHUNK;
        ssize_t n = pread(fd, buf, want, (off_t)ring->head);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mrp_fail_errno(err, "read %s", path);
        if (!n)
            return mrp_fail(err, MRP_E_IO,
                            "%s is shorter than the %" PRIu64 " bytes of its descriptor", path,
                            ring->size);
        int rc = ring_write(ring, buf, (size_t)n, err);
        if (rc && !ring_has_readers(ring))
            return 0;
        if (rc)
            return rc;
        if (hash)
            mrp_sha256_add(hash, buf, (size_t)n);
    }
    return 0;
}

/* Inline data was checked against its descriptor when the manifest was read. */
static int from_memory(const struct feed *f, struct ring *ring, struct mrp_error *err)
{
    const char *bytes = f->blob->data;
    int rc = 0;
    while (!rc && ring->head < ring->size) {
        uint64_t left = ring->size - ring->head;
        rc = ring_write(ring, bytes + ring->head, left < CHUNK ? (size_t)left : CHUNK, err);
    }
    return rc && !ring_has_readers(ring) ? 0 : rc;
}

int feed_run(const struct feed *f, struct ring *ring, struct mrp_error *err)
{
    bool check = f->hash && !ring->head && mrp_starts(f->blob->digest, "sha256:");
    mrp_auto(mrp_sha256_free) struct mrp_sha256 *hash = check ? mrp_sha256_new() : NULL;
    int rc;
    if (f->blob->data)
        rc = from_memory(f, ring, err);
    else if (f->src->repo)
        rc = from_registry(f, ring, hash, err);
    else
        rc = from_file(f, ring, hash, err);
    if (!rc && hash && !f->blob->data && ring->head == ring->size)
        rc = check_hash(hash, f, err);
    if (rc)
        ring_fail(ring);
    else
        ring_begin(ring); /* an empty blob has no first byte */
    return rc;
}
