/* One pass over an indexed pack: commits, trees and tags are unpacked along their deltas, blobs are
 * not, and every link is looked up. */
#include "links.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { OFS_DELTA = 6, REF_DELTA = 7, IDX_HEAD = 8, FANOUT = 1024, TRAILER = 20 };
enum { IN_TWO = 20000 };      /* as many objects are worth a second thread */
enum { AT_ONCE = 256 << 20 }; /* bytes of a file that are mapped before they are asked for */
static const size_t HELD_MAX = 512u << 20; /* of unpacked objects along one chain of deltas */

struct map {
    const unsigned char *data;
    size_t len;
};

/* What is unpacked at one depth of a chain. */
struct level {
    unsigned char *data;
    size_t len, cap;
    uint32_t next; /* the next child to visit, + 1 */
};

/* An object in the pack. */
struct place {
    uint64_t offset;
    uint32_t index;          /* among the sorted ids */
    uint32_t child, sibling; /* places that are deltas of this one, + 1 */
};

struct scan {
    struct map pack, idx;
    uint32_t count;
    const unsigned char *fanout, *ids, *offsets, *wide; /* parts of the index */
    struct place *places;                               /* in the order of the pack */
    unsigned char *wanted; /* by index: as which kinds it is used: 1 << kind */
    unsigned char *kind;   /* by index: enum mrp_kind; ANY: a blob, not looked at */
    struct level *levels;
    size_t level_count, held;
    unsigned char *delta;
    size_t delta_cap;
    z_stream z;
    struct mrp_links *outside;
    struct mrp_error *err;
};

static void unmap(struct map *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, m->len);
}

static void scan_done(struct scan *s)
{
    free(s->places);
    free(s->kind);
    free(s->wanted);
    for (size_t i = 0; i < s->level_count; i++)
        free(s->levels[i].data);
    free(s->levels);
    free(s->delta);
    inflateEnd(&s->z);
}

static int map_file(struct map *m, const char *path, const char *tail, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *name = mrp_strf("%s%s", path, tail);
    mrp_auto(mrp_close_fd) int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return mrp_fail_errno(err, "read %s%s", path, tail);
    int flags = MAP_PRIVATE | (st.st_size <= AT_ONCE ? MAP_POPULATE : 0);
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, flags, fd, 0);
    if (data == MAP_FAILED)
        return mrp_fail_errno(err, "read %s%s", path, tail);
    *m = (struct map){data, (size_t)st.st_size};
    return MRP_OK;
}

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int damaged(const struct scan *s)
{
    return mrp_fail(s->err, MRP_E_IO, "the pack that was just written cannot be read");
}

static const unsigned char *id_of(const struct scan *s, uint32_t i)
{
    return s->ids + (size_t)i * MRP_OID_BYTES;
}

/* 0: damaged. */
static uint64_t offset_of(const struct scan *s, uint32_t i)
{
    uint32_t o = be32(s->offsets + (size_t)i * 4);
    if (!(o & 0x80000000u))
        return o;
    const unsigned char *p = s->wide + (size_t)(o & 0x7fffffffu) * 8;
    if (p + 8 > s->idx.data + s->idx.len)
        return 0;
    return (uint64_t)be32(p) << 32 | be32(p + 4);
}

/* Ids are as evenly spread as their first bytes: begin where it should be. The index + 1, or 0. */
static uint32_t find_id(const struct scan *s, const unsigned char *id)
{
    uint32_t low = id[0] ? be32(s->fanout + (id[0] - 1) * 4) : 0,
             high = be32(s->fanout + id[0] * 4);
    if (low >= high || high > s->count)
        return 0;
    uint32_t at = low + (uint32_t)((uint64_t)(be32(id) & 0xffffffu) * (high - low) >> 24);
    for (uint32_t step = 1; low < high; step += step < 64 ? step : 0) {
        int order = memcmp(id_of(s, at), id, MRP_OID_BYTES);
        if (order == 0)
            return at + 1;
        if (order < 0)
            low = at + 1;
        else
            high = at;
        /* Near at first, then by halves. */
        bool near = step < 64 && high - low > step;
        at = !near ? low + (high - low) / 2 : order < 0 ? low + step - 1 : high - step;
    }
    return 0;
}

