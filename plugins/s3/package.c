/* s3/package: the artifacts block of the buildspec becomes one package file for each artifact. */
#include "collect.h"
#include "pack.h"
#include "s3.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const formats[] = {"zip", "tar.gz", NULL};
static const char *const times[] = {"fixed", "file", NULL};
static const char *const clashes[] = {"warn", "fail", NULL};

const struct mrp_option mrp_package_options[] = {
    {"to", MRP_PATH(struct mrp_package, to),
     .help =
         "the package file; default: in the run's folder. Secondary artifacts get -ID before the "
         "ending"},
    {"format", MRP_ENUM(struct mrp_package, format), .fallback = "zip", .choices = formats,
     .help = "kind of package; CodePipeline reads zip only"},
    {"level", MRP_INT(struct mrp_package, level), .fallback = "6", .min = 1, .max = 9,
     .help = "effort of compression, 1 (fast) to 9"},
    {"threads", MRP_INT(struct mrp_package, threads), .fallback = "0", .min = 0, .max = 64,
     .help = "threads that compress; 0: one for each core. The bytes do not depend on it"},
    {"timestamps", MRP_ENUM(struct mrp_package, timestamps), .fallback = "fixed", .choices = times,
     .help =
         "fixed: 1980-01-01 for every file, so equal files give equal packages; file: their own"},
    {"collisions", MRP_ENUM(struct mrp_package, collisions), .fallback = "warn", .choices = clashes,
     .help =
         "two files of one name (discard-paths, several base directories): the last wins with a "
         "warning, as in CodeBuild, or fail"},
    {"files", MRP_LIST(struct mrp_package, files),
     .help = "patterns instead of the buildspec's artifacts block"},
    {"exclude-paths", MRP_LIST(struct mrp_package, exclude),
     .help = "with files: patterns to leave out"},
    {"base-directory", MRP_PATH(struct mrp_package, base),
     .help = "with files: the folder that they lie in"},
    {"discard-paths", MRP_BOOL(struct mrp_package, discard_paths), .fallback = "no",
     .help = "with files: store base names only"},
    {"enable-symlinks", MRP_BOOL(struct mrp_package, keep_links), .fallback = "no",
     .help = "with files: keep links that point inside the tree as links"},
    {0},
};

const struct mrp_output_info mrp_package_outputs[] = {
    {"file", "string", "absolute path of the package"},
    {"sha256", "string", "its SHA-256, hex"},
    {"size", "number", "its bytes"},
    {"files", "number", "how many files it holds"},
    {"name", "string", "the artifact's name of the buildspec, variables expanded; empty: none"},
    {"secondary", "map", "secondary artifacts by id: {file, sha256, size, files}"},
    {0},
};

struct packed {
    char *file;
    char sha256[MRP_SHA256_HEX];
    uint64_t size;
    size_t files;
    bool changed;
};

static void packed_done(struct packed *p)
{
    free(p->file);
}

/* The lists and switches of one artifact, from the block's JSON or the options. */
struct block {
    char **files;
    char **exclude;
    char **added;
    struct mrp_pack_spec spec;
};

static void block_done(struct block *b)
{
    mrp_free_strv(&b->files);
    mrp_free_strv(&b->exclude);
    mrp_free_strv(&b->added);
}

int mrp_package_check(const void *options, const char **bad, struct mrp_error *err)
{
    const struct mrp_package *o = options;
    const char *alone = o->exclude         ? "exclude-paths"
                        : o->base          ? "base-directory"
                        : o->discard_paths ? "discard-paths"
                        : o->keep_links    ? "enable-symlinks"
                                           : NULL;
    if (alone && !o->files) {
        *bad = alone;
        mrp_fail(err, MRP_E_CONFIG, "%s needs `files`", alone);
        return mrp_hint(err, "without `files` all of this comes from the artifacts block");
    }
    if (o->to && o->to[0] == '\0') {
        *bad = "to";
        return mrp_fail(err, MRP_E_CONFIG, "`to` is empty");
    }
    return MRP_OK;
}

