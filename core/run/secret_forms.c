/* The forms in which a secret may show: base64, percent, JSON, shell and markup escapes. */
#include "secret_forms.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/error.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_FORM = 4 };
#define FORM_MAX ((size_t)16 << 20)

struct forms {
    const char *s;
    size_t n;
    mrp_secret_add *add;
    void *arg;
};

static int give(const struct forms *f, struct mrp_buf *text)
{
    int rc = text->failed ? MRP_E_NOMEM : f->add(f->arg, mrp_buf_str(text), text->len, false);
    mrp_buf_done(text);
    return rc;
}

/* ---- percent ---- */

/* What an encoder leaves as it is, besides letters, digits and -_. */
static const char *const url_keeps[] = {
    "~",                 /* RFC 3986 */
    "~/",                /* a path */
    "*",                 /* HTML forms */
    "~!'()*",            /* encodeURIComponent */
    "~!'()*;,/?:@&=+$#", /* encodeURI */
};

static int add_percent(const struct forms *f, const char *keep, bool lower, bool plus)
{
    static const char digits[2][17] = {"0123456789ABCDEF", "0123456789abcdef"};
    struct mrp_buf out = MRP_BUF_INIT(FORM_MAX);
    for (size_t i = 0; i < f->n; i++) {
        unsigned char c = (unsigned char)f->s[i];
        if (c < 0x80 && c && (isalnum(c) || strchr("-_.", c) || strchr(keep, c))) {
            mrp_buf_addc(&out, (char)c);
        } else if (plus && c == ' ') {
            mrp_buf_addc(&out, '+');
        } else {
            mrp_buf_addc(&out, '%');
            mrp_buf_addc(&out, digits[lower][c >> 4]);
            mrp_buf_addc(&out, digits[lower][c & 15]);
        }
    }
    return give(f, &out);
}

static int add_percents(const struct forms *f)
{
    int rc = 0;
    for (size_t k = 0; k < MRP_COUNT(url_keeps); k++)
        for (int way = 0; way < 4 && !rc; way++)
            rc = add_percent(f, url_keeps[k], way & 1, way & 2);
    return rc;
}

/* ---- base64 and hex ---- */

/* Both alphabets, as one line or broken anywhere. */
static int add_base64_text(const struct forms *f, char *text, size_t n)
{
    int rc = f->add(f->arg, text, n, true);
    for (size_t i = 0; i < n; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    return rc ? rc : f->add(f->arg, text, n, true);
}

/* A secret inside a longer base64 text can begin at any of three bit offsets; the characters that
 * also depend on its neighbours are left out. */
static int add_base64(const struct forms *f)
{
    static const size_t skip[] = {0, 2, 3};
    mrp_auto(mrp_free_str) char *padded = malloc(f->n + 3);
    if (!padded)
        return MRP_E_NOMEM;
    memset(padded, 0, 2);
    memcpy(padded + 2, f->s, f->n);
    for (size_t k = 0; k < 3; k++) {
        mrp_auto(mrp_free_str) char *enc = mrp_base64(padded + 2 - k, f->n + k);
        if (!enc)
            return MRP_E_NOMEM;
        size_t whole = (f->n + k) * 8 / 6;
        int rc = 0;
        if (k == 0)
            rc = add_base64_text(f, enc, strlen(enc));
        mrp_auto(mrp_free_str) char *core = mrp_base64(padded + 2 - k, f->n + k);
        if (!rc && core && whole > skip[k] + MIN_FORM)
            rc = add_base64_text(f, core + skip[k], whole - skip[k]);
        if (rc || !core)
            return MRP_E_NOMEM;
    }
    return 0;
}

static int add_hex(const struct forms *f)
{
    mrp_auto(mrp_free_str) char *hex = mrp_hex(f->s, f->n);
    if (!hex)
        return MRP_E_NOMEM;
    int rc = f->add(f->arg, hex, 2 * f->n, true);
    for (char *c = hex; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return rc ? rc : f->add(f->arg, hex, 2 * f->n, true);
}

/* ---- JSON ---- */

struct json_way {
    const char *also; /* characters written as \u00XX besides control characters */
    bool ascii;       /* nothing above 0x7e as it is */
    bool upper;       /* digits of \uXXXX */
    bool slash;       /* \/ */
};
static const struct json_way json_ways[] = {
    {"", false, false, false},       /* most */
    {"", true, false, false},        /* Python */
    {"", false, false, true},        /* PHP, with JSON_UNESCAPED_UNICODE */
    {"", true, false, true},         /* PHP */
    {"", true, true, false},         /* Jackson and others, when asked for ASCII */
    {"<>&", false, false, false},    /* Go, Rails */
    {"<>&'=", false, false, false},  /* Gson */
    {"\"<>&'+`", true, true, false}, /* .NET */
};

/* The code point at s, or -1 where it is not UTF-8. */
static int32_t code_point(const char *s, size_t n, size_t *used)
{
    unsigned char c = (unsigned char)*s;
    size_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    int32_t value = len == 1 ? c : c & (0xff >> (len + 1));
    *used = 1;
    if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || len > n)
        return -1;
    for (size_t i = 1; i < len; i++) {
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return -1;
        value = value << 6 | ((unsigned char)s[i] & 0x3f);
    }
    *used = len;
    return value;
}

static void put_unit(struct mrp_buf *out, uint32_t unit, bool upper)
{
    mrp_buf_addf(out, upper ? "\\u%04X" : "\\u%04x", unit);
}

static void put_json(struct mrp_buf *out, const char *s, size_t n, const struct json_way *way)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    for (size_t i = 0, used = 1; i < n; i += used) {
        int32_t c = code_point(s + i, n - i, &used);
        const char *at = c > 0 && c < 0x80 ? strchr(plain, (char)c) : NULL;
        if (c > 0 && c < 0x80 && strchr(way->also, (char)c)) {
            put_unit(out, (uint32_t)c, way->upper);
        } else if (at) {
            mrp_buf_addc(out, '\\');
            mrp_buf_addc(out, letter[at - plain]);
        } else if (c == '/' && way->slash) {
            mrp_buf_adds(out, "\\/");
        } else if (c >= 0x10000 && way->ascii) {
            put_unit(out, 0xd800u + (((uint32_t)c - 0x10000u) >> 10), way->upper);
            put_unit(out, 0xdc00u + (((uint32_t)c - 0x10000u) & 0x3ffu), way->upper);
        } else if ((c >= 0 && c < 0x20) || (c >= 0x7f && way->ascii)) {
            put_unit(out, (uint32_t)c, way->upper);
        } else {
            mrp_buf_add(out, s + i, used);
        }
    }
}

