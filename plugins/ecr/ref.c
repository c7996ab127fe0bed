/* Reads and writes image references and the host names of ECR registries. */
#include "ref.h"

#include <mrpipe/auto.h>
#include <mrpipe/aws.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { REF_MAX = 2048, REPO_MAX = 255, TAG_MAX = 128, HOST_MAX = 255 };

static const struct {
    const char *prefix;
    enum ref_kind kind;
} transports[] = {
    {"oci:", REF_LAYOUT},
    {"oci-archive:", REF_OCI_ARCHIVE},
    {"docker-archive:", REF_DOCKER_ARCHIVE},
};

static bool hex_tail(const char *s, size_t want)
{
    size_t n = strspn(s, "0123456789abcdef");
    return n == want && !s[n];
}

bool digest_valid(const char *text)
{
    if (!text)
        return false;
    if (mrp_starts(text, "sha256:"))
        return hex_tail(text + 7, 64);
    return mrp_starts(text, "sha512:") && hex_tail(text + 7, 128);
}

bool tag_valid(const char *text, size_t len)
{
    if (!len || len > TAG_MAX || text[0] == '.' || text[0] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x80 || !(isalnum(c) || c == '_' || c == '.' || c == '-'))
            return false;
    }
    return true;
}

static bool is_separator(char c)
{
    return c == '.' || c == '_' || c == '-';
}

