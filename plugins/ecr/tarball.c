/* Tar archives of OCI layouts, read and written with libarchive. */
#include "tarball.h"

#include "libarchive.h"
#include "unpack.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An archive that is being read or written; the cleanups end it. */
struct handle {
    struct libarchive lib;
    struct archive *a;
};

static void free_reader(struct handle *h)
{
    if (h->a)
        h->lib.read_free(h->a);
}

static void free_writer(struct handle *h)
{
    if (h->a)
        h->lib.write_free(h->a);
}

/* libarchive's text says what it did; why that failed is in a number, unless the format was wrong.
 */
static int
fail(enum mrp_code code, const struct handle *h, const char *shown, struct mrp_error *err)
{
    const char *what = h->lib.error_string(h->a);
    int number = h->lib.error_number(h->a);
    bool system = number > 0 && number != EILSEQ && number != EINVAL;
    const char *why = system ? strerrordesc_np(number) : NULL;
    return mrp_fail(err, code, "%s: %s%s%s", shown, what ? what : "not a readable archive",
                    why ? ": " : "", why ? why : "");
}

static int write_entry(const struct handle *h,
                       const char *path,
                       const char *shown,
                       uint64_t *left,
                       struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *dir = mrp_strndup(path, (size_t)(mrp_basename(path) - path));
    int rc = dir ? mrp_mkdirs(dir, err) : mrp_fail(err, MRP_E_NOMEM, "unpack %s", shown);
    if (rc)
        return rc;
    mrp_auto(mrp_close_fd) int fd =
        open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return mrp_fail_errno(err, "unpack %s: create %s", shown, path);
    for (;;) {
        const void *data;
        size_t n;
        la_int64_t offset;
        int got = h->lib.read_data_block(h->a, &data, &n, &offset);
        if (got == ARCHIVE_EOF)
            return 0;
        if (got != ARCHIVE_OK)
            return fail(MRP_E_REMOTE, h, shown, err);
        if (n > *left)
            return mrp_fail(err, MRP_E_REMOTE, "%s unpacks to more than 256 GiB", shown);
        *left -= n;
        if (lseek(fd, offset, SEEK_SET) < 0 || mrp_write_all(fd, data, n))
            return mrp_fail_errno(err, "unpack %s: write %s", shown, path);
    }
}

/* Links are made when all files are there; a target must lie inside. */
static int make_links(char *const *links, const char *dir, const char *shown, struct mrp_error *err)
{
    for (size_t i = 0; links && links[i] && links[i + 1]; i += 2) {
        mrp_auto(mrp_free_str) char *target = NULL;
        int rc = mrp_path_inside(&target, dir, links[i + 1], err);
        if (rc)
            return mrp_wrap(err, "unpack %s", shown);
        if (link(target, links[i]) && errno != EEXIST)
            return mrp_fail_errno(err, "unpack %s: link %s", shown, links[i + 1]);
    }
    return 0;
}

static int note_link(const struct libarchive *lib,
                     char ***links,
                     const char *path,
                     struct archive_entry *e,
                     const char *name,
                     struct mrp_error *err)
{
    const char *hard = lib->entry_hardlink(e);
    const char *soft = lib->entry_symlink(e);
    mrp_auto(mrp_free_str) char *target = NULL;
    if (hard) {
        target = mrp_strdup(hard);
    } else {
        mrp_auto(mrp_free_str) char *base = mrp_strndup(name, (size_t)(mrp_basename(name) - name));
        target = base && *soft != '/' ? mrp_path_join(*base ? base : ".", soft) : NULL;
    }
    if (!target || mrp_strv_add(links, path) || mrp_strv_add(links, target))
        return mrp_fail(err, MRP_E_REMOTE, "unpack: the link %.200s points nowhere", name);
    return 0;
}

static int unpack_entry(const struct handle *h,
                        struct archive_entry *e,
                        const char *dir,
                        const char *shown,
                        char ***links,
                        uint64_t *left,
                        struct mrp_error *err)
{
    const char *name = h->lib.entry_pathname(e);
    if (!name || !*name)
        return 0;
    mrp_auto(mrp_free_str) char *path = NULL;
    int rc = mrp_path_inside(&path, dir, name, err);
    if (rc)
        return mrp_wrap(err, "unpack %s", shown);
    if (h->lib.entry_hardlink(e) || h->lib.entry_symlink(e))
        return note_link(&h->lib, links, path, e, name, err);
    if (h->lib.entry_filetype(e) != AE_IFREG)
        return 0;
    return write_entry(h, path, shown, left, err);
}

int unpack(const char *dir, const char *path, const char *shown, struct mrp_error *err)
{
    enum { ENTRIES_MAX = 200000 };
    mrp_auto(free_reader) struct handle h = {.a = NULL};
    mrp_auto(mrp_free_strv) char **links = NULL;
    if (!mrp_exists(path)) {
        mrp_fail(err, MRP_E_NOTFOUND, "%s does not exist", shown);
        return mrp_hint(err, "did the build write it?");
    }
    int rc = libarchive_open(&h.lib, err);
    if (rc)
        return rc;
    h.a = h.lib.read_new();
    if (!h.a)
        return mrp_fail(err, MRP_E_NOMEM, "unpack %s", shown);
    h.lib.read_support_format_tar(h.a);
    h.lib.read_support_filter_all(h.a);
    if (h.lib.read_open_filename(h.a, path, 1 << 18) != ARCHIVE_OK)
        return fail(MRP_E_REMOTE, &h, shown, err);
    uint64_t left = (uint64_t)256 << 30;
    for (int n = 0;; n++) {
        struct archive_entry *e;
        int got = h.lib.read_next_header(h.a, &e);
        if (got == ARCHIVE_EOF)
            break;
        if (got < ARCHIVE_WARN || n >= ENTRIES_MAX)
            return fail(MRP_E_REMOTE, &h, shown, err);
        rc = unpack_entry(&h, e, dir, shown, &links, &left, err);
        if (rc)
            return rc;
    }
    return make_links(links, dir, shown, err);
}