/* Each way, and JSON inside the text of other JSON. */
static int add_json(const struct forms *f)
{
    int rc = 0;
    for (size_t w = 0; w < MRP_COUNT(json_ways) && !rc; w++) {
        struct mrp_buf once = MRP_BUF_INIT(FORM_MAX), twice = MRP_BUF_INIT(FORM_MAX);
        put_json(&once, f->s, f->n, &json_ways[w]);
        put_json(&twice, mrp_buf_str(&once), once.len, &json_ways[w]);
        rc = give(f, &once);
        int second = give(f, &twice);
        rc = rc ? rc : second;
    }
    return rc;
}

/* ---- shells and markup ---- */

struct replacing {
    const char *from;  /* characters */
    const char *to[8]; /* what stands for each; NULL: itself after a backslash */
};
static const struct replacing replacings[] = {
    {"'", {"'\"'\"'"}},                   /* `export -p` of dash */
    {"'", {"'\\''"}},                     /* `set -x` */
    {"\"$`\\", {NULL}},                   /* `export -p` of bash */
    {"\n\t\r'\\", {"\\n", "\\t", "\\r"}}, /* $'...' */
    {"\n\t\r\\", {"\\n", "\\t", "\\r"}},  /* repr of Python */
    {" '\"\\|&;()<>!{}*[]?^$`,", {NULL}}, /* printf %q */
    {"&<>", {"&amp;", "&lt;", "&gt;"}},   /* XML */
    {"&<>\"'", {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"}},
    {"&<>\"'", {"&amp;", "&lt;", "&gt;", "&quot;", "&#x27;"}},
    {"&<>\"'", {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"}},
    {"&<>\"", {"&amp;", "&lt;", "&gt;", "&quot;"}},
};

static int add_replaced(const struct forms *f, const struct replacing *r)
{
    struct mrp_buf out = MRP_BUF_INIT(FORM_MAX);
    for (size_t i = 0; i < f->n; i++) {
        const char *at = f->s[i] ? strchr(r->from, f->s[i]) : NULL;
        const char *to =
            at && at - r->from < (ptrdiff_t)MRP_COUNT(r->to) ? r->to[at - r->from] : NULL;
        if (to) {
            mrp_buf_adds(&out, to);
        } else {
            if (at)
                mrp_buf_addc(&out, '\\');
            mrp_buf_addc(&out, f->s[i]);
        }
    }
    return give(f, &out);
}

int mrp_secret_forms(const char *s, size_t n, mrp_secret_add *add, void *arg)
{
    struct forms f = {s, n, add, arg};
    int rc = add(arg, s, n, false);
    if (!rc)
        rc = add_percents(&f);
    if (!rc)
        rc = add_base64(&f);
    if (!rc)
        rc = add_hex(&f);
    if (!rc)
        rc = add_json(&f);
    for (size_t i = 0; i < MRP_COUNT(replacings) && !rc; i++)
        rc = add_replaced(&f, &replacings[i]);
    return rc;
}