/* The place + 1 of an offset before that of `end`, or 0. Bases are near: wider and wider steps. */
static uint32_t find_offset(const struct scan *s, uint32_t end, uint64_t offset)
{
    uint32_t high = end, step = 1;
    while (step < high && s->places[high - step].offset > offset) {
        high -= step;
        step *= 2;
    }
    uint32_t low = step < high ? high - step : 0;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (s->places[mid].offset == offset)
            return mid + 1;
        if (s->places[mid].offset < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

/* By offset, some bits at a time. */
static int sort_places(struct scan *s)
{
    enum { BITS = 11, DIGITS = 1 << BITS };
    struct place *other = malloc((s->count + 1u) * sizeof *other);
    uint32_t *starts = malloc((DIGITS + 1) * sizeof *starts);
    bool ok = other && starts;
    for (unsigned shift = 0; ok && shift < 64 && s->pack.len >> shift; shift += BITS) {
        memset(starts, 0, (DIGITS + 1) * sizeof *starts);
        for (uint32_t i = 0; i < s->count; i++)
            starts[(s->places[i].offset >> shift & (DIGITS - 1)) + 1]++;
        for (size_t d = 0; d < DIGITS; d++)
            starts[d + 1] += starts[d];
        for (uint32_t i = 0; i < s->count; i++)
            other[starts[s->places[i].offset >> shift & (DIGITS - 1)]++] = s->places[i];
        struct place *sorted = other;
        other = s->places;
        s->places = sorted;
    }
    free(other);
    free(starts);
    return ok ? MRP_OK : mrp_fail(s->err, MRP_E_NOMEM, "check %u objects", s->count);
}

static int open_scan(struct scan *s)
{
    const unsigned char *x = s->idx.data;
    static const unsigned char magic[] = {0xff, 't', 'O', 'c', 0, 0, 0, 2};
    if (s->idx.len < IDX_HEAD + FANOUT + 2 * TRAILER || memcmp(x, magic, sizeof magic) != 0)
        return damaged(s);
    s->count = be32(x + IDX_HEAD + FANOUT - 4);
    size_t n = s->count;
    if ((s->idx.len - IDX_HEAD - FANOUT - 2 * TRAILER) / (MRP_OID_BYTES + 8) < n)
        return damaged(s);
    s->fanout = x + IDX_HEAD;
    s->ids = s->fanout + FANOUT;
    s->offsets = s->ids + n * (MRP_OID_BYTES + 4);
    s->wide = s->offsets + n * 4;
    s->places = calloc(n + 1, sizeof *s->places);
    s->kind = calloc(n + 1, 1);
    s->wanted = calloc(n + 1, 1);
    if (!s->places || !s->kind || !s->wanted || inflateInit(&s->z) != Z_OK)
        return mrp_fail(s->err, MRP_E_NOMEM, "check %zu objects", n);
    for (uint32_t i = 0; i < s->count; i++)
        s->places[i] = (struct place){.offset = offset_of(s, i), .index = i};
    return sort_places(s);
}

/* The head of an object in the pack: its type, its size, where its data begin; of a delta how to
 * find its base. */
struct entry {
    unsigned type;
    uint64_t size;
    size_t data;
    uint64_t base_offset;
    const unsigned char *base_id;
};

static bool read_entry(struct entry *e, const struct scan *s, uint32_t at_place)
{
    uint64_t start = s->places[at_place].offset;
    if (start < 12 || start >= s->pack.len)
        return false;
    size_t at = (size_t)start, end = s->pack.len;
    const unsigned char *p = s->pack.data;
    unsigned char c = p[at++];
    *e = (struct entry){.type = c >> 4 & 7, .size = c & 15};
    for (unsigned shift = 4; c & 0x80; shift += 7) {
        if (at == end || shift > 53)
            return false;
        c = p[at++];
        e->size |= (uint64_t)(c & 0x7f) << shift;
    }
    if (e->type == OFS_DELTA) {
        uint64_t back = 0;
        do {
            if (at == end || back > UINT64_MAX >> 8)
                return false;
            c = p[at++];
            back = back << 7 | (c & 0x7f);
            if (c & 0x80)
                back++;
        } while (c & 0x80);
        if (!back || back >= start)
            return false;
        e->base_offset = start - back;
    } else if (e->type == REF_DELTA) {
        if (end - at < MRP_OID_BYTES)
            return false;
        e->base_id = p + at;
        at += MRP_OID_BYTES;
    }
    e->data = at;
    return e->type == OFS_DELTA || e->type == REF_DELTA ||
           (e->type >= MRP_KIND_COMMIT && e->type <= MRP_KIND_TAG);
}

static int inflate_at(struct scan *s, unsigned char *to, size_t size, size_t at)
{
    size_t rest = s->pack.len - at;
    inflateReset(&s->z);
    s->z.next_in = (Bytef *)(uintptr_t)(s->pack.data + at);
    s->z.avail_in = rest < UINT32_MAX ? (uInt)rest : UINT32_MAX;
    s->z.next_out = to;
    s->z.avail_out = (uInt)size + 1; /* one more: an end is only seen where there is room */
    return inflate(&s->z, Z_FINISH) == Z_STREAM_END && s->z.total_out == size ? 0 : -1;
}

static int room(struct scan *s, unsigned char **data, size_t *cap, uint64_t size)
{
    if (size < *cap)
        return MRP_OK;
    if (size > HELD_MAX || s->held > HELD_MAX)
        return mrp_fail(s->err, MRP_E_REMOTE, "the pack holds trees too large to be checked");
    size_t want = 2 * (size_t)size + 64;
    unsigned char *grown = realloc(*data, want);
    if (!grown)
        return mrp_fail(s->err, MRP_E_NOMEM, "unpack an object");
    s->held += want - *cap;
    *data = grown;
    *cap = want;
    return MRP_OK;
}

static bool take_size(uint64_t *size, const unsigned char **p, const unsigned char *end)
{
    *size = 0;
    for (unsigned shift = 0; shift < 57; shift += 7) {
        if (*p == end)
            return false;
        unsigned char c = *(*p)++;
        *size |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80))
            return true;
    }
    return false;
}

