/* The source version: HEAD, branch and origin of the git repository around the work directory. */
#include "buildenv.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { REF_MAX = 4096, PACKED_MAX = 64 << 20, CONFIG_MAX = 1 << 20, DEPTH = 5 };

void mrp_source_done(struct mrp_source *source)
{
    mrp_free_str(&source->version);
    mrp_free_str(&source->branch);
    mrp_free_str(&source->url);
}

/* The trimmed contents of a small file; NULL: unreadable. */
static char *small(const char *dir, const char *name)
{
    mrp_auto(mrp_free_str) char *path = mrp_path_join(dir, name);
    mrp_auto(mrp_free_str) char *text = NULL;
    if (!path || mrp_file_read(&text, NULL, path, REF_MAX, NULL))
        return NULL;
    struct mrp_view v = mrp_view_trim(mrp_view_str(text));
    return mrp_strndup(v.p, v.n);
}

/* The .git folder: of this folder or one above it; a file .git names it (worktrees, submodules). */
static char *git_dir(const char *workdir)
{
    mrp_auto(mrp_free_str) char *at = realpath(workdir, NULL);
    while (at) {
        mrp_auto(mrp_free_str) char *head = mrp_path_join(at, ".git/HEAD");
        if (head && mrp_exists(head))
            return mrp_path_join(at, ".git");
        mrp_auto(mrp_free_str) char *link = small(at, ".git");
        if (link && mrp_starts(link, "gitdir: "))
            return mrp_path_join(at, link + strlen("gitdir: "));
        char *slash = strrchr(at, '/');
        if (!slash || slash == at)
            return NULL;
        *slash = '\0';
    }
    return NULL;
}

static bool is_id(const char *s)
{
    size_t n = strspn(s, "0123456789abcdef");
    return (n == 40 || n == 64) && !s[n];
}

static char *packed_ref(const char *common, const char *ref)
{
    mrp_auto(mrp_free_str) char *path = mrp_path_join(common, "packed-refs");
    mrp_auto(mrp_free_str) char *text = NULL;
    size_t len;
    if (!path || mrp_file_read(&text, &len, path, PACKED_MAX, NULL))
        return NULL;
    struct mrp_view rest = {text, len}, line;
    while (mrp_view_next(&line, &rest, '\n')) {
        line = mrp_view_trim(line);
        const char *blank = line.n ? memchr(line.p, ' ', line.n) : NULL;
        if (!blank || line.p[0] == '#')
            continue;
        struct mrp_view name = {blank + 1, line.n - (size_t)(blank + 1 - line.p)};
        if (mrp_view_is(name, ref))
            return mrp_strndup(line.p, (size_t)(blank - line.p));
    }
    return NULL;
}

static void read_head(struct mrp_source *out, const char *dir, const char *common)
{
    mrp_auto(mrp_free_str) char *name = mrp_strdup("HEAD");
    for (int depth = 0; name && depth < DEPTH; depth++) {
        mrp_auto(mrp_free_str) char *text = small(depth ? common : dir, name);
        if (!text && depth)
            text = packed_ref(common, name);
        if (text && is_id(text)) {
            out->version = mrp_take_str(&text);
            return;
        }
        if (!text || !mrp_starts(text, "ref: refs/") || strstr(text, ".."))
            return;
        mrp_free_str(&name);
        name = mrp_strdup(text + strlen("ref: "));
        if (!out->branch && mrp_starts(text, "ref: refs/heads/"))
            out->branch = mrp_strdup(text + strlen("ref: refs/heads/"));
    }
}

/* The url of [remote "origin"], without user and password. */
static char *origin(const char *common)
{
    mrp_auto(mrp_free_str) char *path = mrp_path_join(common, "config");
    mrp_auto(mrp_free_str) char *text = NULL;
    if (!path || mrp_file_read(&text, NULL, path, CONFIG_MAX, NULL))
        return NULL;
    struct mrp_view rest = mrp_view_str(text), line;
    bool inside = false;
    while (mrp_view_next(&line, &rest, '\n')) {
        line = mrp_view_trim(line);
        if (line.n && line.p[0] == '[')
            inside = mrp_view_is(line, "[remote \"origin\"]");
        const char *eq = inside && line.n ? memchr(line.p, '=', line.n) : NULL;
        struct mrp_view key = {line.p, eq ? (size_t)(eq - line.p) : 0};
        if (!eq || !mrp_view_is(mrp_view_trim(key), "url"))
            continue;
        struct mrp_view url = {eq + 1, line.n - (size_t)(eq + 1 - line.p)};
        url = mrp_view_trim(url);
        mrp_auto(mrp_free_str) char *whole = mrp_strndup(url.p, url.n);
        char *host = whole ? strstr(whole, "://") : NULL;
        if (!host)
            return mrp_take_str(&whole);
        host += 3;
        char *slash = strchr(host, '/'), *at = NULL;
        for (char *p = host; *p && p != slash; p++)
            at = *p == '@' ? p : at;
        return at ? mrp_strf("%.*s%s", (int)(host - whole), whole, at + 1) : mrp_take_str(&whole);
    }
    return NULL;
}

void mrp_source_find(struct mrp_source *out, const char *workdir)
{
    *out = (struct mrp_source){0};
    mrp_auto(mrp_free_str) char *dir = git_dir(workdir);
    if (!dir)
        return;
    mrp_auto(mrp_free_str) char *shared = small(dir, "commondir");
    mrp_auto(mrp_free_str) char *common = shared ? mrp_path_join(dir, shared) : mrp_strdup(dir);
    if (!common)
        return;
    read_head(out, dir, common);
    out->url = origin(common);
}
