/* Finds the files of an artifact: base directories, patterns, exclusions, links, name clashes. */
#include "collect.h"

#include "pattern.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 128, MAX_FILES = 4000000 };

/* A folder on the way down, to notice links that lead back up. */
struct above {
    const struct above *up;
    dev_t dev;
    ino_t ino;
    unsigned depth;
};

struct walk {
    struct mrp_pack_list *out;
    struct mrp_stage *stage;
    const struct mrp_pack_spec *spec;
    const char *root; /* the base directory */
    struct mrp_patterns exclude;
    struct mrp_patterns pats; /* of one written pattern */
    const struct mrp_pattern *pattern;
    size_t found; /* by this pattern */
    size_t folders;
    struct stat runs; /* mrpipe's own folder, never packed; st_nlink 0: none */
    struct mrp_error *err;
};

static void file_done(struct mrp_pack_file *f)
{
    free(f->name);
    free(f->path);
    free(f->link);
}

void mrp_pack_list_done(struct mrp_pack_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        file_done(&list->files[i]);
    free(list->files);
    *list = (struct mrp_pack_list){0};
}

char *mrp_pack_expand(const struct mrp_stage *stage, const char *text)
{
    struct mrp_buf b = MRP_BUF_INIT(64 * 1024);
    for (const char *s = text; *s;) {
        const char *name = s + 1;
        bool braces = s[0] == '$' && s[1] == '{';
        if (braces)
            name++;
        size_t n = 0;
        if (s[0] == '$' && (isalpha((unsigned char)name[0]) || name[0] == '_'))
            while (isalnum((unsigned char)name[n]) || name[n] == '_')
                n++;
        if (n == 0 || (braces && name[n] != '}')) {
            mrp_buf_addc(&b, *s++);
            continue;
        }
        mrp_auto(mrp_free_str) char *key = mrp_strndup(name, n);
        const char *value = key ? mrp_stage_env(stage, key) : NULL;
        mrp_buf_adds(&b, value ? value : "");
        s = name + n + (braces ? 1 : 0);
    }
    return mrp_buf_take(&b);
}

static bool is_below(const char *root, const char *path)
{
    size_t n = strlen(root);
    return strncmp(root, path, n) == 0 && (path[n] == '/' || path[n] == '\0' || n == 1);
}

/* The text of a link that may stay a link: its target lies in the base directory. Else NULL. */
static char *inner_link(const char *root, const char *path)
{
    char text[4096];
    ssize_t n = readlink(path, text, sizeof text - 1);
    if (n <= 0 || n >= (ssize_t)sizeof text - 1)
        return NULL;
    text[n] = '\0';
    if (text[0] == '/')
        return NULL;
    const char *slash = strrchr(path, '/');
    mrp_auto(mrp_free_str) char *dir = mrp_strndup(path, slash ? (size_t)(slash - path) : 0);
    mrp_auto(mrp_free_str) char *target = dir ? mrp_path_join(dir, text) : NULL;
    if (!target || !is_below(root, target))
        return NULL;
    return mrp_strdup(text);
}

static int add_file(struct mrp_pack_list *out,
                    struct mrp_pack_file *file, /* taken over */
                    struct mrp_error *err)
{
    if (!file->name || !file->path || out->count >= MAX_FILES) {
        file_done(file);
        return mrp_fail(err, MRP_E_NOMEM, "list of artifact files");
    }
    if (out->count == out->cap) {
        size_t cap = out->cap ? out->cap * 2 : 64;
        struct mrp_pack_file *files = realloc(out->files, cap * sizeof *files);
        if (!files) {
            file_done(file);
            return mrp_fail(err, MRP_E_NOMEM, "list of artifact files");
        }
        out->files = files;
        out->cap = cap;
    }
    out->files[out->count++] = *file;
    return MRP_OK;
}