/* One copy or insert of a delta at *p. */
static bool apply_one(unsigned char *out,
                      size_t *done,
                      size_t size,
                      const struct level *base,
                      const unsigned char **p,
                      const unsigned char *end)
{
    unsigned char op = *(*p)++;
    size_t from = 0, n = 0;
    if (!(op & 0x80)) {
        n = op;
        if (!n || n > (size_t)(end - *p) || n > size - *done)
            return false;
        memcpy(out + *done, *p, n);
        *p += n;
        *done += n;
        return true;
    }
    for (unsigned bit = 0; bit < 7; bit++) {
        if (!(op & 1u << bit))
            continue;
        if (*p == end)
            return false;
        size_t byte = *(*p)++;
        if (bit < 4)
            from |= byte << 8 * bit;
        else
            n |= byte << 8 * (bit - 4);
    }
    n = n ? n : 0x10000;
    if (from > base->len || n > base->len - from || n > size - *done)
        return false;
    memcpy(out + *done, base->data + from, n);
    *done += n;
    return true;
}

static int apply(struct scan *s, struct level *to, const struct level *base, size_t len)
{
    const unsigned char *p = s->delta, *end = p + len;
    uint64_t before, after;
    if (!take_size(&before, &p, end) || !take_size(&after, &p, end) || before != base->len)
        return damaged(s);
    int rc = room(s, &to->data, &to->cap, after);
    if (rc)
        return rc;
    size_t done = 0;
    while (p < end)
        if (!apply_one(to->data, &done, (size_t)after, base, &p, end))
            return damaged(s);
    to->len = done;
    return done == after ? MRP_OK : damaged(s);
}

