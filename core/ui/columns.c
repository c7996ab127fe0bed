/* Widths of UTF-8 text, and the cleaning of text that children and remote hosts wrote. */
#include "columns.h"

#include <locale.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

const char *mrp_ui_sgr(bool color, enum mrp_ui_style style)
{
    static const char *const codes[] = {"",         "\x1b[1m",  "\x1b[2m",  "\x1b[32m",
                                        "\x1b[33m", "\x1b[31m", "\x1b[36m", "\x1b[0m"};
    return color ? codes[style] : "";
}

void mrp_ui_locale(void)
{
    (void)setlocale(LC_CTYPE, "C.UTF-8");
}

/* One code point; returns its length in bytes, 0 if the bytes are no valid UTF-8. */
static size_t decode(uint32_t *out, const unsigned char *p, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0x80) {
        *out = p[0];
        return 1;
    }
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return 0;
    size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (len > n)
        return 0;
    uint32_t c = p[0] & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return 0;
    *out = c;
    return len;
}

/* Without a UTF-8 locale wcwidth knows ASCII only: one column is the best guess then. */
static size_t width(uint32_t c)
{
    int w = wcwidth((wchar_t)c);
    return w < 0 ? (c < 0x20 ? 0 : 1) : (size_t)w;
}

/* The length of the escape sequence at p[0] == ESC: CSI, OSC and other strings, two-byte forms. */
static size_t escape_len(const unsigned char *p, size_t n)
{
    if (n < 2)
        return n;
    size_t i = 2;
    if (p[1] == '[') {
        while (i < n && (p[i] < 0x40 || p[i] > 0x7E))
            i++;
        return i < n ? i + 1 : n;
    }
    if (p[1] && strchr("]P_^X", p[1])) {
        for (; i < n; i++) {
            if (p[i] == 0x07)
                return i + 1;
            if (p[i] == 0x1B && i + 1 < n && p[i + 1] == '\\')
                return i + 2;
        }
        return n;
    }
    i = 1;
    while (i < n && p[i] >= 0x20 && p[i] <= 0x2F)
        i++;
    return i < n ? i + 1 : n;
}

size_t mrp_ui_columns(const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t total = 0;
    for (size_t i = 0; i < len;) {
        if (p[i] == 0x1B) {
            i += escape_len(p + i, len - i);
            continue;
        }
        uint32_t c = 0;
        size_t n = decode(&c, p + i, len - i);
        total += n ? width(c) : 1;
        i += n ? n : 1;
    }
    return total;
}

/* Marks that turn the direction of text round: a log line must not be able to. */
static bool is_bidi(uint32_t c)
{
    return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

void mrp_ui_clean(struct mrp_buf *out, const char *s)
{
    size_t len = strlen(s);
    while (len > 0 && (s[len - 1] == '\r' || s[len - 1] == '\n'))
        len--;
    const char *cr = len > 0 ? memrchr(s, '\r', len) : NULL;
    const unsigned char *p = (const unsigned char *)(cr ? cr + 1 : s);
    size_t n = len - (size_t)((const char *)p - s);
    size_t column = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        size_t step = decode(&c, p + i, n - i);
        if (step == 1 && c == 0x1B) {
            i += escape_len(p + i, n - i);
            continue;
        }
        if (step == 1 && c == '\t') {
            size_t blanks = 8 - column % 8;
            mrp_ui_pad(out, blanks);
            column += blanks;
        } else if (step == 1 && c == '\n') {
            mrp_buf_addc(out, ' ');
            column++;
        } else if (step == 0 || (c >= 0x7F && c < 0xA0) || is_bidi(c)) {
            mrp_buf_adds(out, "\xEF\xBF\xBD");
            column++;
        } else if (c >= 0x20) {
            mrp_buf_add(out, p + i, step);
            column += width(c);
        }
        i += step ? step : 1;
    }
}

size_t mrp_ui_cut(struct mrp_buf *out, const char *s, size_t columns)
{
    size_t len = strlen(s);
    size_t full = mrp_ui_columns(s, len);
    if (full <= columns) {
        mrp_buf_add(out, s, len);
        return full;
    }
    size_t dots = columns >= 3 ? 3 : columns;
    size_t room = columns - dots, used = 0;
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        size_t n = decode(&c, p + i, len - i);
        size_t w = n ? width(c) : 1;
        if (used + w > room)
            break;
        mrp_buf_add(out, p + i, n ? n : 1);
        used += w;
        i += n ? n : 1;
    }
    mrp_buf_add(out, "...", dots);
    return used + dots;
}

void mrp_ui_pad(struct mrp_buf *out, size_t count)
{
    static const char blanks[] = "                                ";
    while (count > 0) {
        size_t n = count < sizeof blanks - 1 ? count : sizeof blanks - 1;
        mrp_buf_add(out, blanks, n);
        count -= n;
    }
}
