/* Moves one blob: sessions first, then one read of the source for all destinations at once. */
#include "move.h"
#include "feed.h"

#include <mrpipe/auto.h>
#include <mrpipe/digest.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SMALL_BYTES = 128 << 10, /* a ring holds it whole: the gate for memory is not asked */
    RING_BYTES = 512 << 10,
    MEDIUM_BYTES = 4 << 20, /* where time goes into round trips more than into bytes */
    MEDIUM_RING = 384 << 10,
    TRIES = 5,
    FIRST_WAIT_MS = 250,
    LOOK_MS = 500,
    LOOK_LIMIT = 6 /* a reader that holds up others for 3 s goes on alone */
};

struct move {
    struct hub *hub;
    const struct desc *blob;
    struct feed feed;
    struct target *targets;
    size_t count;
    struct ring *ring;
    int attempt;
    bool early;
    bool ahead; /* this attempt reads the source while the targets are asked */
};

typedef int (*target_fn)(void *target, struct mrp_error *err);

/* fn for all targets that are not settled, at the same time. */
static int each_target(struct move *m, target_fn fn, struct mrp_error *err)
{
    if (m->count == 1)
        return m->targets->settled ? 0 : fn(m->targets, err);
    struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, m->hub->http, 0, err);
    for (size_t i = 0; !rc && i < m->count; i++)
        if (!m->targets[i].settled)
            rc = mrp_group_spawn(group, fn, &m->targets[i], err);
    return mrp_group_finish(&group, rc, err);
}

/* A target's failure is its own, unless the run is ending. */
static int outcome(struct target *t, int rc, struct mrp_error *err)
{
    struct move *m = t->move;
    t->rc = rc;
    if (!rc) {
        t->settled = true;
        return 0;
    }
    t->err = *err;
    if (t->tally)
        meter_move(t->tally->meter, m->hub, -(int64_t)t->sent, 0);
    t->sent = 0;
    if (rc == MRP_E_CANCELLED || rc == MRP_E_NOMEM || rc == MRP_E_BUG)
        return rc;
    t->denied = t->denied || !strcmp(err->api, "DIGEST_INVALID");
    t->settled = !registry_may_retry(rc, err) || m->attempt + 1 >= TRIES;
    if (!t->settled) {
        mrp_log(m->hub->stage, MRP_DEBUG, "%s; trying again with a new session", err->msg);
        if (t->tally)
            t->tally->retries++;
    }
    upload_done(&t->upload);
    return 0;
}

static int open_one(void *arg, struct mrp_error *err)
{
    struct target *t = arg;
    const struct desc *blob = t->move->blob;
    upload_done(&t->upload);
    int rc = 0;
    if (t->end->layout)
        t->upload.present = layout_has_blob(t->end->layout, blob->digest, blob->size);
    else
        rc = registry_upload(&t->upload, t->end->repo, blob->digest, blob->size,
                             t->move->attempt ? NULL : t->mount_from, t->tally, err);
    if (rc)
        return outcome(t, rc, err);
    if (t->upload.present) {
        t->present = true;
        if (t->tally) {
            meter_expect(t->tally->meter, t->move->hub, -blob->size, 0);
            t->tally->skipped += (uint64_t)blob->size;
        }
        return outcome(t, 0, err);
    }
    t->rc = 0;
    return 0;
}

/* Shown as done at once; taken back if it has to be sent again. */
static void sent(struct target *t, uint64_t bytes)
{
    t->sent += bytes;
    if (t->tally)
        meter_move(t->tally->meter, t->move->hub, (int64_t)bytes, 0);
}

static long give(void *arg, char *buf, size_t len)
{
    struct target *t = arg;
    long n = ring_get(&t->reader, buf, len);
    if (n > 0)
        sent(t, (uint64_t)n);
    return n;
}

