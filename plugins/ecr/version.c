/* Semantic versions and ranges of them. */
#include "select.h"

#include <mrpipe/text.h>

#include <ctype.h>
#include <string.h>

bool version_parse(struct version *out, const char *text, size_t len)
{
    *out = (struct version){.pre = ""};
    size_t i = len && (text[0] == 'v' || text[0] == 'V') ? 1 : 0;
    while (out->parts < 3) {
        size_t start = i;
        while (i < len && isdigit((unsigned char)text[i]))
            i++;
        if (i == start ||
            mrp_parse_uint(&out->number[out->parts], text + start, i - start, UINT64_MAX / 2))
            return false;
        out->parts++;
        if (i == len || text[i] != '.')
            break;
        i++;
        if (out->parts == 3)
            return false;
    }
    if (i < len && text[i] == '-') {
        out->pre = text + ++i;
        while (i < len && text[i] != '+')
            i++;
        out->pre_len = (size_t)(text + i - out->pre);
        if (!out->pre_len)
            return false;
    }
    return i == len || text[i] == '+';
}

static bool all_digits(struct mrp_view v)
{
    for (size_t i = 0; i < v.n; i++)
        if (!isdigit((unsigned char)v.p[i]))
            return false;
    return v.n > 0;
}

static int compare_views(struct mrp_view a, struct mrp_view b)
{
    if (all_digits(a) && all_digits(b)) {
        while (a.n > 1 && *a.p == '0')
            a.p++, a.n--;
        while (b.n > 1 && *b.p == '0')
            b.p++, b.n--;
        if (a.n != b.n)
            return a.n < b.n ? -1 : 1;
    } else if (all_digits(a) != all_digits(b)) {
        return all_digits(a) ? -1 : 1;
    }
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int compare_pre(const struct version *a, const struct version *b)
{
    if (!a->pre_len || !b->pre_len)
        return (b->pre_len > 0) - (a->pre_len > 0);
    struct mrp_view x = {a->pre, a->pre_len};
    struct mrp_view y = {b->pre, b->pre_len};
    for (;;) {
        struct mrp_view p = {0};
        struct mrp_view q = {0};
        bool more_x = mrp_view_next(&p, &x, '.');
        bool more_y = mrp_view_next(&q, &y, '.');
        if (!more_x || !more_y)
            return more_x - more_y;
        int c = compare_views(p, q);
        if (c)
            return c;
    }
}

int version_compare(const struct version *a, const struct version *b)
{
    for (int i = 0; i < 3; i++)
        if (a->number[i] != b->number[i])
            return a->number[i] < b->number[i] ? -1 : 1;
    return compare_pre(a, b);
}

/* [low, high) in numbers; a comparator is one such interval. */
struct interval {
    struct version low;
    struct version high;
    bool low_open;    /* > instead of >= */
    bool high_closed; /* <= instead of < */
    bool no_low;
    bool no_high;
};

static struct version bump(const struct version *v, int part)
{
    struct version up = {.parts = 3, .pre = ""};
    for (int i = 0; i <= part; i++)
        up.number[i] = v->number[i];
    up.number[part]++;
    return up;
}

/* "1", "1.2", "1.x", "*": the numbers that were written; -1: malformed. */
static int partial(struct version *v, struct mrp_view text)
{
    size_t n = text.n;
    while (n && (text.p[n - 1] == 'x' || text.p[n - 1] == 'X' || text.p[n - 1] == '*')) {
        n--;
        if (n && text.p[n - 1] == '.')
            n--;
        else if (n)
            return -1;
    }
    *v = (struct version){.pre = ""};
    if (!n)
        return 0;
    return version_parse(v, text.p, n) ? v->parts : -1;
}

/* From a partial version with a sign before it to an interval. */
static bool make_interval(struct interval *out, const char *sign, struct mrp_view text)
{
    struct version v;
    int parts = partial(&v, text);
    if (parts < 0)
        return false;
    *out = (struct interval){.low = v, .high = v};
    if (!strcmp(sign, ">")) {
        out->no_high = true;
        out->low_open = parts == 3;
        if (parts && parts < 3)
            out->low = bump(&v, parts - 1);
        return parts > 0;
    }
    if (!strcmp(sign, ">=")) {
        out->no_high = true;
    } else if (!strcmp(sign, "<")) {
        out->no_low = true;
    } else if (!strcmp(sign, "<=")) {
        out->no_low = true;
        out->high_closed = parts == 3;
        if (parts && parts < 3)
            out->high = bump(&v, parts - 1);
    } else if (!parts) {
        out->no_low = out->no_high = true;
    } else if (!strcmp(sign, "^")) {
        int part = 0;
        while (part < parts - 1 && !v.number[part])
            part++;
        out->high = bump(&v, part);
    } else if (!strcmp(sign, "~")) {
        out->high = bump(&v, parts > 1 ? 1 : 0);
    } else if (parts < 3) {
        out->high = bump(&v, parts - 1);
    } else {
        out->high_closed = true;
    }
    return true;
}

static bool inside(const struct interval *in, const struct version *v)
{
    int low = version_compare(v, &in->low);
    int high = version_compare(v, &in->high);
    if (!in->no_low && (low < 0 || (low == 0 && in->low_open)))
        return false;
    return in->no_high || high < 0 || (high == 0 && in->high_closed);
}

static bool same_numbers(const struct version *a, const struct version *b)
{
    return !memcmp(a->number, b->number, sizeof a->number);
}

static bool next_word(struct mrp_view *word, struct mrp_view *rest)
{
    while (rest->n && strchr(" \t,", *rest->p))
        rest->p++, rest->n--;
    word->p = rest->p;
    while (rest->n && !strchr(" \t,", *rest->p))
        rest->p++, rest->n--;
    word->n = (size_t)(rest->p - word->p);
    return word->n > 0;
}

static struct mrp_view split_sign(char sign[3], struct mrp_view word)
{
    size_t n = 0;
    while (n < 2 && n < word.n && strchr("<>=^~", word.p[n])) {
        sign[n] = word.p[n];
        n++;
    }
    sign[n] = '\0';
    if (!strcmp(sign, "="))
        sign[0] = '\0';
    return (struct mrp_view){word.p + n, word.n - n};
}

static bool known_sign(const char *sign)
{
    static const char *const signs[] = {"", "<", "<=", ">", ">=", "^", "~"};
    for (size_t i = 0; i < MRP_COUNT(signs); i++)
        if (!strcmp(sign, signs[i]))
            return true;
    return false;
}

/* The next comparator, with its sign and perhaps " - UPPER" behind it. 1 read, 0 none, -1 bad. */
static int next_interval(struct interval *in, struct mrp_view *rest)
{
    struct mrp_view word;
    if (!next_word(&word, rest))
        return 0;
    char sign[3];
    struct mrp_view text = split_sign(sign, word);
    if (!text.n)
        next_word(&text, rest); /* ">= 1.2" */
    if (!known_sign(sign) || !make_interval(in, sign, text))
        return -1;
    struct mrp_view ahead = *rest;
    if (sign[0] || !next_word(&word, &ahead) || word.n != 1 || *word.p != '-')
        return 1;
    struct interval upper;
    if (!next_word(&word, &ahead) || !make_interval(&upper, "<=", word))
        return -1;
    in->no_high = false;
    in->high = upper.high;
    in->high_closed = upper.high_closed;
    *rest = ahead;
    return 1;
}

/* A pre-release is meant only where the range names one of the same version. */
static bool names_pre(const struct interval *in, const struct version *v)
{
    return (in->low.pre_len && !in->no_low && same_numbers(&in->low, v)) ||
           (in->high.pre_len && !in->no_high && same_numbers(&in->high, v));
}

/* All comparators of one alternative. -1: malformed, else whether v is in all of them. */
static int match_all(struct mrp_view rest, const struct version *v)
{
    bool match = true;
    bool pre_named = !v->pre_len;
    int count = 0;
    struct interval in;
    int got;
    for (; (got = next_interval(&in, &rest)) > 0; count++) {
        match = match && inside(&in, v);
        pre_named = pre_named || names_pre(&in, v);
    }
    return got < 0 || !count ? -1 : match && pre_named;
}

static int match_range(const char *range, const struct version *v)
{
    bool match = false;
    const char *p = range;
    for (;;) {
        const char *bar = strstr(p, "||");
        size_t n = bar ? (size_t)(bar - p) : strlen(p);
        int one = match_all((struct mrp_view){p, n}, v);
        if (one < 0)
            return -1;
        match = match || one;
        if (!bar)
            return match;
        p = bar + 2;
    }
}

bool range_match(const char *range, const struct version *v)
{
    return match_range(range, v) == 1;
}

int range_check(const char *range, struct mrp_error *err)
{
    struct version any = {.parts = 3, .pre = ""};
    if (strlen(range) <= 500 && match_range(range, &any) >= 0)
        return 0;
    mrp_fail(err, MRP_E_CONFIG, "`%.100s` is no version range", range);
    return mrp_hint(err, "write >=1.2 <2, ^1.4, ~1.4.2, 1.x, or several joined by ||");
}
