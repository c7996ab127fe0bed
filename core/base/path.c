/* Paths as text, and paths that must not leave their root. */
#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *mrp_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool mrp_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

char *mrp_path_join(const char *base, const char *rel)
{
    mrp_auto(mrp_free_str) char *all =
        rel[0] == '/' ? mrp_strdup(rel) : mrp_strf("%s/%s", base, rel);
    if (!all)
        return NULL;
    bool absolute = all[0] == '/';
    size_t n = strlen(all), len = 0;
    mrp_auto(mrp_free_str) char *out = malloc(n + 3);
    if (!out)
        return NULL;
    struct mrp_view rest = {.p = all, .n = n}, part;
    size_t depth = 0; /* parts in `out` that `..` may take away */
    while (mrp_view_next(&part, &rest, '/')) {
        if (!part.n || mrp_view_is(part, "."))
            continue;
        if (mrp_view_is(part, "..") && (depth || absolute)) {
            if (depth) {
                while (len && out[--len] != '/')
                    ;
                depth--;
            }
            continue;
        }
        if (absolute || len)
            out[len++] = '/';
        memcpy(out + len, part.p, part.n);
        len += part.n;
        depth += !mrp_view_is(part, "..");
    }
    if (!len)
        out[len++] = absolute ? '/' : '.';
    out[len] = '\0';
    return mrp_take_str(&out);
}

static bool below(const char *root, const char *path)
{
    size_t n = strlen(root);
    if (n == 1 && root[0] == '/')
        return path[0] == '/';
    return strncmp(path, root, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* realpath() of the longest part that exists. Owned; NULL with errno. */
static char *real_part(const char *path)
{
    mrp_auto(mrp_free_str) char *part = mrp_strdup(path);
    while (part) {
        char *real = realpath(part, NULL);
        char *slash = strrchr(part, '/');
        if (real || (errno != ENOENT && errno != ENOTDIR) || !slash)
            return real;
        if (slash == part)
            return mrp_strdup("/");
        *slash = '\0';
    }
    return NULL;
}

int mrp_path_inside(char **out, const char *root, const char *rel, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *here = root[0] == '/' ? mrp_strdup("/") : getcwd(NULL, 0);
    if (!here)
        return mrp_fail_errno(err, "find the current folder");
    mrp_auto(mrp_free_str) char *clean_root = mrp_path_join(here, root);
    mrp_auto(mrp_free_str) char *path = clean_root ? mrp_path_join(clean_root, rel) : NULL;
    if (!path)
        return mrp_fail(err, MRP_E_NOMEM, "path %s", rel);
    if (strlen(path) >= PATH_MAX)
        return mrp_fail(err, MRP_E_CONFIG, "path %.60s... is longer than %d bytes", rel, PATH_MAX);
    if (!below(clean_root, path))
        return mrp_fail(err, MRP_E_CONFIG, "path %s leaves %s", rel, clean_root);
    mrp_auto(mrp_free_str) char *real_root = realpath(clean_root, NULL);
    if (!real_root)
        return mrp_fail_errno(err, "open %s", clean_root);
    mrp_auto(mrp_free_str) char *real = real_part(path);
    if (!real)
        return mrp_fail_errno(err, "open %s", path);
    /* A part of the path may not exist yet; what exists must not lead out by a symbolic link. */
    if (!below(real_root, real))
        return mrp_fail(err, MRP_E_CONFIG, "path %s leaves %s through a symbolic link", rel,
                        clean_root);
    *out = mrp_take_str(&path);
    return MRP_OK;
}