/* A list of texts; one text alone is a list of one, as CodeBuild reads it. */
static int text_list(char ***out, const json_t *v, const char *what, struct mrp_error *err)
{
    size_t i;
    json_t *item;
    if (json_is_string(v))
        return mrp_strv_add(out, json_string_value(v)) ? mrp_fail(err, MRP_E_NOMEM, "%s", what)
                                                       : MRP_OK;
    if (v && !json_is_null(v) && !json_is_array(v))
        return mrp_fail(err, MRP_E_CONFIG, "%s is no list", what);
    json_array_foreach(v, i, item)
    {
        if (!json_is_string(item))
            return mrp_fail(err, MRP_E_CONFIG, "%s: entry %zu is no text", what, i + 1);
        if (mrp_strv_add(out, json_string_value(item)))
            return mrp_fail(err, MRP_E_NOMEM, "%s", what);
    }
    return MRP_OK;
}

static bool is_yes(const json_t *block, const char *key)
{
    const char *text = mrp_json_str(block, key);
    bool yes = mrp_json_bool(block, key, false);
    if (text && mrp_parse_bool(&yes, text))
        return false;
    return yes;
}

static int block_from_json(struct block *b, const json_t *j, struct mrp_error *err)
{
    int rc = text_list(&b->files, json_object_get(j, "files"), "artifacts.files", err);
    if (rc == MRP_OK)
        rc = text_list(&b->exclude, json_object_get(j, "exclude-paths"), "artifacts.exclude-paths",
                       err);
    if (rc)
        return rc;
    b->spec.base = mrp_json_str(j, "base-directory");
    b->spec.discard_paths = is_yes(j, "discard-paths");
    b->spec.keep_links = is_yes(j, "enable-symlinks");
    return MRP_OK;
}

static int block_of_stage(struct block *b,
                          const struct mrp_package *o,
                          struct mrp_stage *stage,
                          struct mrp_error *err)
{
    const json_t *j = mrp_stage_artifacts(stage);
    int rc = MRP_OK;
    b->spec.what = "artifacts";
    if (o->files) {
        for (size_t i = 0; rc == MRP_OK && i < mrp_strv_len(o->files); i++)
            rc = mrp_strv_add(&b->files, o->files[i]);
        for (size_t i = 0; rc == MRP_OK && i < mrp_strv_len(o->exclude); i++)
            rc = mrp_strv_add(&b->exclude, o->exclude[i]);
        b->spec.base = o->base;
        b->spec.discard_paths = o->discard_paths;
        b->spec.keep_links = o->keep_links;
        if (rc)
            rc = mrp_fail(err, MRP_E_NOMEM, "artifact paths");
    } else {
        rc = block_from_json(b, j, err);
        if (rc == MRP_OK)
            rc = text_list(&b->added, json_object_get(j, "added-files"), "added files", err);
    }
    if (rc)
        return rc;
    if (!b->files && !b->added) {
        mrp_fail(err, MRP_E_ARTIFACT, "the buildspec names no artifact files");
        return mrp_hint(err, "add `artifacts: files:` to the buildspec, or `files:` to this stage");
    }
    return MRP_OK;
}

static void block_ready(struct block *b, const struct mrp_package *o)
{
    b->spec.files = b->files;
    b->spec.exclude = b->exclude;
    b->spec.added = b->added;
    b->spec.unique = o->collisions == 1;
}

/* Letters, digits, dot, dash and underscore stay; the name must not lead anywhere else. */
static char *plain_name(const char *text)
{
    char *s = mrp_strdup(text);
    for (char *p = s; p && *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
            *p = '_';
    if (s && s[0] == '.')
        s[0] = '_';
    return s;
}

static int target_path(char **out,
                       const struct mrp_package *o,
                       struct mrp_stage *stage,
                       const char *id, /* of a secondary artifact, or NULL */
                       struct mrp_error *err)
{
    const char *ending = formats[o->format];
    mrp_auto(mrp_free_str) char *safe = id ? plain_name(id) : NULL;
    if (!o->to) {
        mrp_auto(mrp_free_str) char *name = plain_name(mrp_stage_id(stage));
        *out = mrp_strf("%s/artifacts/%s%s%s.%s", mrp_stage_rundir(stage), name ? name : "package",
                        safe ? "-" : "", safe ? safe : "", ending);
        return *out ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "name of the package");
    }
    int rc = mrp_stage_path(out, stage, o->to, err);
    if (rc || !safe)
        return rc;
    mrp_auto(mrp_free_str) char *whole = *out;
    size_t stem = strlen(whole);
    mrp_auto(mrp_free_str) char *dotted = mrp_strf(".%s", ending);
    if (dotted && mrp_ends(whole, dotted))
        stem -= strlen(dotted);
    *out = mrp_strf("%.*s-%s%s", (int)stem, whole, safe, whole + stem);
    return *out ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "name of the package");
}

