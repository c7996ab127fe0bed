/* Strings: views, copies, vectors of strings, the nearest right name. */
#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mrp_view mrp_view_str(const char *s)
{
    return (struct mrp_view){.p = s ? s : "", .n = s ? strlen(s) : 0};
}

bool mrp_view_is(struct mrp_view v, const char *s)
{
    size_t n = strlen(s);
    return v.n == n && memcmp(v.p, s, n) == 0;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct mrp_view mrp_view_trim(struct mrp_view v)
{
    while (v.n && blank(v.p[0])) {
        v.p++;
        v.n--;
    }
    while (v.n && blank(v.p[v.n - 1]))
        v.n--;
    return v;
}

bool mrp_view_next(struct mrp_view *piece, struct mrp_view *rest, char sep)
{
    if (!rest->p)
        return false;
    const char *end = rest->n ? memchr(rest->p, sep, rest->n) : NULL;
    if (!end) {
        *piece = *rest;
        *rest = (struct mrp_view){0};
        return true;
    }
    *piece = (struct mrp_view){.p = rest->p, .n = (size_t)(end - rest->p)};
    rest->n -= piece->n + 1;
    rest->p = end + 1;
    return true;
}

char *mrp_strf(const char *fmt, ...)
{
    char *out = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&out, fmt, args);
    va_end(args);
    return n < 0 ? NULL : out;
}

char *mrp_strdup(const char *s)
{
    return s ? strdup(s) : NULL;
}

char *mrp_strndup(const char *s, size_t n)
{
    char *copy = malloc(n + 1);
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

bool mrp_starts(const char *s, const char *prefix)
{
    return s && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool mrp_ends(const char *s, const char *suffix)
{
    size_t n = s ? strlen(s) : 0, m = strlen(suffix);
    return s && n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool mrp_streq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

size_t mrp_strv_len(char *const *v)
{
    size_t n = 0;
    while (v && v[n])
        n++;
    return n;
}

bool mrp_strv_has(char *const *v, const char *s)
{
    for (; v && *v; v++)
        if (strcmp(*v, s) == 0)
            return true;
    return false;
}

int mrp_strv_addn(char ***v, const char *s, size_t n)
{
    size_t count = mrp_strv_len(*v);
    char *copy = mrp_strndup(s, n);
    if (!copy)
        return MRP_E_NOMEM;
    /* The room is always the next power of two above the count, so it needs no field. */
    if (!*v || ((count + 1) & count) == 0) {
        char **grown = realloc(*v, 2 * (count + 1) * sizeof *grown);
        if (!grown) {
            free(copy);
            return MRP_E_NOMEM;
        }
        *v = grown;
    }
    (*v)[count] = copy;
    (*v)[count + 1] = NULL;
    return MRP_OK;
}

int mrp_strv_add(char ***v, const char *s)
{
    return mrp_strv_addn(v, s, strlen(s));
}

char **mrp_split(const char *s, char sep)
{
    mrp_auto(mrp_free_strv) char **out = calloc(2, sizeof *out);
    struct mrp_view rest = mrp_view_str(s), piece;
    if (!out)
        return NULL;
    while (mrp_view_next(&piece, &rest, sep)) {
        piece = mrp_view_trim(piece);
        if (piece.n && mrp_strv_addn(&out, piece.p, piece.n))
            return NULL;
    }
    return mrp_take_strv(&out);
}

char *mrp_copy(char *dst, size_t size, const char *src)
{
    if (size) {
        size_t n = strnlen(src, size - 1);
        memcpy(dst, src, n);
        dst[n] = '\0';
    }
    return dst;
}

int mrp_text_fit(const char *text, size_t most)
{
    size_t n = strnlen(text, most + 1);
    if (n > most)
        for (n = most; n && ((unsigned char)text[n] & 0xc0) == 0x80;)
            n--;
    return (int)n;
}

/* Length of the UTF-8 sequence at s (1 to 4), or 0 if it is not one. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80)
        return 1;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool beyond = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return overlong || beyond ? 0 : n;
}

bool mrp_is_text(const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0; i < len;) {
        if ((p[i] < 0x20 && p[i] != '\t' && p[i] != '\r' && p[i] != '\n') || p[i] == 0x7f)
            return false;
        size_t n = utf8_len(p + i, len - i);
        if (!n)
            return false;
        i += n;
    }
    return true;
}

enum { NEAREST_MAX = 64 };

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edit distance with swaps of neighbours, case ignored; words over NEAREST_MAX are never near. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > NEAREST_MAX || m > NEAREST_MAX)
        return SIZE_MAX;
    size_t rows[3][NEAREST_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            row[j] = min3(up[j] + 1, row[j - 1] + 1, up[j - 1] + (ca != cb));
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                tolower((unsigned char)a[i - 2]) == cb && up2[j - 2] + 1 < row[j])
                row[j] = up2[j - 2] + 1;
        }
    }
    return rows[n % 3][m];
}

const char *mrp_nearest(const char *word, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    size_t limit = strlen(word) / 3 + 1, least = limit + 1;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, candidates[i]);
        if (d < least && d < strlen(candidates[i])) {
            least = d;
            best = candidates[i];
        }
    }
    return best;
}
