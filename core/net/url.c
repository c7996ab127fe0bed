/* Parsing and printing of URLs. */
#include <mrpipe/url.h>

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_URL 8192

static const struct {
    const char *scheme;
    int port;
} default_ports[] = {{"https", 443}, {"http", 80}, {"ssh", 22}};

static int default_port(const char *scheme)
{
    for (size_t i = 0; i < MRP_COUNT(default_ports); i++)
        if (strcmp(scheme, default_ports[i].scheme) == 0)
            return default_ports[i].port;
    return 0;
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char *lower(const char *s, size_t n)
{
    char *out = mrp_strndup(s, n);
    for (char *p = out; p && *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return out;
}

/* The length of "scheme" in "scheme://", or 0. */
static size_t scheme_len(const char *s)
{
    size_t n = 0;
    if (!is_alpha(s[0]))
        return 0;
    while (is_alpha(s[n]) || is_digit(s[n]) || s[n] == '+' || s[n] == '-' || s[n] == '.')
        n++;
    return strncmp(s + n, "://", 3) == 0 ? n : 0;
}

static bool host_char(char c, bool v6)
{
    if (v6)
        return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' ||
               c == '.';
    return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_';
}

static bool host_ok(const char *host, size_t n)
{
    if (n == 0 || n > 255)
        return false;
    bool v6 = host[0] == '[';
    if (v6 && (n < 4 || host[n - 1] != ']'))
        return false;
    for (size_t i = v6 ? 1 : 0; i < (v6 ? n - 1 : n); i++)
        if (!host_char(host[i], v6))
            return false;
    return true;
}

static int parse_user(struct mrp_url *out, const char *s, size_t n)
{
    const char *colon = memchr(s, ':', n);
    size_t user_len = colon ? (size_t)(colon - s) : n;
    out->user = mrp_unpercent(s, user_len);
    if (!out->user)
        return -1;
    if (colon)
        out->password = mrp_unpercent(colon + 1, n - user_len - 1);
    return colon && !out->password ? -1 : 0;
}

/* [user[:password]@]host[:port] */
static int parse_authority(struct mrp_url *out, const char *s, size_t n)
{
    const char *at = memrchr(s, '@', n);
    if (at) {
        if (parse_user(out, s, (size_t)(at - s)) != 0)
            return -1;
        n -= (size_t)(at + 1 - s);
        s = at + 1;
    }
    const char *close = n && s[0] == '[' ? memchr(s, ']', n) : NULL;
    const char *from = close ? close : s;
    const char *colon = memchr(from, ':', n - (size_t)(from - s));
    size_t host_len = colon ? (size_t)(colon - s) : n;
    if (!host_ok(s, host_len))
        return -1;
    out->host = lower(s, host_len);
    out->port = default_port(out->scheme);
    size_t port_len = colon ? n - host_len - 1 : 0;
    if (port_len == 0)
        return 0;
    uint64_t port = 0;
    if (mrp_parse_uint(&port, colon + 1, port_len, 65535) != 0 || port == 0)
        return -1;
    out->port = (int)port;
    out->port_given = true;
    return 0;
}

static int parse(struct mrp_url *out, const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > MAX_URL)
        return -1;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f)
            return -1;
    size_t n = scheme_len(text);
    if (n == 0)
        return -1;
    out->scheme = lower(text, n);
    if (!out->scheme)
        return -1;
    const char *authority = text + n + 3;
    size_t authority_len = strcspn(authority, "/?#");
    if (parse_authority(out, authority, authority_len) != 0)
        return -1;
    const char *path = authority + authority_len;
    size_t path_len = strcspn(path, "?#");
    out->path = path_len && path[0] == '/' ? mrp_strndup(path, path_len) : mrp_strdup("/");
    const char *query = path + path_len;
    if (*query == '?')
        out->query = mrp_strndup(query + 1, strcspn(query + 1, "#"));
    return out->host && out->path ? 0 : -1;
}

int mrp_url_parse(struct mrp_url *out, const char *text, struct mrp_error *err)
{
    *out = (struct mrp_url){0};
    if (text && parse(out, text) == 0)
        return 0;
    mrp_url_done(out);
    mrp_auto(mrp_free_str) char *shown = text ? mrp_url_redact(text) : NULL;
    mrp_fail(err, MRP_E_CONFIG, "`%.200s` is no URL", shown ? shown : "");
    return mrp_hint(err, "a URL looks like https://HOST[:PORT]/PATH");
}

void mrp_url_done(struct mrp_url *url)
{
    free(url->scheme);
    free(url->user);
    if (url->password)
        explicit_bzero(url->password, strlen(url->password));
    free(url->password);
    free(url->host);
    free(url->path);
    free(url->query);
    *url = (struct mrp_url){0};
}

char *mrp_url_authority(const struct mrp_url *url)
{
    if (url->port == 0 || url->port == default_port(url->scheme))
        return mrp_strdup(url->host);
    return mrp_strf("%s:%d", url->host, url->port);
}

char *mrp_url_text(const struct mrp_url *url)
{
    mrp_auto(mrp_free_str) char *authority = mrp_url_authority(url);
    if (!authority)
        return NULL;
    return mrp_strf("%s://%s%s%s%s", url->scheme, authority, url->path, url->query ? "?" : "",
                    url->query ? url->query : "");
}

/* Names of query parameters whose values open doors. */
static bool is_secret(const char *name, size_t n)
{
    static const char *const words[] = {"signature", "token", "credential", "password", "secret",
                                        "accesskey", "sig",   "code",       "_state"};
    for (size_t i = 0; i < MRP_COUNT(words); i++) {
        size_t len = strlen(words[i]);
        for (size_t at = 0; at + len <= n; at++)
            if (strncasecmp(name + at, words[i], len) == 0)
                return true;
    }
    return false;
}

static void redact_query(struct mrp_buf *out, const char *query)
{
    struct mrp_view rest = mrp_view_str(query);
    struct mrp_view piece;
    bool first = true;
    while (mrp_view_next(&piece, &rest, '&')) {
        if (!first)
            mrp_buf_addc(out, '&');
        first = false;
        const char *eq = piece.n ? memchr(piece.p, '=', piece.n) : NULL;
        if (eq && is_secret(piece.p, (size_t)(eq - piece.p))) {
            mrp_buf_add(out, piece.p, (size_t)(eq + 1 - piece.p));
            mrp_buf_adds(out, "***");
        } else {
            mrp_buf_add(out, piece.p, piece.n);
        }
    }
}

char *mrp_url_redact(const char *url)
{
    struct mrp_buf out = MRP_BUF_INIT(4 * MAX_URL);
    const char *mark = strstr(url, "://"); /* also where the rest is no proper URL */
    size_t head = mark ? (size_t)(mark + 3 - url) : 0;
    size_t authority = strcspn(url + head, "/?#");
    mrp_buf_add(&out, url, head);
    const char *at = authority ? memrchr(url + head, '@', authority) : NULL;
    const char *host = at ? at + 1 : url + head;
    const char *path = url + head + authority;
    mrp_buf_add(&out, host, (size_t)(path - host));
    size_t path_len = strcspn(path, "?#");
    mrp_buf_add(&out, path, path_len);
    if (path[path_len] == '?') {
        mrp_buf_addc(&out, '?');
        mrp_auto(mrp_free_str) char *query =
            mrp_strndup(path + path_len + 1, strcspn(path + path_len + 1, "#"));
        redact_query(&out, query ? query : "");
    }
    char *text = mrp_buf_take(&out);
    return text ? text : mrp_strdup("(long URL)");
}
