/* Sets of links between git objects, and what a commit, a tree or a tag names. */
#include "links.h"

#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

static size_t slot_of(const struct mrp_links *set, const struct mrp_oid *id)
{
    uint32_t hash;
    memcpy(&hash, id->b, sizeof hash);
    size_t mask = set->slot_count - 1, at = hash & mask;
    while (set->slots[at] && !mrp_oid_eq(&set->list[set->slots[at] - 1].id, id))
        at = (at + 1) & mask;
    return at;
}

static int widen(struct mrp_links *set)
{
    size_t cap = set->cap ? 2 * set->cap : 256;
    struct mrp_link *list = realloc(set->list, cap * sizeof *list);
    if (list)
        set->list = list;
    uint32_t *slots = list && cap < UINT32_MAX / 2 ? calloc(2 * cap, sizeof *slots) : NULL;
    if (!slots)
        return -1;
    set->cap = cap;
    free(set->slots);
    set->slots = slots;
    set->slot_count = 2 * cap;
    for (size_t i = 0; i < set->count; i++)
        set->slots[slot_of(set, &set->list[i].id)] = (uint32_t)i + 1;
    return 0;
}

int mrp_links_add(struct mrp_links *set,
                  const struct mrp_oid *id,
                  enum mrp_kind kind,
                  struct mrp_error *err)
{
    if (set->count == set->cap && widen(set))
        return mrp_fail(err, MRP_E_NOMEM, "check %zu objects", set->count);
    size_t at = slot_of(set, id);
    if (set->slots[at]) {
        enum mrp_kind before = set->list[set->slots[at] - 1].kind;
        char hex[MRP_OID_HEX + 1];
        if (before == kind || before == MRP_KIND_ANY || kind == MRP_KIND_ANY)
            return MRP_OK;
        return mrp_fail(err, MRP_E_REMOTE, "object %s is used as what it is not",
                        mrp_oid_hex(hex, id));
    }
    set->list[set->count] = (struct mrp_link){*id, kind};
    set->slots[at] = (uint32_t)++set->count;
    return MRP_OK;
}

void mrp_links_done(struct mrp_links *set)
{
    free(set->list);
    free(set->slots);
    *set = (struct mrp_links){0};
}

typedef int each_fn(void *arg, const unsigned char *id, enum mrp_kind kind);

/* The length of the entry "MODE NAME\0ID" at p, or 0. */
static size_t entry_length(const unsigned char *p, const unsigned char *end)
{
    const unsigned char *nul = memchr(p, 0, (size_t)(end - p));
    return nul && end - nul >= 1 + MRP_OID_BYTES && nul - p >= 7
               ? (size_t)(nul - p) + 1 + MRP_OID_BYTES
               : 0;
}

/* Entries that stand in `known` too are passed over. Both are sorted alike; the order only decides
 * how many are found. */
static int
tree_links(const unsigned char *p, size_t len, struct mrp_view known, each_fn *each, void *arg)
{
    const unsigned char *end = p + len;
    const unsigned char *k = known.n ? (const unsigned char *)known.p : end, *k_end = k + known.n;
    while (p < end) {
        size_t n = entry_length(p, end);
        if (!n)
            return -1;
        size_t same = k < k_end ? entry_length(k, k_end) : 0;
        if (same == n && memcmp(p, k, n) == 0) {
            p += n;
            k += n;
            continue;
        }
        /* Modes are of 5 or 6 digits; only what follows is compared. */
        const char *name = memchr(p, ' ', n), *other = same ? memchr(k, ' ', same) : NULL;
        int order = name && other ? strcmp(name, other) : -1;
        if (order >= 0)
            k += same;
        if (order > 0)
            continue;
        /* 40000 (once also 040000) is a tree, 160000 a commit of another repository. */
        bool tree = memcmp(p, "40000 ", 6) == 0 || memcmp(p, "040000 ", 7) == 0;
        bool module = memcmp(p, "160000 ", 7) == 0;
        const unsigned char *id = p + n - MRP_OID_BYTES;
        int rc = module ? 0 : each(arg, id, tree ? MRP_KIND_TREE : MRP_KIND_BLOB);
        if (rc)
            return rc;
        p += n;
    }
    return 0;
}

/* "WORD HEX\n" at *p; the id, or false. */
static bool
take_id(struct mrp_oid *id, const unsigned char **p, const unsigned char *end, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(end - *p) < n + MRP_OID_HEX + 1 || memcmp(*p, word, n) != 0 ||
        !mrp_oid_parse(id, (const char *)*p + n, MRP_OID_HEX) || (*p)[n + MRP_OID_HEX] != '\n')
        return false;
    *p += n + MRP_OID_HEX + 1;
    return true;
}

static int commit_links(const unsigned char *p, size_t len, each_fn *each, void *arg)
{
    const unsigned char *end = p + len;
    struct mrp_oid id;
    if (!take_id(&id, &p, end, "tree "))
        return -1;
    int rc = each(arg, id.b, MRP_KIND_TREE);
    while (!rc && take_id(&id, &p, end, "parent "))
        rc = each(arg, id.b, MRP_KIND_COMMIT);
    return rc;
}

static int tag_links(const unsigned char *p, size_t len, each_fn *each, void *arg)
{
    static const char *const kinds[] = {NULL, "commit\n", "tree\n", "blob\n", "tag\n"};
    const unsigned char *end = p + len;
    struct mrp_oid id;
    if (!take_id(&id, &p, end, "object ") || end - p < 5 || memcmp(p, "type ", 5) != 0)
        return -1;
    p += 5;
    for (size_t i = 1; i < MRP_COUNT(kinds); i++) {
        size_t n = strlen(kinds[i]);
        if ((size_t)(end - p) >= n && memcmp(p, kinds[i], n) == 0)
            return each(arg, id.b, (enum mrp_kind)i);
    }
    return -1;
}

int mrp_object_links(enum mrp_kind kind,
                     const unsigned char *data,
                     size_t len,
                     struct mrp_view known,
                     each_fn *each,
                     void *arg)
{
    switch (kind) {
    case MRP_KIND_COMMIT:
        return commit_links(data, len, each, arg);
    case MRP_KIND_TREE:
        return tree_links(data, len, known, each, arg);
    case MRP_KIND_TAG:
        return tag_links(data, len, each, arg);
    default:
        return 0;
    }
}