static bool file_is(const char *path, const struct packed *p)
{
    mrp_auto(mrp_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    char sha[MRP_SHA256_HEX];
    uint64_t size;
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != p->size)
        return false;
    return mrp_archive_sum(sha, &size, fd, path, NULL) == 0 && strcmp(sha, p->sha256) == 0;
}

/* The same package in the newest other run that has one (owned), or NULL. */
static char *in_earlier_run(const struct mrp_stage *stage, const struct packed *p)
{
    mrp_auto(mrp_free_str) char *runs = mrp_path_join(mrp_stage_rundir(stage), "..");
    const char *own = mrp_basename(mrp_stage_rundir(stage));
    const char *name = mrp_basename(p->file);
    mrp_auto(mrp_free_str) char *best = NULL;
    struct timespec newest = {0};
    mrp_auto(mrp_close_dir) DIR *dir = runs ? opendir(runs) : NULL;
    struct dirent *d;
    while (dir && (d = readdir(dir)) != NULL) {
        struct stat st;
        if (d->d_name[0] == '.' || strcmp(d->d_name, own) == 0)
            continue;
        /* a link such as `latest` may lead back to this very run */
        mrp_auto(mrp_free_str) char *run = mrp_strf("%s/%s", runs, d->d_name);
        mrp_auto(mrp_free_str) char *path = run ? mrp_strf("%s/artifacts/%s", run, name) : NULL;
        if (!path || lstat(run, &st) != 0 || !S_ISDIR(st.st_mode) || stat(path, &st) != 0)
            continue;
        bool newer = st.st_mtim.tv_sec > newest.tv_sec ||
                     (st.st_mtim.tv_sec == newest.tv_sec && st.st_mtim.tv_nsec > newest.tv_nsec);
        if (!best || newer) {
            mrp_free_str(&best);
            best = mrp_take_str(&path);
            newest = st.st_mtim;
        }
    }
    return best && file_is(best, p) ? mrp_take_str(&best) : NULL;
}

static int make_folder(const char *path, struct mrp_error *err)
{
    const char *slash = strrchr(path, '/');
    mrp_auto(mrp_free_str) char *dir = mrp_strndup(path, slash ? (size_t)(slash - path) : 0);
    if (!dir)
        return mrp_fail(err, MRP_E_NOMEM, "folder of %s", path);
    return *dir ? mrp_mkdirs(dir, err) : MRP_OK;
}

static int write_package(struct packed *p,
                         const struct mrp_package *o,
                         struct mrp_stage *stage,
                         const struct mrp_pack_list *list,
                         struct mrp_error *err)
{
    const struct mrp_archive_how how = {o->format == 1 ? MRP_ARCHIVE_TAR_GZ : MRP_ARCHIVE_ZIP,
                                        (int)o->level, (unsigned)o->threads, o->timestamps == 1,
                                        stage};
    int rc = make_folder(p->file, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_str) char *part = mrp_strf("%s.part.%ld", p->file, (long)getpid());
    if (!part)
        return mrp_fail(err, MRP_E_NOMEM, "name of the package");
    mrp_auto(mrp_close_fd) int fd =
        open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return mrp_fail_errno(err, "create %s", part);
    rc = mrp_archive_write(fd, p->file, list, &how, err);
    if (rc == MRP_OK)
        rc = mrp_archive_sum(p->sha256, &p->size, fd, p->file, err);
    if (rc) {
        unlink(part);
        return rc;
    }
    p->changed = !file_is(p->file, p);
    if (!p->changed) {
        unlink(part);
        return MRP_OK;
    }
    if (rename(part, p->file) != 0) {
        rc = mrp_fail_errno(err, "write %s", p->file);
        unlink(part);
        return rc;
    }
    mrp_auto(mrp_free_str) char *earlier = o->to ? NULL : in_earlier_run(stage, p);
    if (earlier)
        p->changed = false;
    return MRP_OK;
}

