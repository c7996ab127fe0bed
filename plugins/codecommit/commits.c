/* A pack reader for commits only: they come before trees and blobs, a delta's base before the
 * delta. */
#include "commits.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { KEEP_MAX = 48 << 20, OBJECT_MAX = 8 << 20 };
enum { COMMIT = 1, TREE = 2, BLOB = 3, TAG = 4, OFS_DELTA = 6, REF_DELTA = 7 };

struct object {
    uint64_t at;
    unsigned char *data;
    size_t len;
    int type;
};

struct mrp_commits {
    struct mrp_oid parent;
    bool found, over;
    uint64_t at;   /* bytes of the pack read */
    uint32_t left; /* objects */
    unsigned char head[64];
    size_t head_len;
    enum { PACK_HEAD, OBJECT_HEAD, OBJECT_DATA } state;
    struct object now;
    uint64_t base; /* of an OFS_DELTA */
    z_stream z;
    bool inflating;
    struct object *kept;
    size_t count, cap, kept_bytes;
};

int mrp_commits_new(struct mrp_commits **out, const struct mrp_oid *parent, struct mrp_error *err)
{
    struct mrp_commits *c = calloc(1, sizeof *c);
    if (!c)
        return mrp_fail(err, MRP_E_NOMEM, "read commits");
    c->parent = *parent;
    *out = c;
    return MRP_OK;
}

void mrp_commits_free(struct mrp_commits **c)
{
    if (!*c)
        return;
    for (size_t i = 0; i < (*c)->count; i++)
        free((*c)->kept[i].data);
    free((*c)->kept);
    free((*c)->now.data);
    if ((*c)->inflating)
        inflateEnd(&(*c)->z);
    free(*c);
    *c = NULL;
}

bool mrp_commits_found(const struct mrp_commits *c)
{
    return c->found;
}

static int damaged(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_REMOTE, "the source's pack of commits is malformed");
}

/* "tree OID\nparent OID\nparent OID\nauthor ..." */
static void look_for_parent(struct mrp_commits *c, const struct object *o)
{
    char want[8 + MRP_OID_HEX + 1] = "parent ";
    mrp_oid_hex(want + 7, &c->parent);
    want[7 + MRP_OID_HEX] = '\n';
    const char *p = (const char *)o->data, *end = p + o->len;
    while (p < end && *p != '\n') {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        size_t n = line_end ? (size_t)(line_end - p) + 1 : (size_t)(end - p);
        if (n == 8 + MRP_OID_HEX && memcmp(p, want, n) == 0)
            c->found = c->over = true;
        p += n;
    }
}

static bool delta_size(size_t *out, const unsigned char **p, const unsigned char *end)
{
    uint64_t n = 0;
    for (unsigned shift = 0; *p < end && shift < 56; shift += 7) {
        unsigned char b = *(*p)++;
        n |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *out = (size_t)n;
            return n <= OBJECT_MAX;
        }
    }
    return false;
}

static bool copy_from(unsigned char op,
                      const unsigned char **p,
                      const unsigned char *end,
                      size_t *at,
                      size_t *len)
{
    size_t offset = 0, size = 0;
    for (unsigned i = 0; i < 7; i++) {
        if (!(op & 1u << i))
            continue;
        if (*p == end)
            return false;
        size_t b = *(*p)++;
        if (i < 4)
            offset |= b << 8 * i;
        else
            size |= b << 8 * (i - 4);
    }
    *at = offset;
    *len = size ? size : 0x10000;
    return true;
}

/* Replace the delta by what it makes of its base. */
static bool apply(struct object *o, const struct object *base)
{
    const unsigned char *p = o->data, *end = p + o->len;
    size_t from, to, done = 0;
    if (!delta_size(&from, &p, end) || !delta_size(&to, &p, end) || from != base->len)
        return false;
    unsigned char *out = malloc(to + 1);
    bool good = out != NULL;
    while (good && p < end) {
        unsigned char op = *p++;
        size_t at = 0, n = op;
        if (op & 0x80) {
            good =
                copy_from(op, &p, end, &at, &n) && at <= from && n <= from - at && n <= to - done;
            if (good)
                memcpy(out + done, base->data + at, n);
        } else {
            good = op && n <= (size_t)(end - p) && n <= to - done;
            if (good)
                memcpy(out + done, p, n);
            p += good ? n : 0;
        }
        done += good ? n : 0;
    }
    if (!good || done != to) {
        free(out);
        return false;
    }
    free(o->data);
    o->data = out;
    o->len = to;
    o->type = base->type;
    return true;
}