static void remove_dir(char **dir)
{
    if (*dir)
        mrp_remove_tree(*dir, NULL);
    free(*dir);
}

int archive_open(struct layout **out, const char *path, const char *shown, struct mrp_error *err)
{
    mrp_auto(remove_dir) char *dir = NULL;
    int rc = mrp_temp_dir(&dir, "ecr-archive", err);
    if (!rc)
        rc = unpack(dir, path, shown, err);
    struct layout *l = NULL;
    if (!rc)
        rc = layout_open(&l, dir, shown, LAYOUT_READ, err);
    if (rc)
        return rc;
    l->temporary = true;
    free(mrp_take_str(&dir));
    *out = l;
    return 0;
}

/* Better said before the images are fetched than after. */
static int check_place(const char *path, const char *shown, struct mrp_error *err)
{
    struct stat st;
    if (!stat(path, &st) && S_ISDIR(st.st_mode))
        return mrp_fail(err, MRP_E_CONFIG, "%s is a folder, a file is needed", shown);
    mrp_auto(mrp_free_str) char *dir = mrp_strndup(path, (size_t)(mrp_basename(path) - path));
    if (!dir)
        return mrp_fail(err, MRP_E_NOMEM, "%s", shown);
    if (access(*dir ? dir : ".", W_OK | X_OK))
        return mrp_fail_errno(err, "%s cannot be written: %s", shown, *dir ? dir : ".");
    return 0;
}

int archive_create(struct layout **out, const char *path, const char *shown, struct mrp_error *err)
{
    mrp_auto(remove_dir) char *dir = NULL;
    int rc = *path ? check_place(path, shown, err) : 0;
    if (!rc)
        rc = mrp_temp_dir(&dir, "ecr-archive", err);
    if (!rc && mrp_exists(path))
        rc = unpack(dir, path, shown, err);
    struct layout *l = NULL;
    if (!rc)
        rc = layout_open(&l, dir, shown, LAYOUT_CREATE, err);
    if (rc)
        return rc;
    l->temporary = true;
    free(mrp_take_str(&dir));
    l->archive = mrp_strdup(path);
    if (!l->archive) {
        layout_free(&l);
        return mrp_fail(err, MRP_E_NOMEM, "%s", shown);
    }
    *out = l;
    return 0;
}

static int pack_file(const struct handle *h,
                     const char *path,
                     const char *name,
                     int64_t size,
                     struct mrp_error *err)
{
    mrp_auto(mrp_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mrp_fail_errno(err, "open %s", path);
    struct archive_entry *e = h->lib.entry_new();
    if (!e)
        return mrp_fail(err, MRP_E_NOMEM, "pack %s", path);
    h->lib.entry_set_pathname(e, name);
    h->lib.entry_set_size(e, size);
    h->lib.entry_set_filetype(e, AE_IFREG);
    h->lib.entry_set_perm(e, 0644);
    h->lib.entry_set_mtime(e, 0, 0);
    int written = h->lib.write_header(h->a, e);
    h->lib.entry_free(e);
    if (written != ARCHIVE_OK)
        return fail(MRP_E_IO, h, name, err);
    char buf[64 << 10];
    for (;;) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mrp_fail_errno(err, "read %s", path);
        if (!n)
            return 0;
        if (h->lib.write_data(h->a, buf, (size_t)n) != n)
            return fail(MRP_E_IO, h, name, err);
    }
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void close_walk(FTS **walk)
{
    if (*walk)
        fts_close(*walk);
}

static int pack_tree(const struct handle *h, const char *dir, struct mrp_error *err)
{
    char *roots[] = {(char *)(uintptr_t)dir, NULL};
    mrp_auto(close_walk) FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    if (!walk)
        return mrp_fail_errno(err, "read %s", dir);
    size_t skip = strlen(dir) + 1;
    for (FTSENT *f; (f = fts_read(walk));) {
        if (f->fts_info != FTS_F)
            continue;
        int rc = pack_file(h, f->fts_path, f->fts_path + skip, f->fts_statp->st_size, err);
        if (rc)
            return rc;
    }
    return 0;
}

int archive_pack(struct layout *layout, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *part = mrp_strf("%s.part", layout->archive);
    mrp_auto(free_writer) struct handle h = {.a = NULL};
    int rc = libarchive_open(&h.lib, err);
    if (rc)
        return rc;
    h.a = h.lib.write_new();
    if (!part || !h.a)
        return mrp_fail(err, MRP_E_NOMEM, "pack %s", layout->shown);
    h.lib.write_set_format_pax_restricted(h.a);
    if (h.lib.write_open_filename(h.a, part) != ARCHIVE_OK)
        return fail(MRP_E_IO, &h, layout->shown, err);
    rc = pack_tree(&h, layout->dir, err);
    if (!rc && h.lib.write_close(h.a) != ARCHIVE_OK)
        rc = fail(MRP_E_IO, &h, part, err);
    if (!rc && rename(part, layout->archive))
        rc = mrp_fail_errno(err, "rename %s", part);
    if (!rc)
        return 0;
    unlink(part);
    return mrp_wrap(err, "write %s", layout->shown);
}
