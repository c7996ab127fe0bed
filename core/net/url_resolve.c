/* Resolving a reference against a base URL (RFC 3986, 5.2), as redirects need it. */
#include <mrpipe/url.h>

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

/* Blanks and bytes above ASCII are encoded, since servers send them raw; control bytes are refused.
 */
static char *clean(const char *reference)
{
    struct mrp_buf out = MRP_BUF_INIT(8192);
    for (const char *p = reference; *p && *p != '#'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7f) {
            mrp_buf_done(&out);
            return NULL;
        }
        if (c == 0x20 || c >= 0x80)
            mrp_buf_addf(&out, "%%%02X", c);
        else
            mrp_buf_addc(&out, *p);
    }
    return mrp_buf_take(&out);
}

/* "/a/b/../c/./d" -> "/a/c/d", in place; keeps a final slash. */
static void remove_dots(char *path)
{
    char *to = path;
    const char *from = path;
    while (*from) {
        size_t n = 1 + strcspn(from + 1, "/");
        bool last = from[n] == '\0';
        if (n == 2 && from[1] == '.') {
            if (last)
                *to++ = '/';
        } else if (n == 3 && from[1] == '.' && from[2] == '.') {
            while (to > path && *--to != '/') {
            }
            if (last)
                *to++ = '/';
        } else {
            memmove(to, from, n);
            to += n;
        }
        from += n;
    }
    *to = '\0';
}

static bool has_scheme(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    return n > 0 && s[n] == ':';
}

static char *merge(const struct mrp_url *base, const char *reference)
{
    const char *query = strchr(reference, '?');
    size_t path_len = query ? (size_t)(query - reference) : strlen(reference);
    mrp_auto(mrp_free_str) char *path = NULL;
    if (path_len == 0) {
        path = mrp_strdup(base->path);
    } else if (reference[0] == '/') {
        path = mrp_strndup(reference, path_len);
    } else {
        const char *slash = strrchr(base->path, '/');
        path = mrp_strf("%.*s%.*s", slash ? (int)(slash + 1 - base->path) : 0, base->path,
                        (int)path_len, reference);
    }
    mrp_auto(mrp_free_str) char *authority = mrp_url_authority(base);
    if (!path || !authority)
        return NULL;
    if (path_len)
        remove_dots(path);
    const char *base_query = path_len == 0 && base->query ? base->query : NULL;
    if (query || !base_query)
        return mrp_strf("%s://%s%s%s", base->scheme, authority, path, query ? query : "");
    return mrp_strf("%s://%s%s?%s", base->scheme, authority, path, base_query);
}

static void url_done(struct mrp_url *url)
{
    mrp_url_done(url);
}

char *mrp_url_resolve(const char *base, const char *reference)
{
    struct mrp_error ignored = {0};
    mrp_auto(mrp_free_str) char *ref = clean(reference);
    if (!ref)
        return NULL;
    mrp_auto(mrp_free_str) char *whole = NULL;
    if (has_scheme(ref)) {
        whole = mrp_take_str(&ref);
    } else {
        mrp_auto(url_done) struct mrp_url url = {0};
        if (mrp_url_parse(&url, base, &ignored) != 0)
            return NULL;
        whole = strncmp(ref, "//", 2) == 0 ? mrp_strf("%s:%s", url.scheme, ref) : merge(&url, ref);
    }
    mrp_auto(url_done) struct mrp_url checked = {0};
    if (!whole || mrp_url_parse(&checked, whole, &ignored) != 0 || checked.user)
        return NULL;
    return mrp_take_str(&whole);
}