static int collect(struct mrp_pack_list *list,
                   const struct mrp_package *o,
                   struct mrp_stage *stage,
                   struct block *b,
                   struct mrp_error *err)
{
    block_ready(b, o);
    return mrp_pack_collect(list, stage, &b->spec, err);
}

static int pack_one(struct packed *p,
                    const struct mrp_package *o,
                    struct mrp_stage *stage,
                    struct block *b,
                    const char *id,
                    struct mrp_error *err)
{
    mrp_auto(mrp_pack_list_done) struct mrp_pack_list list = {0};
    int rc = target_path(&p->file, o, stage, id, err);
    if (rc == MRP_OK)
        rc = collect(&list, o, stage, b, err);
    if (rc)
        return rc;
    p->files = list.count;
    if ((rc = write_package(p, o, stage, &list, err)) != 0)
        return rc;
    char from[32], to[32];
    mrp_log(stage, MRP_INFO, "%s: Found %zu file(s), %s -> %s (%s), sha256 %s", b->spec.what,
            list.count, mrp_show_bytes(from, sizeof from, list.bytes), mrp_basename(p->file),
            mrp_show_bytes(to, sizeof to, p->size), p->sha256);
    if (p->changed)
        mrp_change(stage, "%s: %zu file(s) packed as %s", b->spec.what, list.count,
                   mrp_basename(p->file));
    return MRP_OK;
}

typedef int (*pack_fn)(struct packed *p,
                       const struct mrp_package *o,
                       struct mrp_stage *stage,
                       struct block *b,
                       const char *id,
                       struct mrp_error *err);

static int one_secondary(json_t *out,
                         bool *changed,
                         const struct mrp_package *o,
                         struct mrp_stage *stage,
                         const char *id,
                         const json_t *j,
                         pack_fn pack,
                         struct mrp_error *err)
{
    mrp_auto(block_done) struct block b = {0};
    mrp_auto(packed_done) struct packed p = {0};
    mrp_auto(mrp_free_str) char *what = mrp_strf("artifacts of %s", id);
    b.spec.what = what ? what : "artifacts";
    int rc = block_from_json(&b, j, err);
    if (rc == MRP_OK && !b.files)
        rc = mrp_fail(err, MRP_E_ARTIFACT, "secondary artifact %s names no files", id);
    if (rc == MRP_OK)
        rc = pack(&p, o, stage, &b, id, err);
    if (rc)
        return rc;
    *changed = *changed || p.changed;
    json_t *entry = json_object();
    mrp_json_puts(entry, "file", p.file);
    mrp_json_puts(entry, "sha256", p.sha256);
    mrp_json_puti(entry, "size", (int64_t)p.size);
    mrp_json_puti(entry, "files", (int64_t)p.files);
    return mrp_json_put(out, id, entry) ? mrp_fail(err, MRP_E_NOMEM, "output secondary") : MRP_OK;
}

/* The artifact's name, as far as it has variables; a command in it is not run here. */
static char *artifact_name(struct mrp_stage *stage)
{
    const char *name = mrp_json_str(mrp_stage_artifacts(stage), "name");
    if (!name)
        return mrp_strdup("");
    if (strstr(name, "$(") || strchr(name, '`')) {
        mrp_log(stage, MRP_DEBUG, "the artifact name %s has a command: not evaluated", name);
        return mrp_strdup("");
    }
    return mrp_pack_expand(stage, name);
}