/* One component of a path: words of lower case letters and digits, separators between them. */
static bool component_valid(const char *text, size_t len)
{
    if (!len || is_separator(text[0]) || is_separator(text[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !is_separator(c))
            return false;
        if (c == '.' && is_separator(text[i - 1]))
            return false;
    }
    return true;
}

bool repo_valid(const char *text, size_t len)
{
    if (!len || len > REPO_MAX || text[len - 1] == '/')
        return false;
    struct mrp_view rest = {text, len};
    struct mrp_view part;
    while (mrp_view_next(&part, &rest, '/'))
        if (!component_valid(part.p, part.n))
            return false;
    return true;
}

static size_t host_name_length(const char *text, size_t len)
{
    size_t i = 0;
    if (text[0] == '[') {
        for (i = 1; i < len && (isxdigit((unsigned char)text[i]) || strchr(":.", text[i])); i++)
            ;
        return i < len && text[i] == ']' && i > 1 ? i + 1 : 0;
    }
    while (i < len && (isalnum((unsigned char)text[i]) || text[i] == '-' || text[i] == '.'))
        i++;
    return text[0] == '-' || text[0] == '.' ? 0 : i;
}

static bool host_valid(const char *text, size_t len)
{
    uint64_t port;
    if (!len || len > HOST_MAX)
        return false;
    size_t n = host_name_length(text, len);
    if (!n || n == len)
        return n > 0;
    return text[n] == ':' && !mrp_parse_uint(&port, text + n + 1, len - n - 1, 65535) && port > 0;
}

/* The first part of a name is a host if it looks like one; otherwise the name is Docker Hub's. */
static size_t host_length(const char *text)
{
    const char *slash = strchr(text, '/');
    if (!slash)
        return 0;
    size_t n = (size_t)(slash - text);
    if (memchr(text, '.', n) || memchr(text, ':', n) || (n == 9 && !memcmp(text, "localhost", 9)))
        return n;
    return 0;
}

static int bad(struct mrp_error *err, const char *text, const char *why)
{
    char shown[160];
    mrp_copy(shown, sizeof shown, text);
    for (char *c = shown; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127)
            *c = '?';
    mrp_fail(err, MRP_E_CONFIG, "`%s` is no image reference: %s", shown, why);
    return mrp_hint(err, "write HOST/REPOSITORY:TAG, HOST/REPOSITORY@sha256:..., oci:FOLDER[:TAG], "
                         "oci-archive:FILE or docker-archive:FILE");
}

static const char *bad_tag(size_t len)
{
    return !len            ? "nothing follows the last `:`"
           : len > TAG_MAX ? "the tag is longer than 128 characters"
                           : "a tag is letters, digits, `_` `.` `-`, and begins with none of the "
                             "last two";
}

/* NULL: it is a repository's. */
static const char *bad_name(const char *name, size_t len, bool official)
{
    if (len > REPO_MAX - (official ? strlen("library/") : 0))
        return "the repository name is longer than 255 characters";
    if (!repo_valid(name, len))
        return "a repository is lower case letters and digits, with single `/` `.` `_` `-` between "
               "them";
    return NULL;
}

/* Names that other tools give to places; here they would be images of Docker Hub. */
static int refuse_others(const char *text, struct mrp_error *err)
{
    static const char *const others[] = {
        "dir:",     "docker-daemon:", "containers-storage:", "ocidir:", "ostree:", "sif:",
        "tarball:", "file:"};
    if (text[0] == '/' || text[0] == '.') {
        bad(err, text, "it looks like a path");
        return mrp_hint(err, "write oci:FOLDER[:TAG], oci-archive:FILE or docker-archive:FILE");
    }
    for (size_t i = 0; i < MRP_COUNT(others); i++) {
        if (!mrp_starts(text, others[i]))
            continue;
        bad(err, text, "such a place is not known here");
        return mrp_hint(err, "`skopeo copy` makes an oci:FOLDER of it");
    }
    if (strchr(text, ',')) {
        bad(err, text, "several names are a list");
        return mrp_hint(err, "write [\"ONE\", \"OTHER\"], on the command line after :=");
    }
    if (mrp_starts(text, "http://")) {
        bad(err, text, "a URL is not part of a name");
        return mrp_hint(err, "write it without http://, and `insecure: true` if the registry is "
                             "not on this machine");
    }
    return 0;
}

static int parse_file(struct ref *out,
                      enum ref_kind kind,
                      const char *rest,
                      const char *text,
                      struct mrp_error *err)
{
    out->kind = kind;
    const char *at = strrchr(rest, '@');
    size_t n = strlen(rest);
    if (at && digest_valid(at + 1)) {
        out->digest = mrp_strdup(at + 1);
        n = (size_t)(at - rest);
    }
    const char *colon = memrchr(rest, ':', n);
    if (colon && !memchr(colon, '/', n - (size_t)(colon - rest))) {
        size_t len = n - (size_t)(colon - rest) - 1;
        if (!tag_valid(colon + 1, len))
            return bad(err, text, bad_tag(len));
        out->tag = mrp_strndup(colon + 1, len);
        n = (size_t)(colon - rest);
    }
    if (!n)
        return bad(err, text, "the path is missing");
    out->path = mrp_strndup(rest, n);
    return out->path ? 0 : mrp_fail(err, MRP_E_NOMEM, "image reference");
}

static int take_host(struct ref *out, const char **text, struct mrp_error *err)
{
    const char *whole = *text;
    size_t n = host_length(whole);
    if (!n) {
        out->host = mrp_strdup("docker.io");
        return out->host ? 0 : mrp_fail(err, MRP_E_NOMEM, "image reference");
    }
    if (!host_valid(whole, n))
        return bad(err, whole, "the host is malformed");
    out->host = mrp_strndup(whole, n);
    if (!out->host)
        return mrp_fail(err, MRP_E_NOMEM, "image reference");
    for (char *c = out->host; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    *text = whole + n + 1;
    return 0;
}

static int parse_registry(struct ref *out, const char *text, struct mrp_error *err)
{
    const char *rest = text;
    int rc = take_host(out, &rest, err);
    if (rc)
        return rc;
    size_t n = strlen(rest);
    const char *at = strchr(rest, '@');
    if (at) {
        if (!digest_valid(at + 1))
            return bad(err, text, "the digest must be sha256: and 64 hexadecimal digits");
        out->digest = mrp_strdup(at + 1);
        n = (size_t)(at - rest);
    }
    const char *colon = memchr(rest, ':', n);
    if (colon) {
        size_t len = n - (size_t)(colon - rest) - 1;
        if (!tag_valid(colon + 1, len))
            return bad(err, text, bad_tag(len));
        out->tag = mrp_strndup(colon + 1, len);
        n = (size_t)(colon - rest);
    }
    if (!out->tag && !out->digest && (!n || rest[n - 1] == '/')) {
        out->prefix = true;
        n -= n ? 1 : 0;
    }
    bool official = !strcmp(out->host, "docker.io") && !memchr(rest, '/', n) && !out->prefix;
    const char *why = out->prefix && !n ? NULL : bad_name(rest, n, official);
    if (why)
        return bad(err, text, why);
    out->repo = mrp_strf("%s%.*s", official ? "library/" : "", (int)n, rest);
    return out->repo ? 0 : mrp_fail(err, MRP_E_NOMEM, "image reference");
}

int ref_parse(struct ref *out, const char *text, struct mrp_error *err)
{
    memset(out, 0, sizeof *out);
    if (!text || !*text)
        return bad(err, "", "it is empty");
    if (strlen(text) > REF_MAX)
        return bad(err, text, "it is too long");
    if (!mrp_is_text(text, strlen(text)) || strpbrk(text, "\r\n\t"))
        return bad(err, text, "it has control characters");
    for (size_t i = 0; i < MRP_COUNT(transports); i++)
        if (mrp_starts(text, transports[i].prefix))
            return parse_file(out, transports[i].kind, text + strlen(transports[i].prefix), text,
                              err);
    int rc = refuse_others(text, err);
    if (rc)
        return rc;
    if (mrp_starts(text, "docker://"))
        text += strlen("docker://");
    out->https = mrp_starts(text, "https://");
    if (out->https && !host_length(text + strlen("https://")))
        return bad(err, text, "a host is missing");
    text += out->https ? strlen("https://") : 0;
    if (strpbrk(text, " \\?#%") || strstr(text, "://"))
        return bad(err, text, "a URL or a blank is not part of a name");
    return parse_registry(out, text, err);
}

void ref_done(struct ref *ref)
{
    free(ref->host);
    free(ref->repo);
    free(ref->path);
    free(ref->tag);
    free(ref->digest);
    memset(ref, 0, sizeof *ref);
}

int ref_copy(struct ref *out, const struct ref *from, struct mrp_error *err)
{
    *out = (struct ref){.kind = from->kind, .https = from->https, .prefix = from->prefix};
    out->host = mrp_strdup(from->host);
    out->repo = mrp_strdup(from->repo);
    out->path = mrp_strdup(from->path);
    out->tag = mrp_strdup(from->tag);
    out->digest = mrp_strdup(from->digest);
    if ((from->host && !out->host) || (from->repo && !out->repo) || (from->path && !out->path) ||
        (from->tag && !out->tag) || (from->digest && !out->digest))
        return mrp_fail(err, MRP_E_NOMEM, "image reference");
    return 0;
}

char *ref_text(const struct ref *ref)
{
    const char *name = ref->kind == REF_REGISTRY ? ref->repo : ref->path;
    const char *scheme = "";
    for (size_t i = 0; i < MRP_COUNT(transports); i++)
        if (transports[i].kind == ref->kind)
            scheme = transports[i].prefix;
    if (ref->https)
        scheme = "https://";
    return mrp_strf("%s%s%s%s%s%s%s%s%s", scheme, ref->host ? ref->host : "",
                    ref->host && name && *name ? "/" : "", name ? name : "", ref->prefix ? "/" : "",
                    ref->tag ? ":" : "", ref->tag ? ref->tag : "", ref->digest ? "@" : "",
                    ref->digest ? ref->digest : "");
}

/* Takes what is before the next '.'; false if there is none or it does not fit. */
static bool label(char *out, size_t size, const char **rest)
{
    const char *dot = strchr(*rest, '.');
    if (!dot || dot == *rest || (size_t)(dot - *rest) >= size)
        return false;
    memcpy(out, *rest, (size_t)(dot - *rest));
    out[dot - *rest] = '\0';
    *rest = dot + 1;
    return true;
}

bool ecr_name_parse(struct ecr_name *out, const char *host)
{
    struct ecr_name n = {0};
    char word[16];
    const char *rest = host;
    if (!label(n.account, sizeof n.account, &rest) || strlen(n.account) != 12 ||
        strspn(n.account, "0123456789") != 12 || !label(word, sizeof word, &rest))
        return false;
    if (!strcmp(word, "dkr")) {
        if (!label(word, sizeof word, &rest))
            return false;
        n.fips = !strcmp(word, "ecr-fips");
        if (!n.fips && strcmp(word, "ecr") != 0)
            return false;
    } else if (!strcmp(word, "dkr-ecr")) {
        n.dual = true;
    } else {
        return false;
    }
    if (!label(n.region, sizeof n.region, &rest) || !mrp_aws_is_region(n.region))
        return false;
    if (!*rest || strlen(rest) >= sizeof n.suffix || strchr(rest, ':'))
        return false;
    mrp_copy(n.suffix, sizeof n.suffix, rest);
    /* The credentials go there, so the whole suffix must be AWS's own. */
    bool own = n.dual ? !strcmp(rest, "on.aws") || !strcmp(rest, "on.amazonwebservices.com.cn")
                      : !strcmp(rest, mrp_aws_suffix(n.region));
    if (!own)
        return false;
    *out = n;
    return true;
}

char *ecr_host(const char *account, const char *region)
{
    return mrp_strf("%s.dkr.ecr.%s.%s", account, region, mrp_aws_suffix(region));
}
