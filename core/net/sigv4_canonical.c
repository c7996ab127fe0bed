/* The canonical request of Signature Version 4: one way to write down what is sent. */
#include "sigv4.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define MAX_CANONICAL ((size_t)1 << 20)
#define MAX_PARTS 1000u

struct part {
    char *name;
    char *value;
    size_t order; /* as sent */
};

struct parts {
    struct part *list;
    size_t count;
};

static void parts_done(struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        free(parts->list[i].name);
        free(parts->list[i].value);
    }
    free(parts->list);
}

/* Takes over both strings. */
static int parts_add(struct parts *parts, char *name, char *value)
{
    if (!parts->list)
        parts->list = calloc(MAX_PARTS, sizeof *parts->list);
    if (!parts->list || !name || !value || parts->count == MAX_PARTS) {
        free(name);
        free(value);
        return -1;
    }
    parts->list[parts->count] = (struct part){name, value, parts->count};
    parts->count++;
    return 0;
}

static int by_name_value(const void *a, const void *b)
{
    const struct part *x = a;
    const struct part *y = b;
    int diff = strcmp(x->name, y->name);
    return diff ? diff : strcmp(x->value, y->value);
}

static int by_name_order(const void *a, const void *b)
{
    const struct part *x = a;
    const struct part *y = b;
    int diff = strcmp(x->name, y->name);
    return diff ? diff : (x->order > y->order) - (x->order < y->order);
}

/* Decode, then encode again: one spelling for each text. A '+' stays a plus. */
static char *recode(const char *s, size_t n, bool keep_slash)
{
    struct mrp_buf out = MRP_BUF_INIT(MAX_CANONICAL);
    for (size_t i = 0; i < n; i++) {
        mrp_auto(mrp_free_str) char *one =
            s[i] == '%' && i + 2 < n ? mrp_unpercent(s + i, 3) : NULL;
        if (one) {
            unsigned char c = (unsigned char)one[0];
            i += 2;
            if (c == 0)
                mrp_buf_adds(&out, "%00");
            mrp_auto(mrp_free_str) char *text =
                c ? mrp_percent(one, 1, keep_slash && c != '/') : NULL;
            mrp_buf_adds(&out, text ? text : "");
            continue;
        }
        mrp_auto(mrp_free_str) char *text = mrp_percent(s + i, 1, keep_slash);
        mrp_buf_adds(&out, text ? text : "");
    }
    return mrp_buf_take(&out);
}

static int add_query(struct mrp_buf *out, const char *query, size_t n)
{
    mrp_auto(parts_done) struct parts parts = {0};
    struct mrp_view rest = {query, n};
    struct mrp_view piece;
    while (mrp_view_next(&piece, &rest, '&')) {
        if (piece.n == 0)
            continue;
        const char *eq = memchr(piece.p, '=', piece.n);
        size_t name_len = eq ? (size_t)(eq - piece.p) : piece.n;
        char *name = recode(piece.p, name_len, false);
        char *value = eq ? recode(eq + 1, piece.n - name_len - 1, false) : mrp_strdup("");
        if (parts_add(&parts, name, value) != 0)
            return -1;
    }
    if (parts.count)
        qsort(parts.list, parts.count, sizeof *parts.list, by_name_value);
    for (size_t i = 0; i < parts.count; i++)
        mrp_buf_addf(out, "%s%s=%s", i ? "&" : "", parts.list[i].name, parts.list[i].value);
    return mrp_buf_addc(out, '\n');
}

/* Dot segments go, doubled slashes become one, a final slash stays. */
static char *normalise(const char *path, size_t n)
{
    struct mrp_buf out = MRP_BUF_INIT(MAX_CANONICAL);
    bool slash = false;
    size_t i = 0;
    while (i < n) {
        size_t from = i;
        while (i < n && path[i] != '/')
            i++;
        size_t len = i - from;
        bool dot = len == 1 && path[from] == '.';
        bool dots = len == 2 && path[from] == '.' && path[from + 1] == '.';
        if (dots) {
            while (out.len && out.data[out.len - 1] != '/')
                out.len--;
            out.len -= out.len ? 1 : 0;
            if (out.data)
                out.data[out.len] = '\0';
        } else if (len && !dot) {
            mrp_buf_addc(&out, '/');
            mrp_buf_add(&out, path + from, len);
        }
        slash = i < n || dot || dots;
        i++;
    }
    if (slash || out.len == 0)
        mrp_buf_addc(&out, '/');
    return mrp_buf_take(&out);
}

