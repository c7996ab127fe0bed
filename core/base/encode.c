/* Hex, base64, percent and JSON escapes. */
#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *mrp_hex(const void *data, size_t len)
{
    const unsigned char *p = data;
    char *out = malloc(len * 2 + 1);
    if (!out)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = hex_digits[p[i] >> 4];
        out[2 * i + 1] = hex_digits[p[i] & 15];
    }
    out[len * 2] = '\0';
    return out;
}

char *mrp_base64(const void *data, size_t len)
{
    const unsigned char *p = data;
    char *out = malloc((len + 2) / 3 * 4 + 1), *to = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < len; i += 3) {
        unsigned v = (unsigned)p[i] << 16;
        if (i + 1 < len)
            v |= (unsigned)p[i + 1] << 8;
        if (i + 2 < len)
            v |= p[i + 2];
        *to++ = alphabet[v >> 18];
        *to++ = alphabet[v >> 12 & 63];
        *to++ = i + 1 < len ? alphabet[v >> 6 & 63] : '=';
        *to++ = i + 2 < len ? alphabet[v & 63] : '=';
    }
    *to = '\0';
    return out;
}

static int base64_value(char c)
{
    if (c == '-')
        return 62;
    if (c == '_')
        return 63;
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

void *mrp_unbase64(size_t *out_len, const char *s, size_t len)
{
    while (len && s[len - 1] == '=')
        len--;
    if (len % 4 == 1)
        return NULL;
    mrp_auto(mrp_free_str) char *out = malloc(len / 4 * 3 + 3);
    size_t n = 0;
    unsigned bits = 0, have = 0;
    if (!out)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        int v = base64_value(s[i]);
        if (v < 0)
            return NULL;
        bits = bits << 6 | (unsigned)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (char)(bits >> have & 255);
        }
    }
    out[n] = '\0';
    *out_len = n;
    return mrp_take_str(&out);
}

static bool unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

char *mrp_percent(const char *s, size_t len, bool keep_slash)
{
    char *out = malloc(len * 3 + 1), *to = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (unreserved(c) || (keep_slash && c == '/')) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = hex_upper[c >> 4];
            *to++ = hex_upper[c & 15];
        }
    }
    *to = '\0';
    return out;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

char *mrp_unpercent(const char *s, size_t len)
{
    char *out = malloc(len + 1), *to = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        int high = s[i] == '%' && i + 2 < len ? hex_value(s[i + 1]) : -1;
        int low = high >= 0 ? hex_value(s[i + 2]) : -1;
        if (low >= 0) {
            *to++ = (char)(high << 4 | low);
            i += 2;
        } else {
            *to++ = s[i];
        }
    }
    *to = '\0';
    return out;
}

char *mrp_json_escape(const char *s, size_t len)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    char *out = malloc(len * 6 + 1), *to = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        const char *at = c ? strchr(plain, c) : NULL;
        if (at) {
            *to++ = '\\';
            *to++ = letter[at - plain];
        } else if (c < 0x20) {
            memcpy(to, "\\u00", 4);
            to[4] = hex_digits[c >> 4];
            to[5] = hex_digits[c & 15];
            to += 6;
        } else {
            *to++ = (char)c;
        }
    }
    *to = '\0';
    return out;
}