/* A folder does not check what it is given, so the hash is ours to make. */
static int write_file(struct target *t, int fd, const char *path, struct mrp_error *err)
{
    enum { CHUNK = 128 << 10 };
    mrp_auto(mrp_free_str) char *buf = malloc(CHUNK);
    mrp_auto(mrp_sha256_free) struct mrp_sha256 *hash = mrp_sha256_new();
    if (!buf || !hash)
        return mrp_fail(err, MRP_E_NOMEM, "blob transfer");
    for (;;) {
        long n = ring_read(&t->reader, buf, CHUNK, err);
        if (n < 0)
            return (int)n;
        if (!n)
            break;
        mrp_sha256_add(hash, buf, (size_t)n);
        if (mrp_write_all(fd, buf, (size_t)n))
            return mrp_fail_errno(err, "write %s", path);
        sent(t, (uint64_t)n);
    }
    char got[DIGEST_SIZE] = "sha256:";
    mrp_sha256_end_hex(hash, got + 7);
    if (strcmp(got, t->move->blob->digest) != 0)
        return mrp_fail(err, MRP_E_REMOTE, "blob %s for %s: the source sent bytes that hash to %s",
                        t->move->blob->digest, t->end->layout->shown, got);
    return 0;
}

static int put_file(struct target *t, struct mrp_error *err)
{
    const struct desc *blob = t->move->blob;
    if (!mrp_starts(blob->digest, "sha256:"))
        return mrp_fail(err, MRP_E_CONFIG, "blob %s: layouts take only sha256 digests here",
                        blob->digest);
    mrp_auto(mrp_free_str) char *path = layout_blob_path(t->end->layout, blob->digest);
    mrp_auto(mrp_free_str) char *part = path ? mrp_strf("%s.part-XXXXXX", path) : NULL;
    if (!part)
        return mrp_fail(err, MRP_E_NOMEM, "blob transfer");
    mrp_auto(mrp_close_fd) int fd = mkostemp(part, O_CLOEXEC);
    if (fd < 0)
        return mrp_fail_errno(err, "create %s", part);
    int rc = write_file(t, fd, part, err);
    if (!rc && (fchmod(fd, 0644) || rename(part, path)))
        rc = mrp_fail_errno(err, "rename %s", part);
    if (rc)
        unlink(part);
    else if (t->tally)
        t->tally->bytes += (uint64_t)blob->size;
    return rc;
}

static int put_stream(void *arg, struct mrp_error *err)
{
    struct target *t = arg;
    struct move *m = t->move;
    int rc = m->ahead ? open_one(t, err) : 0;
    if (rc || t->rc || t->settled) {
        ring_leave(&t->reader);
        return rc;
    }
    rc = ring_wait_start(m->ring, err);
    if (!rc && !m->ring->started)
        rc = mrp_fail(err, MRP_E_NET, "the source gave nothing");
    if (!rc && t->end->layout) {
        rc = put_file(t, err);
    } else if (!rc) {
        const struct mrp_http_source source = {.read = give, .arg = t, .length = m->blob->size};
        rc = registry_put_blob(t->end->repo, &t->upload, m->blob->digest, &source, &t->reader.call,
                               t->tally, err);
    }
    ring_leave(&t->reader);
    return outcome(t, rc, err);
}

static int watch(void *arg, struct mrp_error *err)
{
    struct move *m = arg;
    for (;;) {
        int rc = mrp_http_sleep(m->hub->http, LOOK_MS, err);
        if (rc)
            return rc == MRP_E_CANCELLED ? 0 : rc;
        if (ring_look(m->ring, LOOK_LIMIT))
            mrp_log(m->hub->stage, MRP_DEBUG, "blob %s: one destination is slow and goes on alone",
                    m->blob->digest);
    }
}

/* The ones that were too slow read the rest by themselves, from where they are. */
static int feed_stragglers(struct move *m, struct mrp_error *err)
{
    for (size_t i = 0; i < m->count; i++) {
        struct target *t = &m->targets[i];
        if (!t->reader.detached || t->reader.left)
            continue;
        struct ring ring;
        uint64_t from = t->reader.pos;
        int rc = ring_init(&ring, m->hub->http, RING_BYTES, from, (uint64_t)m->blob->size, err);
        if (rc)
            return rc;
        ring_leave(&t->reader);
        ring_join(&ring, &t->reader);
        rc = feed_run(&m->feed, &ring, err);
        while (!t->reader.left && t->reader.ring == &ring && !rc) {
            /* It drains what is still in the ring; when put_stream takes it out, we are woken. */
            ring.feed_paused = true;
            rc = mrp_waitq_wait(&ring.room, m->hub->http, err);
        }
        ring_leave(&t->reader);
        ring_done(&ring);
        if (rc)
            return rc;
    }
    return 0;
}