static int set_outputs(struct mrp_stage *stage,
                       const struct packed *p,
                       json_t **secondary,
                       struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *name = artifact_name(stage);
    int rc = mrp_output(stage, "file", json_string(p->file), err);
    if (rc == MRP_OK)
        rc = mrp_output(stage, "sha256", json_string(p->sha256), err);
    if (rc == MRP_OK)
        rc = mrp_output(stage, "size", json_integer((json_int_t)p->size), err);
    if (rc == MRP_OK)
        rc = mrp_output(stage, "files", json_integer((json_int_t)p->files), err);
    if (rc == MRP_OK)
        rc = mrp_output(stage, "name", json_string(name ? name : ""), err);
    if (rc == MRP_OK)
        rc = mrp_output(stage, "secondary", mrp_take_json(secondary), err);
    return rc;
}

/* Pack into a nameless file, to know whether the bytes would differ; p->file becomes the file that
 * holds them already, or the one that a run would write. */
static int try_one(struct packed *p,
                   const struct mrp_package *o,
                   struct mrp_stage *stage,
                   struct block *b,
                   const char *id,
                   struct mrp_error *err)
{
    mrp_auto(mrp_pack_list_done) struct mrp_pack_list list = {0};
    const char *tmp = getenv("TMPDIR");
    const struct mrp_archive_how how = {o->format == 1 ? MRP_ARCHIVE_TAR_GZ : MRP_ARCHIVE_ZIP,
                                        (int)o->level, (unsigned)o->threads, o->timestamps == 1,
                                        stage};
    int rc = target_path(&p->file, o, stage, id, err);
    if (rc == MRP_OK)
        rc = collect(&list, o, stage, b, err);
    if (rc)
        return rc;
    mrp_auto(mrp_close_fd) int fd =
        open(tmp && *tmp ? tmp : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return mrp_fail_errno(err, "temporary file in %s", tmp && *tmp ? tmp : "/tmp");
    rc = mrp_archive_write(fd, "the package", &list, &how, err);
    if (rc == MRP_OK)
        rc = mrp_archive_sum(p->sha256, &p->size, fd, "the package", err);
    if (rc)
        return rc;
    p->files = list.count;
    p->changed = !file_is(p->file, p);
    mrp_auto(mrp_free_str) char *earlier = p->changed && !o->to ? in_earlier_run(stage, p) : NULL;
    if (earlier) {
        free(p->file);
        p->file = mrp_take_str(&earlier);
        p->changed = false;
    }
    if (p->changed)
        mrp_change(stage, "pack %zu file(s) as they are now (known after the phases)", list.count);
    return MRP_OK;
}

/* The artifacts and, beside them, each of the secondary ones. */
static int package(const struct mrp_package *o,
                   struct mrp_stage *stage,
                   pack_fn pack,
                   enum mrp_result *result,
                   struct mrp_error *err)
{
    mrp_auto(block_done) struct block b = {0};
    mrp_auto(mrp_free_json) json_t *secondary = json_object();
    mrp_auto(packed_done) struct packed p = {0};
    int rc = block_of_stage(&b, o, stage, err);
    if (rc == MRP_OK)
        rc = pack(&p, o, stage, &b, NULL, err);
    if (rc)
        return rc;
    bool changed = p.changed;
    const char *id;
    json_t *j;
    json_t *ids = o->files ? NULL : mrp_json_obj(mrp_stage_artifacts(stage), "secondary-artifacts");
    json_object_foreach(ids, id, j)
    {
        if ((rc = one_secondary(secondary, &changed, o, stage, id, j, pack, err)) != 0)
            return rc;
    }
    *result = changed ? MRP_CHANGED : MRP_UNCHANGED;
    return set_outputs(stage, &p, &secondary, err);
}

int mrp_package_run(void *options,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err)
{
    return package(options, stage, pack_one, result, err);
}

int mrp_package_plan(void *options,
                     struct mrp_stage *stage,
                     enum mrp_result *result,
                     struct mrp_error *err)
{
    int rc = package(options, stage, try_one, result, err);
    if (rc != MRP_E_ARTIFACT)
        return rc;
    /* the phases make the files; nothing is wrong yet */
    mrp_change(stage, "pack the artifacts (known after the phases)");
    *result = MRP_CHANGED;
    return MRP_OK;
}
