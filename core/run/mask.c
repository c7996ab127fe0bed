/* The masker: a streaming multi-pattern search that replaces secrets and their encoded forms. */
#include "mask.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096, MIN_PATTERN = 4, MIN_LINE = 8 };
#define PATTERN_BYTES_MAX ((size_t)16 << 20)

struct pattern {
    char *p;
    size_t n;
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

static int add_pattern(struct mrp_masker *m, const char *p, size_t n)
{
    if (n < MIN_PATTERN)
        return 0;
    unsigned b = bucket_of(p);
    for (int32_t i = m->heads[b]; i >= 0; i = m->list[i].next)
        if (m->list[i].n == n && memcmp(m->list[i].p, p, n) == 0)
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
    m->list[m->count] = (struct pattern){.p = copy, .n = n, .next = m->heads[b]};
    m->heads[b] = (int32_t)m->count++;
    m->first[(unsigned char)p[0]] = true;
    m->bytes += n;
    return 0;
}

/* A text of ours with every `from` replaced. */
static int add_replaced(struct mrp_masker *m, const char *s, size_t n, char from, const char *to)
{
    if (!s || !memchr(s, from, n))
        return 0;
    struct mrp_buf out = MRP_BUF_INIT(PATTERN_BYTES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == from)
            mrp_buf_adds(&out, to);
        else
            mrp_buf_addc(&out, s[i]);
    }
    int rc = out.failed ? MRP_E_NOMEM : add_pattern(m, mrp_buf_str(&out), out.len);
    mrp_buf_done(&out);
    return rc;
}

static int add_percent(struct mrp_masker *m, const char *s, size_t n)
{
    for (int slash = 0; slash < 2; slash++) {
        mrp_auto(mrp_free_str) char *enc = mrp_percent(s, n, slash);
        if (!enc)
            return MRP_E_NOMEM;
        size_t len = strlen(enc);
        int rc = add_pattern(m, enc, len);
        /* The same with lower-case hex, and with + for a blank. */
        mrp_auto(mrp_free_str) char *low = mrp_strdup(enc);
        if (rc || !low)
            return MRP_E_NOMEM;
        struct mrp_buf plus = MRP_BUF_INIT(PATTERN_BYTES_MAX);
        for (size_t i = 0; i < len; i++) {
            if (low[i] != '%') {
                mrp_buf_addc(&plus, low[i]);
                continue;
            }
            if (memcmp(enc + i, "%20", 3) == 0)
                mrp_buf_addc(&plus, '+');
            else
                mrp_buf_add(&plus, enc + i, 3);
            low[i + 1] = (char)tolower((unsigned char)low[i + 1]);
            low[i + 2] = (char)tolower((unsigned char)low[i + 2]);
            i += 2;
        }
        rc = add_pattern(m, low, len);
        if (!rc)
            rc = plus.failed ? MRP_E_NOMEM : add_pattern(m, mrp_buf_str(&plus), plus.len);
        mrp_buf_done(&plus);
        if (rc)
            return rc;
    }
    return 0;
}

static int add_base64_text(struct mrp_masker *m, char *text, size_t n)
{
    /* Encoders break their lines at 64 or 76 characters. */
    static const size_t widths[] = {64, 76};
    for (int url = 0; url < 2; url++) {
        int rc = add_pattern(m, text, n);
        for (size_t w = 0; w < MRP_COUNT(widths) && n > widths[w]; w++)
            for (size_t at = 0; at < n && !rc; at += widths[w])
                if (n - at >= MIN_LINE)
                    rc = add_pattern(m, text + at, n - at < widths[w] ? n - at : widths[w]);
        if (rc)
            return rc;
        for (size_t i = 0; i < n; i++)
            text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    }
    return 0;
}

/* A secret inside a longer base64 text can begin at any of three bit offsets; the characters that
 * also depend on its neighbours are left out. */
static int add_base64(struct mrp_masker *m, const char *s, size_t n)
{
    static const size_t skip[] = {0, 2, 3};
    mrp_auto(mrp_free_str) char *padded = malloc(n + 3);
    if (!padded)
        return MRP_E_NOMEM;
    memset(padded, 0, 2);
    memcpy(padded + 2, s, n);
    for (size_t k = 0; k < 3; k++) {
        mrp_auto(mrp_free_str) char *enc = mrp_base64(padded + 2 - k, n + k);
        if (!enc)
            return MRP_E_NOMEM;
        size_t whole = (n + k) * 8 / 6;
        int rc = 0;
        if (k == 0)
            rc = add_base64_text(m, enc, strlen(enc));
        mrp_auto(mrp_free_str) char *core = mrp_base64(padded + 2 - k, n + k);
        if (!rc && core && whole > skip[k] + MIN_PATTERN)
            rc = add_base64_text(m, core + skip[k], whole - skip[k]);
        if (rc || !core)
            return MRP_E_NOMEM;
    }
    return 0;
}

static int add_forms(struct mrp_masker *m, const char *s, size_t n)
{
    int rc = add_pattern(m, s, n);
    if (!rc)
        rc = add_percent(m, s, n);
    if (!rc)
        rc = add_base64(m, s, n);
    if (!rc)
        rc = add_replaced(m, s, n, '\'', "'\"'\"'"); /* what `export -p` and `set -x` print */
    if (!rc)
        rc = add_replaced(m, s, n, '\'', "'\\''");
    mrp_auto(mrp_free_str) char *json = mrp_json_escape(s, n);
    if (rc || !json)
        return rc ? rc : MRP_E_NOMEM;
    rc = add_pattern(m, json, strlen(json));
    return rc ? rc : add_replaced(m, json, strlen(json), '/', "\\/");
}

int mrp_masker_add(struct mrp_masker *masker, const char *secret, size_t len)
{
    while (len && (secret[len - 1] == '\n' || secret[len - 1] == '\r'))
        len--;
    if (len < MIN_PATTERN)
        return 0;
    int rc = add_forms(masker, secret, len);
    if (rc || !memchr(secret, '\n', len))
        return rc;
    struct mrp_view rest = {secret, len}, line;
    while (!rc && mrp_view_next(&line, &rest, '\n')) {
        line = mrp_view_trim(line);
        if (line.n >= MIN_LINE)
            rc = add_forms(masker, line.p, line.n);
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
        if (t->n > n)
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