/* Tell when a followed link brings in something from outside the source directory. */
static void warn_outside(struct walk *w, const char *rel, const char *path)
{
    mrp_auto(mrp_free_str) char *real = realpath(path, NULL);
    mrp_auto(mrp_free_str) char *root = realpath(w->root, NULL);
    if (real && root && !is_below(root, real))
        mrp_log(w->stage, MRP_WARN,
                "%s is a link to %s, outside the base directory: packed as a file", rel, real);
}

static int take(struct walk *w, const char *rel, const char *path, const struct stat *lst)
{
    struct stat st = *lst;
    mrp_auto(mrp_free_str) char *link = NULL;
    if (mrp_patterns_match(&w->exclude, rel))
        return MRP_OK;
    if (S_ISLNK(lst->st_mode)) {
        if (w->spec->keep_links)
            link = inner_link(w->root, path);
        if (!link && stat(path, &st) != 0) {
            mrp_log(w->stage, MRP_WARN, "Skipping invalid file path %s: the link leads nowhere",
                    rel);
            return MRP_OK;
        }
        if (!link)
            warn_outside(w, rel, path);
    }
    if (!link && S_ISDIR(st.st_mode)) {
        w->folders++;
        return MRP_OK;
    }
    if (!link && !S_ISREG(st.st_mode)) {
        mrp_log(w->stage, MRP_WARN, "Skipping invalid file path %s: not a regular file", rel);
        return MRP_OK;
    }
    w->found++;
    struct mrp_pack_file file = {
        .name = mrp_strdup(w->spec->discard_paths ? mrp_basename(rel) : rel),
        .path = mrp_strdup(path),
        .size = link ? strlen(link) : (uint64_t)st.st_size,
        .mode = link ? S_IFLNK | 0777u : S_IFREG | ((st.st_mode & 0111) ? 0755u : 0644u),
        .mtime_s = st.st_mtime,
        .order = w->pattern ? w->pattern->origin : SIZE_MAX,
    };
    file.link = mrp_take_str(&link);
    return add_file(w->out, &file, w->err);
}

static int visit(struct walk *w, const char *rel, uint64_t state, const struct above *up);

static int enter(struct walk *w,
                 const char *rel,
                 const char *path,
                 uint64_t state,
                 const struct stat *lst,
                 const struct above *up)
{
    struct stat st = *lst;
    if (S_ISLNK(lst->st_mode)) {
        /* a link that is kept is a leaf */
        mrp_auto(mrp_free_str) char *kept = w->spec->keep_links ? inner_link(w->root, path) : NULL;
        if (kept || stat(path, &st) != 0)
            return MRP_OK;
    }
    if (!S_ISDIR(st.st_mode))
        return MRP_OK;
    if (w->runs.st_nlink > 0 && st.st_dev == w->runs.st_dev && st.st_ino == w->runs.st_ino)
        return MRP_OK;
    struct above here = {up, st.st_dev, st.st_ino, up ? up->depth + 1 : 0};
    for (const struct above *a = up; a; a = a->up)
        if (a->dev == here.dev && a->ino == here.ino) {
            mrp_log(w->stage, MRP_WARN, "%s leads back to a folder above it: not followed", rel);
            return MRP_OK;
        }
    if (here.depth > MAX_DEPTH)
        return mrp_fail(w->err, MRP_E_ARTIFACT, "%s: over %d folders deep", rel, MAX_DEPTH);
    return visit(w, rel, state, &here);
}

static int
one_name(struct walk *w, const char *rel, const char *name, uint64_t state, const struct above *up)
{
    uint64_t next = mrp_pattern_step(w->pattern, state, name);
    if (!next)
        return MRP_OK;
    mrp_auto(mrp_free_str) char *sub = *rel ? mrp_strf("%s/%s", rel, name) : mrp_strdup(name);
    mrp_auto(mrp_free_str) char *path = sub ? mrp_strf("%s/%s", w->root, sub) : NULL;
    if (!path)
        return mrp_fail(w->err, MRP_E_NOMEM, "artifact path %s", name);
    struct stat st;
    if (lstat(path, &st) != 0)
        return MRP_OK; /* gone meanwhile, or a literal name that is not there */
    int rc = MRP_OK;
    if (mrp_pattern_accepts(w->pattern, next))
        rc = take(w, sub, path, &st);
    if (rc == MRP_OK && mrp_pattern_alive(w->pattern, next))
        rc = enter(w, sub, path, next, &st, up);
    return rc;
}

