/* The masker: a streaming multi-pattern search that replaces secrets and their encoded forms. */
#include "mask.h"

#include "secret_forms.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096, MIN_PATTERN = 4, MIN_LINE = 8, WRAP_MAX = 100 };
#define PATTERN_BYTES_MAX ((size_t)16 << 20)

struct pattern {
    char *p;
    size_t n;
    bool wraps;   /* line ends may stand in it */
    int32_t next; /* in the bucket; -1: last */
};

struct mrp_masker {
    struct pattern *list;
    size_t count, cap, bytes;
    int32_t heads[BUCKETS];
    bool first[256]; /* bytes that begin a pattern */
};

static unsigned bucket_of(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return (unsigned)((v * 2654435761u) >> 20) & (BUCKETS - 1);
}

struct mrp_masker *mrp_masker_new(void)
{
    struct mrp_masker *m = calloc(1, sizeof *m);
    if (m)
        for (size_t i = 0; i < BUCKETS; i++)
            m->heads[i] = -1;
    return m;
}

void mrp_masker_free(struct mrp_masker **masker)
{
    struct mrp_masker *m = *masker;
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++) {
        explicit_bzero(m->list[i].p, m->list[i].n);
        free(m->list[i].p);
    }
    free(m->list);
    free(m);
    *masker = NULL;
}

static int add_pattern(struct mrp_masker *m, const char *p, size_t n, bool wraps)
{
    if (n < MIN_PATTERN)
        return 0;
    unsigned b = bucket_of(p);
    for (int32_t i = m->heads[b]; i >= 0; i = m->list[i].next)
        if (m->list[i].n == n && m->list[i].wraps == wraps && memcmp(m->list[i].p, p, n) == 0)
            return 0;
    if (m->bytes + n > PATTERN_BYTES_MAX)
        return MRP_E_NOMEM;
    if (m->count == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 32;
        struct pattern *list = realloc(m->list, cap * sizeof *list);
        if (!list)
            return MRP_E_NOMEM;
        m->list = list;
        m->cap = cap;
    }
    char *copy = mrp_strndup(p, n);
    if (!copy)
        return MRP_E_NOMEM;
    memcpy(copy, p, n); /* strndup stops at a NUL */
    m->list[m->count] = (struct pattern){.p = copy, .n = n, .wraps = wraps, .next = m->heads[b]};
    m->heads[b] = (int32_t)m->count++;
    m->first[(unsigned char)p[0]] = true;
    m->bytes += n;
    return 0;
}

/* A form that wraps may be broken inside the four bytes by which it is found: then the rest of it,
 * from each of these bytes, is what is found. */
static int add_form(void *arg, const char *p, size_t n, bool wraps)
{
    int rc = add_pattern(arg, p, n, wraps);
    for (size_t skip = 1; wraps && !rc && skip < MIN_PATTERN && n >= skip + MIN_LINE; skip++)
        rc = add_pattern(arg, p + skip, n - skip, true);
    return rc;
}

int mrp_masker_add(struct mrp_masker *masker, const char *secret, size_t len)
{
    while (len && (secret[len - 1] == '\n' || secret[len - 1] == '\r'))
        len--;
    if (len < MIN_PATTERN)
        return 0;
    int rc = mrp_secret_forms(secret, len, add_form, masker);
    if (rc || !memchr(secret, '\n', len))
        return rc;
    struct mrp_view rest = {secret, len}, line;
    while (!rc && mrp_view_next(&line, &rest, '\n')) {
        line = mrp_view_trim(line);
        if (line.n >= MIN_LINE)
            rc = mrp_secret_forms(line.p, line.n, add_form, masker);
    }
    return rc;
}

void mrp_mask_init(struct mrp_mask_stream *stream)
{
    mrp_buf_init(&stream->held, MRP_MASK_HELD_MAX);
    stream->until = 0;
}

void mrp_mask_done(struct mrp_mask_stream *stream)
{
    mrp_buf_done(&stream->held);
}

/* The length of `t` at p with the line ends and indentation in it; 0: it does not stand there. */
static size_t match_wrapped(const struct pattern *t, const char *p, size_t n, bool *maybe)
{
    size_t at = 0;
    for (size_t i = 0; i < t->n; i++) {
        size_t end = at + WRAP_MAX;
        if (i > 0 && at < n && (p[at] == '\n' || p[at] == '\r'))
            while (at < n && at < end &&
                   (p[at] == '\n' || p[at] == '\r' || p[at] == ' ' || p[at] == '\t'))
                at++;
        if (at == n) {
            *maybe = true;
            return 0;
        }
        if (p[at++] != t->p[i])
            return 0;
    }
    return at;
}

