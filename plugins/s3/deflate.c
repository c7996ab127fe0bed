/* Parallel deflate: a ring of blocks, worker threads that pack them, one consumer in order. */
#include "deflate.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { BLOCK = 1 << 20, WINDOW = 32 << 10, MAX_THREADS = 64 };

struct slot {
    size_t file;
    uint64_t offset;
    size_t size;
    bool last;
    bool done;
    bool stored;
    uint32_t crc;
    unsigned char *in; /* the block, with up to WINDOW bytes of what is before it */
    unsigned char *out;
    size_t out_len;
    int rc;
    struct mrp_error err;
};

struct pool {
    const struct mrp_pack_list *list;
    int level;
    struct slot *slots;
    size_t count;
    size_t head, next, tail; /* queued, taken by a worker, consumed */
    bool stop;
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t ready;
};

/* Where the consumer is in the list: the next block to queue. */
struct cursor {
    size_t file;
    uint64_t offset;
};

static size_t out_cap(void)
{
    return compressBound(BLOCK) + 64;
}

static int read_full(int fd,
                     unsigned char *buf,
                     size_t len,
                     uint64_t offset,
                     const char *path,
                     struct mrp_error *err)
{
    while (len > 0) {
        ssize_t n = pread(fd, buf, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mrp_fail_errno(err, "read %s", path);
        if (n == 0)
            return mrp_fail(err, MRP_E_ARTIFACT, "%s became shorter while it was packed", path);
        buf += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return MRP_OK;
}

static int load(struct slot *s, const struct mrp_pack_file *f, size_t *dict, struct mrp_error *err)
{
    *dict = s->offset == 0 ? 0 : WINDOW;
    if (f->link) {
        memcpy(s->in, f->link, s->size);
        return MRP_OK;
    }
    mrp_auto(mrp_close_fd) int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return mrp_fail_errno(err, "read %s", f->path);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != f->size) {
        mrp_fail(err, MRP_E_ARTIFACT, "%s changed while it was packed", f->path);
        return mrp_hint(err, "does a background process of the build still write to it?");
    }
    return read_full(fd, s->in, s->size + *dict, s->offset - *dict, f->path, err);
}

static int pack(struct slot *s, const struct mrp_pack_file *f, z_stream *z, struct mrp_error *err)
{
    size_t dict = 0;
    int rc = load(s, f, &dict, err);
    if (rc)
        return rc;
    unsigned char *data = s->in + dict;
    s->crc = (uint32_t)crc32(crc32(0, NULL, 0), data, (uInt)s->size);
    bool single = s->offset == 0 && s->last;

    s->stored = f->link || s->size == 0;
    if (!s->stored) {
        if (deflateReset(z) != Z_OK || (dict && deflateSetDictionary(z, s->in, (uInt)dict) != Z_OK))
            return mrp_fail(err, MRP_E_BUG, "deflate cannot start on %s", f->path);
        z->next_in = data;
        z->avail_in = (uInt)s->size;
        z->next_out = s->out;
        z->avail_out = (uInt)out_cap();
        int z_rc = deflate(z, s->last ? Z_FINISH : Z_SYNC_FLUSH);
        if ((s->last ? z_rc != Z_STREAM_END : z_rc != Z_OK) || z->avail_in != 0)
            return mrp_fail(err, MRP_E_BUG, "deflate failed on %s (%d)", f->path, z_rc);
        s->out_len = out_cap() - z->avail_out;
        s->stored = single && s->out_len >= s->size;
    }
    if (s->stored) {
        memcpy(s->out, data, s->size);
        s->out_len = s->size;
    }
    return MRP_OK;
}

static int pack_slot(struct pool *p, struct slot *s, z_stream *z)
{
    s->rc = pack(s, &p->list->files[s->file], z, &s->err);
    return s->rc;
}

static void *worker(void *arg)
{
    struct pool *p = arg;
    z_stream z = {0};
    bool ok = deflateInit2(&z, p->level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->stop && p->next == p->head)
            pthread_cond_wait(&p->work, &p->lock);
        if (p->stop)
            break;
        struct slot *s = &p->slots[p->next++ % p->count];
        pthread_mutex_unlock(&p->lock);
        if (ok)
            pack_slot(p, s, &z);
        else
            s->rc = mrp_fail(&s->err, MRP_E_NOMEM, "start of deflate");
        pthread_mutex_lock(&p->lock);
        s->done = true;
        pthread_cond_signal(&p->ready);
    }
    pthread_mutex_unlock(&p->lock);
    deflateEnd(&z);
    return NULL;
}