static int visit(struct walk *w, const char *rel, uint64_t state, const struct above *up)
{
    if (mrp_stage_cancelled(w->stage))
        return mrp_fail(w->err, MRP_E_CANCELLED, "packing was stopped");
    mrp_auto(mrp_free_str) char *literal = mrp_pattern_literal(w->pattern, state);
    if (literal)
        return one_name(w, rel, literal, state, up);

    mrp_auto(mrp_free_str) char *path =
        *rel ? mrp_strf("%s/%s", w->root, rel) : mrp_strdup(w->root);
    if (!path)
        return mrp_fail(w->err, MRP_E_NOMEM, "artifact path %s", rel);
    mrp_auto(mrp_close_dir) DIR *dir = opendir(path);
    if (!dir)
        return mrp_fail_errno(w->err, "read folder %s", path);
    struct dirent *d;
    errno = 0;
    while ((d = readdir(dir)) != NULL) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        int rc = one_name(w, rel, d->d_name, state, up);
        if (rc)
            return rc;
        errno = 0;
    }
    if (errno)
        return mrp_fail_errno(w->err, "read folder %s", path);
    return MRP_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct mrp_pack_file *x = a, *y = b;
    int d = strcmp(x->name, y->name);
    if (d == 0)
        d = x->order < y->order ? -1 : x->order > y->order;
    return d ? d : strcmp(x->path, y->path);
}

/* Sort; of one name the last stays, as in CodeBuild, but never in silence. */
static int settle(struct mrp_pack_list *list,
                  struct mrp_stage *stage,
                  const struct mrp_pack_spec *spec,
                  struct mrp_error *err)
{
    if (list->count > 0)
        qsort(list->files, list->count, sizeof *list->files, by_name);
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct mrp_pack_file *last = kept ? &list->files[kept - 1] : NULL;
        if (last && strcmp(last->name, list->files[i].name) == 0) {
            bool same = strcmp(last->path, list->files[i].path) == 0;
            if (!same && spec->unique) {
                const char *clash = list->files[i].path;
                for (size_t k = i; k < list->count; k++) /* keep the list whole for its cleanup */
                    list->files[kept++] = list->files[k];
                list->count = kept;
                mrp_fail(err, MRP_E_ARTIFACT, "%s and %s would both be stored as %s", last->path,
                         clash, last->name);
                return mrp_hint(err, "rename one, exclude one, or drop `discard-paths`");
            }
            if (!same)
                mrp_log(stage, MRP_WARN, "%s: %s replaces %s, both have this name in the package",
                        last->name, list->files[i].path, last->path);
            file_done(last);
            *last = list->files[i];
        } else {
            list->files[kept++] = list->files[i];
        }
    }
    list->count = kept;
    list->bytes = 0;
    for (size_t i = 0; i < kept; i++)
        list->bytes += list->files[i].size;
    return MRP_OK;
}

/* Every folder of the work directory that the glob matches is a root of its own. */
static int glob_roots(char ***roots, const char *work, const char *base, struct mrp_error *err)
{
    mrp_auto(mrp_patterns_done) struct mrp_patterns pats = {0};
    int rc = mrp_patterns_add(&pats, base, 0, err);
    mrp_auto(mrp_close_dir) DIR *dir = rc ? NULL : opendir(work);
    struct dirent *d;
    while (dir && (d = readdir(dir)) != NULL) {
        struct stat st;
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
            !mrp_patterns_match(&pats, d->d_name))
            continue;
        mrp_auto(mrp_free_str) char *path = mrp_strf("%s/%s", work, d->d_name);
        if (!path || stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
            continue;
        if (mrp_strv_add(roots, path))
            return mrp_fail(err, MRP_E_NOMEM, "base-directory %s", base);
    }
    return rc;
}