static int on_link(void *arg, const unsigned char *id, enum mrp_kind kind)
{
    struct scan *s = arg;
    uint32_t found = find_id(s, id);
    if (found) {
        s->wanted[found - 1] |= (unsigned char)(1u << kind);
        return 0;
    }
    struct mrp_oid oid;
    memcpy(oid.b, id, MRP_OID_BYTES);
    return mrp_links_add(s->outside, &oid, kind, s->err);
}

/* Unpack the object at a place, at a depth (its base is one level up), and look at its links. */
static int visit(struct scan *s, uint32_t place, size_t depth, enum mrp_kind kind)
{
    if (depth == s->level_count) {
        size_t count = depth ? 2 * depth : 64;
        struct level *levels = realloc(s->levels, count * sizeof *levels);
        if (!levels)
            return mrp_fail(s->err, MRP_E_NOMEM, "unpack an object");
        memset(levels + depth, 0, (count - depth) * sizeof *levels);
        s->levels = levels;
        s->level_count = count;
    }
    struct level *to = &s->levels[depth];
    struct entry e;
    int rc = read_entry(&e, s, place) ? MRP_OK : damaged(s);
    if (!rc && depth == 0)
        rc = room(s, &to->data, &to->cap, e.size);
    else if (!rc)
        rc = room(s, &s->delta, &s->delta_cap, e.size);
    if (!rc && inflate_at(s, depth ? s->delta : to->data, (size_t)e.size, e.data))
        rc = damaged(s);
    to->len = (size_t)e.size;
    if (!rc && depth)
        rc = apply(s, to, to - 1, (size_t)e.size);
    if (rc)
        return rc;
    s->kind[s->places[place].index] = (unsigned char)kind;
    to->next = s->places[place].child;
    struct mrp_view base = {0};
    if (depth)
        base = (struct mrp_view){(const char *)to[-1].data, to[-1].len};
    rc = mrp_object_links(kind, to->data, to->len, base, on_link, s);
    return rc == -1 ? mrp_fail(s->err, MRP_E_REMOTE, "the pack holds a malformed object") : rc;
}

/* An object that is no delta, and all that are deltas of it. */
static int visit_family(struct scan *s, uint32_t root, enum mrp_kind kind)
{
    int rc = visit(s, root, 0, kind);
    for (size_t depth = 1; !rc && depth;) {
        uint32_t i = s->levels[depth - 1].next;
        if (!i) {
            depth--;
            continue;
        }
        s->levels[depth - 1].next = s->places[i - 1].sibling;
        rc = visit(s, i - 1, depth, kind);
        depth++;
    }
    return rc;
}

static int misused(const struct scan *s, uint32_t i)
{
    struct mrp_oid id;
    char hex[MRP_OID_HEX + 1];
    memcpy(id.b, id_of(s, i), MRP_OID_BYTES);
    return mrp_fail(s->err, MRP_E_REMOTE, "object %s is used as what it is not",
                    mrp_oid_hex(hex, &id));
}

/* Hang a delta below its base. */
static int hang(struct scan *s, uint32_t place, const struct entry *e)
{
    uint32_t base = 0;
    if (e->base_offset) {
        base = find_offset(s, place, e->base_offset);
    } else {
        uint32_t index = find_id(s, e->base_id);
        uint64_t offset = index ? offset_of(s, index - 1) : 0;
        base = offset ? find_offset(s, s->count, offset) : 0;
    }
    if (!base || base == place + 1)
        return damaged(s);
    s->places[place].sibling = s->places[base - 1].child;
    s->places[base - 1].child = place + 1;
    return MRP_OK;
}

/* Every `step`th object from `first` on, if it is the root of a family that is to be read. */
static int visit_roots(struct scan *s, const unsigned char *root, uint32_t first, uint32_t step)
{
    int rc = MRP_OK;
    for (uint64_t i = first; i < s->count && !rc; i += step)
        if (root[i] && root[i] != MRP_KIND_BLOB)
            rc = visit_family(s, (uint32_t)i, (enum mrp_kind)root[i]);
    return rc;
}

/* The half of the second thread: the pack is the other's, what it finds its own. */
struct half {
    struct scan scan;
    const unsigned char *root;
    struct mrp_links outside;
    struct mrp_error err;
    int rc;
};