/* Put the cursor's block into a slot and move on; false at the end of the list. */
static bool fill(struct slot *s, const struct mrp_pack_list *list, struct cursor *at)
{
    if (at->file >= list->count)
        return false;
    const struct mrp_pack_file *f = &list->files[at->file];
    uint64_t left = f->size - at->offset;
    s->file = at->file;
    s->offset = at->offset;
    s->size = left > BLOCK ? BLOCK : (size_t)left;
    s->last = left <= BLOCK;
    s->done = false;
    s->rc = 0;
    at->offset += s->size;
    if (s->last) {
        at->file++;
        at->offset = 0;
    }
    return true;
}

static int consume(const struct slot *s, const struct mrp_deflate_how *how, struct mrp_error *err)
{
    if (s->rc) {
        if (err)
            *err = s->err;
        return s->rc;
    }
    const struct mrp_packed block = {
        .file = s->file,
        .first = s->offset == 0,
        .last = s->last,
        .stored = s->stored,
        .crc = s->crc,
        .size = s->size,
        .data = s->out,
        .len = s->out_len,
    };
    return how->each(how->arg, &block, err);
}

static int run_pool(struct pool *p, const struct mrp_deflate_how *how, struct mrp_error *err)
{
    struct cursor at = {0, 0};
    bool more = true;
    int rc = MRP_OK;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (more && p->head - p->tail < p->count) {
            more = fill(&p->slots[p->head % p->count], p->list, &at);
            if (!more)
                break;
            p->head++;
            pthread_cond_signal(&p->work);
        }
        if (p->tail == p->head)
            break;
        struct slot *s = &p->slots[p->tail % p->count];
        while (!s->done)
            pthread_cond_wait(&p->ready, &p->lock);
        pthread_mutex_unlock(&p->lock);
        rc = consume(s, how, err);
        pthread_mutex_lock(&p->lock);
        p->tail++;
        if (rc)
            break;
    }
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    return rc;
}

static int run_threads(struct pool *p,
                       unsigned threads,
                       const struct mrp_deflate_how *how,
                       struct mrp_error *err)
{
    pthread_t ids[MAX_THREADS];
    unsigned started = 0;
    sigset_t all, old;

    /* signals belong to the worker process's main thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (started < threads && pthread_create(&ids[started], NULL, worker, p) == 0)
        started++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    int rc = started ? run_pool(p, how, err) : mrp_fail(err, MRP_E_NOMEM, "threads for packing");
    for (unsigned i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
    return rc;
}

/* A few blocks are packed faster than threads start. */
static int run_alone(struct pool *p, const struct mrp_deflate_how *how, struct mrp_error *err)
{
    struct cursor at = {0, 0};
    struct slot *s = &p->slots[0];
    z_stream z = {0};
    int rc = MRP_OK;
    if (deflateInit2(&z, p->level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return mrp_fail(err, MRP_E_NOMEM, "start of deflate");
    while (rc == MRP_OK && fill(s, p->list, &at)) {
        pack_slot(p, s, &z);
        rc = consume(s, how, err);
    }
    deflateEnd(&z);
    return rc;
}

static void free_slots(struct pool *p)
{
    for (size_t i = 0; p->slots && i < p->count; i++) {
        free(p->slots[i].in);
        free(p->slots[i].out);
    }
    free(p->slots);
}

int mrp_deflate_files(const struct mrp_pack_list *list,
                      const struct mrp_deflate_how *how,
                      struct mrp_error *err)
{
    uint64_t blocks = 0;
    for (size_t i = 0; i < list->count; i++)
        blocks += list->files[i].size / BLOCK + 1;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t threads = how->threads ? how->threads : cores > 0 ? (unsigned)cores : 1;
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    if (threads > blocks)
        threads = blocks;
    bool alone = threads <= 1 || (blocks <= 8 && list->bytes < BLOCK / 2);

    struct pool p = {
        .list = list,
        .level = how->level,
        .count = alone ? 1 : (size_t)threads * 4,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .work = PTHREAD_COND_INITIALIZER,
        .ready = PTHREAD_COND_INITIALIZER,
    };
    int rc = MRP_OK;
    p.slots = calloc(p.count, sizeof *p.slots);
    for (size_t i = 0; p.slots && i < p.count; i++) {
        p.slots[i].in = malloc(BLOCK + WINDOW);
        p.slots[i].out = malloc(out_cap());
        if (!p.slots[i].in || !p.slots[i].out)
            rc = MRP_E_NOMEM;
    }
    if (!p.slots || rc)
        rc = mrp_fail(err, MRP_E_NOMEM, "buffers for packing");
    else if (alone)
        rc = run_alone(&p, how, err);
    else
        rc = run_threads(&p, (unsigned)threads, how, err);
    free_slots(&p);
    return rc;
}