static int add_path(struct mrp_buf *out, const char *path, size_t n, bool s3)
{
    mrp_auto(mrp_free_str) char *text = NULL;
    if (s3) {
        text = recode(n ? path : "/", n ? n : 1, true);
    } else {
        mrp_auto(mrp_free_str) char *plain = normalise(path, n);
        text = plain ? mrp_percent(plain, strlen(plain), true) : NULL;
    }
    return text ? mrp_buf_addf(out, "%s\n", text) : -1;
}

/* A hop on the way may change these. */
static bool is_unsigned(const char *name)
{
    static const char *const names[] = {"connection", "expect",          "transfer-encoding",
                                        "upgrade",    "user-agent",      "x-amzn-trace-id",
                                        "te",         "accept-encoding", "authorization"};
    for (size_t i = 0; i < MRP_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return mrp_starts(name, "sec-websocket-");
}

static char *lower(const char *s)
{
    char *out = mrp_strdup(s);
    for (char *p = out; p && *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return out;
}

/* Outer blanks go, inner runs of blanks become one. */
static char *squeeze(const char *s)
{
    struct mrp_view v = mrp_view_trim(mrp_view_str(s));
    char *out = mrp_strndup(v.p ? v.p : "", v.n);
    size_t to = 0;
    for (size_t i = 0; out && i < v.n; i++) {
        bool blank = strchr(" \t\r\n", out[i]) != NULL;
        if (blank && to && out[to - 1] == ' ')
            continue;
        out[to++] = blank ? ' ' : out[i];
    }
    if (out)
        out[to] = '\0';
    return out;
}

static int
add_headers(struct mrp_buf *out, struct mrp_buf *names, const struct mrp_headers *headers)
{
    mrp_auto(parts_done) struct parts parts = {0};
    for (size_t i = 0; i < headers->count; i++) {
        char *name = lower(headers->list[i].name);
        if (name && is_unsigned(name)) {
            free(name);
            continue;
        }
        if (parts_add(&parts, name, squeeze(headers->list[i].value)) != 0)
            return -1;
    }
    if (parts.count)
        qsort(parts.list, parts.count, sizeof *parts.list, by_name_order);
    for (size_t i = 0; i < parts.count; i++) {
        const struct part *part = &parts.list[i];
        if (i && strcmp(part->name, parts.list[i - 1].name) == 0) {
            mrp_buf_addf(out, ",%s", part->value);
            continue;
        }
        mrp_buf_addf(out, "%s%s:%s", i ? "\n" : "", part->name, part->value);
        mrp_buf_addf(names, "%s%s", i ? ";" : "", part->name);
    }
    return mrp_buf_adds(out, "\n\n");
}

int sigv4_canonical(char **canonical,
                    char **signed_headers,
                    const struct mrp_headers *headers,
                    bool s3,
                    const char *method,
                    const char *url,
                    const char *payload_sha256)
{
    struct mrp_buf out = MRP_BUF_INIT(MAX_CANONICAL);
    struct mrp_buf names = MRP_BUF_INIT(MAX_CANONICAL);
    const char *host = strstr(url, "://");
    const char *path = host ? host + 3 + strcspn(host + 3, "/?#") : url;
    size_t path_len = strcspn(path, "?#");
    const char *query = path[path_len] == '?' ? path + path_len + 1 : "";
    mrp_buf_addf(&out, "%s\n", method);
    int rc = add_path(&out, path, path_len, s3);
    if (rc == 0)
        rc = add_query(&out, query, strcspn(query, "#"));
    if (rc == 0)
        rc = add_headers(&out, &names, headers);
    mrp_buf_addf(&out, "%s\n%s", mrp_buf_str(&names), payload_sha256);
    char *text = mrp_buf_take(&out);
    char *list = mrp_buf_take(&names);
    if (rc || !text || !list) {
        free(text);
        free(list);
        return MRP_E_NOMEM;
    }
    *canonical = text;
    *signed_headers = list;
    return 0;
}
