/* The table of refs of one repository, object id sets, and the rules for ref names. */
#include "refs.h"

#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

/* Hostile servers could advertise without end; real repositories stay far below. */
enum { MAX_REFS = 4000000, MAX_NAME_BYTES = 512 << 20, MAX_NAME = 4096, BLOCK = 64 << 10 };

struct mrp_name_block {
    struct mrp_name_block *next;
    size_t used;
    char bytes[];
};

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool mrp_oid_parse(struct mrp_oid *out, const char *hex, size_t len)
{
    struct mrp_oid id;
    if (len < MRP_OID_HEX)
        return false;
    for (size_t i = 0; i < MRP_OID_BYTES; i++) {
        int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        id.b[i] = (unsigned char)(high << 4 | low);
    }
    *out = id;
    return true;
}

char *mrp_oid_hex(char out[MRP_OID_HEX + 1], const struct mrp_oid *id)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < MRP_OID_BYTES; i++) {
        out[2 * i] = digits[id->b[i] >> 4];
        out[2 * i + 1] = digits[id->b[i] & 15];
    }
    out[MRP_OID_HEX] = '\0';
    return out;
}

bool mrp_oid_is_zero(const struct mrp_oid *id)
{
    static const struct mrp_oid zero;
    return memcmp(id, &zero, sizeof zero) == 0;
}

bool mrp_oid_eq(const struct mrp_oid *a, const struct mrp_oid *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

int mrp_oids_add(struct mrp_oids *set, const struct mrp_oid *id, struct mrp_error *err)
{
    if (set->count == set->cap) {
        size_t cap = set->cap ? set->cap + set->cap / 2 : 64;
        struct mrp_oid *list = realloc(set->list, cap * sizeof *list);
        if (!list)
            return mrp_fail(err, MRP_E_NOMEM, "list %zu object ids", cap);
        set->list = list;
        set->cap = cap;
    }
    set->list[set->count++] = *id;
    return MRP_OK;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, MRP_OID_BYTES);
}

void mrp_oids_sort(struct mrp_oids *set)
{
    if (set->count < 2)
        return;
    qsort(set->list, set->count, sizeof *set->list, by_id);
    size_t kept = 1;
    for (size_t i = 1; i < set->count; i++)
        if (!mrp_oid_eq(&set->list[i], &set->list[kept - 1]))
            set->list[kept++] = set->list[i];
    set->count = kept;
}

bool mrp_oids_has(const struct mrp_oids *sorted, const struct mrp_oid *id)
{
    return sorted->count &&
           bsearch(id, sorted->list, sorted->count, sizeof *sorted->list, by_id) != NULL;
}

void mrp_oids_done(struct mrp_oids *set)
{
    free(set->list);
    *set = (struct mrp_oids){0};
}

static bool component_ok(const char *p, size_t len)
{
    if (len == 0 || p[0] == '.')
        return false;
    return len < 5 || memcmp(p + len - 5, ".lock", 5) != 0;
}

bool mrp_ref_name_ok(const char *name, size_t len)
{
    if (len < 6 || len > MAX_NAME || memcmp(name, "refs/", 5) != 0 || name[len - 1] == '.')
        return false;
    size_t start = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f || strchr(" ~^:?*[\\", c))
            return false;
        if (i + 1 < len && ((c == '.' && name[i + 1] == '.') || (c == '@' && name[i + 1] == '{')))
            return false;
        if (c == '/') {
            if (!component_ok(name + start, i - start))
                return false;
            start = i + 1;
        }
    }
    return component_ok(name + start, len - start);
}

static const char *keep_name(struct mrp_refs *refs, const char *name, size_t len)
{
    struct mrp_name_block *block = refs->names;
    if (refs->name_bytes + len + 1 > MAX_NAME_BYTES)
        return NULL;
    if (!block || block->used + len + 1 > BLOCK) {
        block = malloc(sizeof *block + (len + 1 > BLOCK ? len + 1 : BLOCK));
        if (!block)
            return NULL;
        block->next = refs->names;
        block->used = 0;
        refs->names = block;
    }
    char *copy = block->bytes + block->used;
    memcpy(copy, name, len);
    copy[len] = '\0';
    block->used += len + 1;
    refs->name_bytes += len + 1;
    return copy;
}