static void half_done(struct half *h)
{
    h->scan.places = NULL;
    scan_done(&h->scan);
    mrp_links_done(&h->outside);
}

static void *visit_half(void *arg)
{
    struct half *h = arg;
    h->rc = visit_roots(&h->scan, h->root, 1, 2);
    return NULL;
}

static bool half_start(pthread_t *out, struct half *h, const struct scan *s)
{
    h->scan = (struct scan){.pack = s->pack,
                            .idx = s->idx,
                            .count = s->count,
                            .fanout = s->fanout,
                            .ids = s->ids,
                            .offsets = s->offsets,
                            .wide = s->wide,
                            .places = s->places,
                            .wanted = calloc(s->count, 1),
                            .kind = calloc(s->count, 1),
                            .outside = &h->outside,
                            .err = &h->err};
    return h->scan.wanted && h->scan.kind && inflateInit(&h->scan.z) == Z_OK &&
           pthread_create(out, NULL, visit_half, h) == 0;
}

static int visit_all(struct scan *s, const unsigned char *root)
{
    mrp_auto(half_done) struct half h = {.root = root};
    pthread_t id;
    if (s->count < IN_TWO || !half_start(&id, &h, s))
        return visit_roots(s, root, 0, 1);
    int rc = visit_roots(s, root, 0, 2);
    pthread_join(id, NULL);
    if (!rc && h.rc) {
        *s->err = h.err;
        rc = h.rc;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        s->wanted[i] |= h.scan.wanted[i];
        s->kind[i] |= h.scan.kind[i];
    }
    for (size_t i = 0; i < h.outside.count && !rc; i++)
        rc = mrp_links_add(s->outside, &h.outside.list[i].id, h.outside.list[i].kind, s->err);
    return rc;
}

static int run(struct scan *s)
{
    unsigned char *root = calloc(s->count + 1u, 1);
    int rc = root ? MRP_OK : mrp_fail(s->err, MRP_E_NOMEM, "check %u objects", s->count);
    for (uint32_t i = 0; i < s->count && !rc; i++) {
        struct entry e;
        if (!read_entry(&e, s, i))
            rc = damaged(s);
        else if (e.base_offset || e.base_id)
            rc = hang(s, i, &e);
        else
            root[i] = (unsigned char)e.type;
    }
    if (!rc)
        rc = visit_all(s, root);
    free(root);
    for (uint32_t i = 0; i < s->count && !rc; i++) {
        unsigned kind = s->kind[i] ? s->kind[i] : MRP_KIND_BLOB;
        if (s->wanted[i] & ~(1u << kind) & ~(1u << MRP_KIND_ANY))
            rc = misused(s, i);
    }
    return rc;
}

int mrp_pack_links_in(struct mrp_links *outside,
                      struct mrp_oids *tips,
                      struct mrp_view pack,
                      struct mrp_view idx,
                      struct mrp_error *err)
{
    mrp_auto(scan_done) struct scan s = {.pack = {(const unsigned char *)pack.p, pack.n},
                                         .idx = {(const unsigned char *)idx.p, idx.n},
                                         .outside = outside,
                                         .err = err};
    int rc = open_scan(&s);
    for (size_t i = 0; i < tips->count && !rc; i++)
        rc = on_link(&s, tips->list[i].b, MRP_KIND_ANY);
    return rc ? rc : run(&s);
}

int mrp_pack_links(struct mrp_links *outside,
                   struct mrp_oids *tips,
                   const char *path,
                   struct mrp_error *err)
{
    mrp_auto(unmap) struct map pack = {0};
    mrp_auto(unmap) struct map idx = {0};
    int rc = map_file(&pack, path, ".pack", err);
    if (!rc)
        rc = map_file(&idx, path, ".idx", err);
    return rc ? rc
              : mrp_pack_links_in(outside, tips,
                                  (struct mrp_view){(const char *)pack.data, pack.len},
                                  (struct mrp_view){(const char *)idx.data, idx.len}, err);
}