static int feed_all(struct move *m, struct mrp_error *err)
{
    mrp_auto(mrp_group_free) struct mrp_group *watcher = NULL;
    int rc = 0;
    if (m->count > 1) {
        rc = mrp_group_new(&watcher, m->hub->http, 1, err);
        if (!rc)
            rc = mrp_group_spawn(watcher, watch, m, err);
    }
    if (!rc)
        rc = feed_run(&m->feed, m->ring, err);
    if (rc)
        ring_fail(m->ring);
    return rc;
}

static size_t ring_room(const struct desc *blob)
{
    if (blob->size <= SMALL_BYTES)
        return (size_t)blob->size;
    return blob->size <= MEDIUM_BYTES ? MEDIUM_RING : RING_BYTES;
}

static int stream(struct move *m, struct mrp_error *err)
{
    struct ring ring;
    int rc = ring_init(&ring, m->hub->http, ring_room(m->blob), 0, (uint64_t)m->blob->size, err);
    if (rc)
        return rc;
    m->ring = &ring;
    struct mrp_group *group = NULL;
    rc = mrp_group_new(&group, m->hub->http, 0, err);
    for (size_t i = 0; i < m->count; i++) {
        struct target *t = &m->targets[i];
        if (t->settled || t->rc)
            continue;
        t->reader = (struct reader){0};
        ring_join(&ring, &t->reader);
    }
    for (size_t i = 0; !rc && i < m->count; i++)
        if (m->targets[i].reader.ring == &ring)
            rc = mrp_group_spawn(group, put_stream, &m->targets[i], err);
    if (!rc)
        rc = feed_all(m, err);
    if (!rc)
        rc = feed_stragglers(m, err);
    if (rc)
        ring_fail(&ring);
    rc = mrp_group_finish(&group, rc, err);
    m->ring = NULL;
    ring_done(&ring);
    return rc;
}

static bool any_open(const struct move *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (!m->targets[i].settled && !m->targets[i].rc)
            return true;
    return false;
}

static bool all_settled(const struct move *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (!m->targets[i].settled)
            return false;
    return true;
}

/* What it takes of the gate for memory; 0: nothing. */
static unsigned weight_of(const struct desc *blob)
{
    if (blob->size <= SMALL_BYTES)
        return 0;
    return blob->size <= MEDIUM_BYTES ? GATE_MEDIUM : GATE_LARGE;
}

/* Sessions and bytes: one after the other, or at the same time when the blob is likely missing,
 * which is a round trip less. Nobody waits for memory with the sessions that could be asked for. */
static int try_once(struct move *m, struct mrp_error *err)
{
    struct gate *big = &m->hub->big;
    unsigned weight = weight_of(m->blob);
    m->ahead = m->early && !m->attempt && (!weight || gate_try(big, weight));
    if (!m->ahead) {
        int rc = each_target(m, open_one, err);
        if (rc || !any_open(m))
            return rc;
        if (weight && (rc = gate_enter(big, weight, m->hub->http, err)))
            return rc;
    }
    int rc = stream(m, err);
    if (weight)
        gate_leave(big, weight, m->hub->http);
    return rc;
}

static int run(struct move *m, struct mrp_error *err)
{
    for (;; m->attempt++) {
        int rc = try_once(m, err);
        if (rc || all_settled(m))
            return rc;
        for (size_t i = 0; i < m->count; i++)
            m->feed.hash = m->feed.hash || m->targets[i].denied;
        int64_t most = (int64_t)FIRST_WAIT_MS << m->attempt;
        rc = mrp_http_sleep(m->hub->http, (int64_t)(mrp_random() % (uint64_t)most) + 20, err);
        if (rc)
            return rc;
    }
}

int move_blob(struct hub *hub,
              struct end *src,
              const struct desc *blob,
              struct target *targets,
              size_t count,
              bool early,
              struct tally *src_tally,
              struct mrp_error *err)
{
    struct move m = {.hub = hub,
                     .blob = blob,
                     .feed = {.hub = hub, .src = src, .blob = blob, .tally = src_tally},
                     .targets = targets,
                     .count = count,
                     .early = early};
    for (size_t i = 0; i < count; i++)
        targets[i].move = &m;
    int rc = run(&m, err);
    for (size_t i = 0; i < count; i++)
        upload_done(&targets[i].upload);
    return rc;
}