int mrp_refs_add(struct mrp_refs *refs,
                 const char *name,
                 size_t len,
                 const struct mrp_oid *id,
                 struct mrp_error *err)
{
    if (refs->count >= MAX_REFS)
        return mrp_fail(err, MRP_E_REMOTE, "more than %d refs", MAX_REFS);
    if (refs->count == refs->cap) {
        size_t cap = refs->cap ? refs->cap + refs->cap / 2 : 256;
        struct mrp_ref *list = realloc(refs->list, cap * sizeof *list);
        if (!list)
            return mrp_fail(err, MRP_E_NOMEM, "list %zu refs", cap);
        refs->list = list;
        refs->cap = cap;
    }
    const char *copy = keep_name(refs, name, len);
    if (!copy)
        return mrp_fail(err, MRP_E_NOMEM, "keep the names of %zu refs", refs->count);
    refs->list[refs->count++] = (struct mrp_ref){copy, *id};
    return MRP_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct mrp_ref *x = a, *y = b;
    return strcmp(x->name, y->name);
}

int mrp_refs_finish(struct mrp_refs *refs, struct mrp_error *err)
{
    bool sorted = true;
    for (size_t i = 1; i < refs->count && sorted; i++)
        sorted = by_name(&refs->list[i - 1], &refs->list[i]) < 0;
    if (sorted)
        return MRP_OK;
    qsort(refs->list, refs->count, sizeof *refs->list, by_name);
    for (size_t i = 1; i < refs->count; i++)
        if (strcmp(refs->list[i - 1].name, refs->list[i].name) == 0)
            return mrp_fail(err, MRP_E_REMOTE, "%.200s is advertised twice", refs->list[i].name);
    return MRP_OK;
}

const struct mrp_ref *mrp_refs_find(const struct mrp_refs *refs, const char *name)
{
    struct mrp_ref key = {.name = name};
    return refs->count ? bsearch(&key, refs->list, refs->count, sizeof *refs->list, by_name) : NULL;
}

int mrp_refs_all_oids(struct mrp_oids *out, const struct mrp_refs *refs, struct mrp_error *err)
{
    struct mrp_oids all = {0};
    int rc = MRP_OK;
    for (size_t i = 0; i < refs->count && !rc; i++)
        rc = mrp_oids_add(&all, &refs->list[i].id, err);
    for (size_t i = 0; i < refs->extra.count && !rc; i++)
        rc = mrp_oids_add(&all, &refs->extra.list[i], err);
    if (rc) {
        mrp_oids_done(&all);
        return rc;
    }
    mrp_oids_sort(&all);
    *out = all;
    return MRP_OK;
}

const char *mrp_caps_value(const char *caps, const char *name, size_t *len, const char **from)
{
    size_t want = strlen(name);
    const char *p = from && *from ? *from : caps;
    if (!p)
        return NULL;
    while (*p) {
        p += strspn(p, " ");
        size_t n = strcspn(p, " \n");
        if (n > want && p[want] == '=' && memcmp(p, name, want) == 0) {
            *len = n - want - 1;
            if (from)
                *from = p + n;
            return p + want + 1;
        }
        p += n;
        if (*p == '\n')
            break;
    }
    return NULL;
}

bool mrp_refs_can(const struct mrp_refs *refs, const char *cap)
{
    size_t want = strlen(cap);
    for (const char *p = refs->caps; p && *p;) {
        p += strspn(p, " ");
        size_t n = strcspn(p, " ");
        if (n >= want && memcmp(p, cap, want) == 0 && (n == want || p[want] == '='))
            return true;
        p += n;
    }
    return false;
}

void mrp_refs_forget(struct mrp_refs *refs)
{
    refs->count = 0;
    mrp_oids_done(&refs->extra);
}

void mrp_refs_done(struct mrp_refs *refs)
{
    while (refs->names) {
        struct mrp_name_block *next = refs->names->next;
        free(refs->names);
        refs->names = next;
    }
    mrp_oids_done(&refs->extra);
    free(refs->list);
    free(refs->caps);
    free(refs->head);
    *refs = (struct mrp_refs){0};
}

char *mrp_show_name(const char *bytes, size_t len)
{
    struct mrp_buf out = MRP_BUF_INIT(3 * (size_t)MAX_NAME + 16);
    bool text = mrp_is_text(bytes, len);
    for (size_t i = 0; i < len && i < MAX_NAME; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c < 0x20 || c == 0x7f || (c > 0x7f && !text))
            mrp_buf_addf(&out, "%%%02X", c);
        else
            mrp_buf_addc(&out, (char)c);
    }
    return mrp_buf_take(&out);
}