static int find_roots(char ***roots,
                      struct mrp_stage *stage,
                      const struct mrp_pack_spec *spec,
                      struct mrp_error *err)
{
    const char *work = mrp_stage_workdir(stage);
    mrp_auto(mrp_free_str) char *base = mrp_pack_expand(stage, spec->base ? spec->base : ".");
    mrp_auto(mrp_free_str) char *path = NULL;
    struct stat st;
    int rc = MRP_OK;
    if (!base)
        return mrp_fail(err, MRP_E_NOMEM, "base-directory");
    if (base[0] == '/') /* a secondary source lies outside the work directory */
        path = mrp_path_join("/", base);
    else if (strpbrk(base, "*?[{"))
        rc = glob_roots(roots, work, base, err);
    else
        rc = mrp_path_inside(&path, work, base, err);
    if (rc == MRP_OK && path && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        rc = mrp_strv_add(roots, path);
    if (rc || mrp_strv_len(*roots) > 0)
        return rc;
    mrp_fail(err, MRP_E_ARTIFACT, "%s: no matching base directory path found for %s", spec->what,
             base);
    return mrp_hint(err, "base-directory is relative to the source directory %s", work);
}

/* An absolute pattern is fine when it points into the root ($CODEBUILD_SRC_DIR/x). */
static const char *relative(const char *root, const char *text)
{
    size_t n = strlen(root);
    if (text[0] == '/' && is_below(root, text))
        return text[n] ? text + n + 1 : text;
    return text;
}

static void walk_done(struct walk *w)
{
    mrp_patterns_done(&w->exclude);
    mrp_patterns_done(&w->pats);
}

static int add_pattern(struct mrp_patterns *to,
                       struct walk *w,
                       const char *written,
                       size_t i,
                       struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *text = mrp_pack_expand(w->stage, written);
    if (!text)
        return mrp_fail(err, MRP_E_NOMEM, "artifact path %s", written);
    return mrp_patterns_add(to, relative(w->root, text), i, err);
}

static int walk_root(struct walk *w, size_t *found, struct mrp_error *err)
{
    mrp_patterns_done(&w->exclude);
    for (size_t i = 0; i < mrp_strv_len(w->spec->exclude); i++) {
        int rc = add_pattern(&w->exclude, w, w->spec->exclude[i], i, err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < mrp_strv_len(w->spec->files); i++) {
        mrp_patterns_done(&w->pats);
        int rc = add_pattern(&w->pats, w, w->spec->files[i], i, err);
        for (size_t k = 0; rc == MRP_OK && k < w->pats.count; k++) {
            struct stat st;
            w->pattern = &w->pats.list[k];
            w->found = 0;
            if (stat(w->root, &st) != 0)
                return mrp_fail_errno(err, "read folder %s", w->root);
            rc = visit(w, "", mrp_pattern_start(w->pattern),
                       &(struct above){NULL, st.st_dev, st.st_ino, 0});
            found[i] += w->found;
        }
        if (rc)
            return rc;
    }
    return MRP_OK;
}

/* Files that earlier stages of the run added: stored by their place in the base directory, or else
 * in the source directory. */
static int add_added(struct walk *w, char *const *roots, struct mrp_error *err)
{
    mrp_patterns_done(&w->exclude); /* what was added stays, whatever is excluded */
    w->pattern = NULL;
    for (size_t i = 0; i < mrp_strv_len(w->spec->added); i++) {
        mrp_auto(mrp_free_str) char *path = NULL;
        int rc = mrp_stage_path(&path, w->stage, w->spec->added[i], err);
        if (rc)
            return rc;
        struct stat st;
        if (lstat(path, &st) != 0)
            return mrp_fail(err, MRP_E_ARTIFACT, "%s was added to the artifacts but is not there",
                            w->spec->added[i]);
        const char *root = mrp_stage_workdir(w->stage);
        for (size_t r = 0; r < mrp_strv_len(roots); r++)
            if (is_below(roots[r], path) && strcmp(roots[r], path) != 0)
                root = roots[r];
        w->root = root;
        bool below = is_below(root, path) && path[strlen(root)] == '/';
        rc = take(w, below ? path + strlen(root) + 1 : mrp_basename(path), path, &st);
        if (rc)
            return rc;
    }
    return MRP_OK;
}

/* The folder of all runs (.mrpipe, or the parent of this run's): it grows while it is packed. */
static void find_runs(struct walk *w)
{
    const char *own = mrp_stage_rundir(w->stage);
    const char *mark = strstr(own, "/.mrpipe/");
    mrp_auto(mrp_free_str) char *path =
        mark ? mrp_strndup(own, (size_t)(mark - own) + strlen("/.mrpipe"))
             : mrp_path_join(own, "..");
    struct stat work;
    bool is_work = path && stat(path, &w->runs) == 0 &&
                   stat(mrp_stage_workdir(w->stage), &work) == 0 && work.st_dev == w->runs.st_dev &&
                   work.st_ino == w->runs.st_ino;
    if (is_work && stat(own, &w->runs) != 0)
        w->runs.st_nlink = 0;
}

static int nothing(const struct mrp_pack_spec *spec, size_t folders, struct mrp_error *err)
{
    struct mrp_buf names = MRP_BUF_INIT(300);
    for (size_t i = 0; i < mrp_strv_len(spec->files); i++)
        mrp_buf_addf(&names, "%s%s", i ? ", " : "", spec->files[i]);
    mrp_fail(err, MRP_E_ARTIFACT, "%s: no matching artifact paths found for %s", spec->what,
             names.failed ? spec->files[0] : mrp_buf_str(&names));
    mrp_buf_done(&names);
    if (folders > 0)
        return mrp_hint(err, "a pattern names a folder: write FOLDER/**/* for the files in it");
    return mrp_hint(err, "paths are relative to the source directory%s, wherever the commands went",
                    spec->base ? "'s base-directory" : "");
}

static void free_counts(size_t **counts)
{
    free(*counts);
}

int mrp_pack_collect(struct mrp_pack_list *out,
                     struct mrp_stage *stage,
                     const struct mrp_pack_spec *spec,
                     struct mrp_error *err)
{
    mrp_auto(mrp_free_strv) char **roots = NULL;
    mrp_auto(mrp_pack_list_done) struct mrp_pack_list list = {0};
    size_t patterns = mrp_strv_len(spec->files);
    mrp_auto(walk_done) struct walk w = {.out = &list, .stage = stage, .spec = spec, .err = err};

    int rc = find_roots(&roots, stage, spec, err);
    if (rc)
        return rc;
    find_runs(&w);
    mrp_auto(free_counts) size_t *found = calloc(patterns + 1, sizeof *found);
    if (!found)
        return mrp_fail(err, MRP_E_NOMEM, "artifact paths");
    for (size_t i = 0; i < mrp_strv_len(roots); i++) {
        w.root = roots[i];
        if ((rc = walk_root(&w, found, err)) != 0)
            return rc;
    }
    for (size_t i = 0; i < patterns; i++)
        if (found[i] == 0 && list.count > 0)
            mrp_log(stage, MRP_WARN, "Skipping invalid file path %s: nothing matches",
                    spec->files[i]);
    if ((rc = add_added(&w, roots, err)) != 0)
        return rc;
    if (list.count == 0)
        return nothing(spec, w.folders, err);
    if ((rc = settle(&list, stage, spec, err)) != 0)
        return rc;
    *out = list;
    list = (struct mrp_pack_list){0};
    return MRP_OK;
}