static const struct object *find(const struct mrp_commits *c, uint64_t at)
{
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c->kept[mid].at == at)
            return &c->kept[mid];
        if (c->kept[mid].at < at)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static int end_object(struct mrp_commits *c, struct mrp_error *err)
{
    struct object *o = &c->now;
    inflateEnd(&c->z);
    c->inflating = false;
    c->state = OBJECT_HEAD;
    c->head_len = 0;
    c->over = c->over || --c->left == 0;
    if (o->type == OFS_DELTA) {
        const struct object *base = find(c, c->base);
        if (!base || !apply(o, base))
            return damaged(err);
    }
    if (o->type == COMMIT)
        look_for_parent(c, o);
    if (c->kept_bytes + o->len > KEEP_MAX)
        return mrp_fail(err, MRP_E_REMOTE, "more than %d MiB of commits must be read",
                        KEEP_MAX >> 20);
    if (c->count == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 64;
        struct object *kept = realloc(c->kept, cap * sizeof *kept);
        if (!kept)
            return mrp_fail(err, MRP_E_NOMEM, "keep %zu commits", cap);
        c->kept = kept;
        c->cap = cap;
    }
    c->kept[c->count++] = *o;
    c->kept_bytes += o->len;
    *o = (struct object){0};
    return MRP_OK;
}

/* True when the header bytes are whole; fills now, base. */
static bool object_head(struct mrp_commits *c, bool *bad)
{
    size_t i = 0, n = c->head_len;
    uint64_t size = c->head[0] & 15u;
    unsigned shift = 4;
    int type = c->head[0] >> 4 & 7;
    while (c->head[i] & 0x80) {
        if (++i == n)
            return false;
        size |= shift < 60 ? (uint64_t)(c->head[i] & 0x7f) << shift : UINT64_MAX;
        shift += 7;
    }
    i++;
    if (type == OFS_DELTA) {
        if (i == n)
            return false;
        uint64_t back = c->head[i] & 0x7f;
        while (c->head[i] & 0x80) {
            if (++i == n)
                return false;
            back = (back + 1) << 7 | (c->head[i] & 0x7f);
        }
        *bad = back > c->now.at;
        c->base = c->now.at - back;
    }
    *bad = *bad || (type == COMMIT || type == OFS_DELTA || type == TAG ? size > OBJECT_MAX : false);
    c->now.type = type;
    c->now.len = (size_t)size;
    return true;
}

static int begin_object(struct mrp_commits *c, struct mrp_error *err)
{
    int type = c->now.type;
    /* Trees and blobs, or deltas against what we do not hold: the commits are over. */
    if ((type != COMMIT && type != TAG && type != OFS_DELTA) ||
        (type == OFS_DELTA && !find(c, c->base))) {
        c->over = true;
        return MRP_OK;
    }
    c->now.data = malloc(c->now.len + 1);
    c->z = (z_stream){0};
    if (!c->now.data || inflateInit(&c->z) != Z_OK)
        return mrp_fail(err, MRP_E_NOMEM, "read a commit");
    c->inflating = true;
    c->z.next_out = c->now.data;
    c->z.avail_out = (uInt)c->now.len + 1;
    c->state = OBJECT_DATA;
    return MRP_OK;
}

static int one_byte(struct mrp_commits *c, unsigned char byte, struct mrp_error *err)
{
    bool bad = false;
    if (c->state == OBJECT_HEAD && c->head_len == 0)
        c->now.at = c->at;
    if (c->head_len == sizeof c->head)
        return damaged(err);
    c->head[c->head_len++] = byte;
    c->at++;
    if (c->state == PACK_HEAD) {
        if (c->head_len < 12)
            return MRP_OK;
        c->left = (uint32_t)c->head[8] << 24 | (uint32_t)c->head[9] << 16 |
                  (uint32_t)c->head[10] << 8 | c->head[11];
        c->state = OBJECT_HEAD;
        c->head_len = 0;
        c->over = c->left == 0;
        return MRP_OK;
    }
    if (!object_head(c, &bad))
        return MRP_OK;
    return bad ? damaged(err) : begin_object(c, err);
}

int mrp_commits_feed(struct mrp_commits *c,
                     const char *data,
                     size_t len,
                     bool *over,
                     struct mrp_error *err)
{
    unsigned char piece[4096]; /* zlib wants bytes that are not const */
    int rc = MRP_OK;
    while (len && !rc && !c->over) {
        if (c->state != OBJECT_DATA) {
            rc = one_byte(c, (unsigned char)*data, err);
            data++;
            len--;
            continue;
        }
        size_t n = len < sizeof piece ? len : sizeof piece;
        memcpy(piece, data, n);
        c->z.next_in = piece;
        c->z.avail_in = (uInt)n;
        int z = inflate(&c->z, Z_NO_FLUSH);
        n -= c->z.avail_in;
        c->at += n;
        data += n;
        len -= n;
        if (z == Z_STREAM_END)
            rc = c->z.total_out == c->now.len ? end_object(c, err) : damaged(err);
        else if (z != Z_OK && z != Z_BUF_ERROR)
            rc = damaged(err);
        else if (c->z.avail_out == 0 || n == 0)
            rc = damaged(err);
    }
    *over = c->over;
    return rc;
}