/* The longest pattern that stands at p, and whether more bytes could make a longer one. */
static size_t match_at(const struct mrp_masker *m, const char *p, size_t n, bool *maybe)
{
    *maybe = false;
    if (!m->first[(unsigned char)*p])
        return 0;
    if (n < MIN_PATTERN) {
        for (size_t i = 0; i < m->count && !*maybe; i++)
            *maybe = memcmp(m->list[i].p, p, n) == 0;
        return 0;
    }
    size_t best = 0;
    for (int32_t i = m->heads[bucket_of(p)]; i >= 0; i = m->list[i].next) {
        const struct pattern *t = &m->list[i];
        if (t->wraps) {
            size_t len = match_wrapped(t, p, n, maybe);
            best = len > best ? len : best;
        } else if (t->n > n)
            *maybe = *maybe || memcmp(t->p, p, n) == 0;
        else if (t->n > best && memcmp(t->p, p, t->n) == 0)
            best = t->n;
    }
    return best;
}

int mrp_mask_feed(struct mrp_mask_stream *stream,
                  const struct mrp_masker *masker,
                  const char *data,
                  size_t len,
                  bool flush,
                  struct mrp_buf *out)
{
    if (!stream->held.len && (!masker || !masker->count))
        return len ? mrp_buf_add(out, data, len) : 0;
    if (len && mrp_buf_add(&stream->held, data, len))
        return MRP_E_NOMEM;
    const char *p = mrp_buf_str(&stream->held);
    size_t n = stream->held.len, i = 0, run = 0, until = stream->until;
    for (; i < n; i++) {
        bool maybe;
        size_t hit = match_at(masker, p + i, n - i, &maybe);
        if (maybe && !flush)
            break;
        if (!hit)
            continue;
        if (i >= until) { /* a new secret begins: what stands before it may go */
            size_t from = run > until ? run : until;
            mrp_buf_add(out, p + from, i - from);
            mrp_buf_adds(out, MRP_MASK);
        }
        if (i + hit > until)
            until = i + hit;
        run = until;
    }
    size_t from = run > until ? run : until;
    if (i > from)
        mrp_buf_add(out, p + from, i - from);
    stream->until = until > i ? until - i : 0;
    mrp_buf_drop(&stream->held, i);
    return out->failed || stream->held.failed ? MRP_E_NOMEM : 0;
}

char *mrp_mask_text(const struct mrp_masker *masker, const char *text, size_t len, bool *failed)
{
    if (failed)
        *failed = false;
    if (!masker || !masker->count || !len)
        return NULL;
    size_t i = 0;
    bool maybe;
    while (i < len && !match_at(masker, text + i, len - i, &maybe))
        i++;
    if (i == len)
        return NULL;
    struct mrp_mask_stream stream;
    struct mrp_buf out = MRP_BUF_INIT(len * 2 + 64);
    mrp_mask_init(&stream);
    stream.held.max = len + 1;
    int rc = mrp_mask_feed(&stream, masker, text, len, true, &out);
    mrp_mask_done(&stream);
    char *result = rc ? NULL : mrp_buf_take(&out);
    mrp_buf_done(&out);
    if (!result && failed)
        *failed = true;
    return result;
}

static json_t *mask_string(const struct mrp_masker *m, json_t *value)
{
    bool failed;
    mrp_auto(mrp_free_str) char *text =
        mrp_mask_text(m, json_string_value(value), json_string_length(value), &failed);
    if (!text && !failed)
        return value;
    /* A cut secret may leave half a character: then nothing of the text is shown. */
    json_t *masked = text ? json_string(text) : NULL;
    return masked ? masked : json_string(MRP_MASK);
}

static void mask_key(const struct mrp_masker *m, json_t *object, const char *key)
{
    bool failed;
    mrp_auto(mrp_free_str) char *text = mrp_mask_text(m, key, strlen(key), &failed);
    if (!text && !failed)
        return;
    json_t *value = json_incref(json_object_get(object, key));
    json_object_del(object, key);
    if (json_object_set_new(object, text ? text : MRP_MASK, value))
        json_object_set_new(object, MRP_MASK, json_null());
}

json_t *mrp_mask_json(const struct mrp_masker *masker, json_t *value)
{
    if (!masker || !masker->count)
        return value;
    if (json_is_string(value))
        return mask_string(masker, value);
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            json_t *old = json_array_get(value, i), *now = mrp_mask_json(masker, old);
            if (now != old)
                json_array_set_new(value, i, now);
        }
    } else if (json_is_object(value)) {
        mrp_auto(mrp_free_strv) char **keys = NULL;
        const char *key;
        json_t *member;
        json_object_foreach(value, key, member) if (mrp_strv_add(&keys, key)) break;
        for (char **k = keys; k && *k; k++) {
            json_t *old = json_object_get(value, *k), *now = mrp_mask_json(masker, old);
            if (now != old)
                json_object_set_new(value, *k, now);
            mask_key(masker, value, *k);
        }
    }
    return value;
}
