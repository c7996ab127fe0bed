/* Writes a package: zip with headers of our own around packed blocks, tar.gz through libarchive. */
#include "pack.h"

#include "deflate.h"
#include "zip.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { DOS_EPOCH = 315532800, PENDING = 1 << 18 };

struct zip_out {
    int fd;
    const char *path;
    const struct mrp_pack_list *list;
    const struct mrp_archive_how *how;
    struct mrp_buf pending; /* bytes not yet written */
    struct mrp_buf central;
    uint64_t offset; /* of the next byte, pending ones counted */
    uint64_t done_bytes;
    struct mrp_zip_entry entry; /* of the file whose blocks are coming */
};

static int flush(struct zip_out *z, struct mrp_error *err)
{
    if (z->pending.len > 0 && mrp_write_all(z->fd, z->pending.data, z->pending.len) != 0)
        return mrp_fail_errno(err, "write %s", z->path);
    mrp_buf_reset(&z->pending);
    return MRP_OK;
}

static int put(struct zip_out *z, const void *data, size_t len, struct mrp_error *err)
{
    z->offset += len;
    if (z->pending.len + len > PENDING) {
        int rc = flush(z, err);
        if (rc)
            return rc;
        if (len > PENDING / 2)
            return mrp_write_all(z->fd, data, len) ? mrp_fail_errno(err, "write %s", z->path)
                                                   : MRP_OK;
    }
    if (mrp_buf_add(&z->pending, data, len))
        return mrp_fail(err, MRP_E_NOMEM, "buffer of %s", z->path);
    return MRP_OK;
}

static int put_local(struct zip_out *z, struct mrp_error *err)
{
    struct mrp_buf head = MRP_BUF_INIT(1 << 16);
    mrp_zip_local(&head, &z->entry);
    int rc = mrp_buf_check(&head, z->entry.name, err);
    if (rc == MRP_OK)
        rc = put(z, head.data, head.len, err);
    mrp_buf_done(&head);
    return rc;
}

/* The header of a file of many blocks is written again once its sizes are known. */
static int patch_local(struct zip_out *z, struct mrp_error *err)
{
    int rc = flush(z, err);
    if (rc)
        return rc;
    struct mrp_buf head = MRP_BUF_INIT(1 << 16);
    mrp_zip_local(&head, &z->entry);
    rc = mrp_buf_check(&head, z->entry.name, err);
    for (size_t at = 0; rc == MRP_OK && at < head.len;) {
        ssize_t n = pwrite(z->fd, head.data + at, head.len - at, (off_t)(z->entry.offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            rc = mrp_fail_errno(err, "write %s", z->path);
        else
            at += (size_t)n;
    }
    mrp_buf_done(&head);
    return rc;
}

static int on_block(void *arg, const struct mrp_packed *b, struct mrp_error *err)
{
    struct zip_out *z = arg;
    const struct mrp_pack_file *f = &z->list->files[b->file];
    bool single = b->first && b->last;
    int rc = MRP_OK;

    if (mrp_stage_cancelled(z->how->stage))
        return mrp_fail(err, MRP_E_CANCELLED, "packing was stopped");
    if (b->first) {
        z->entry = (struct mrp_zip_entry){
            .name = f->name,
            .mode = f->mode,
            .mtime_s = z->how->file_times ? f->mtime_s : DOS_EPOCH,
            .method = b->stored ? MRP_ZIP_STORED : MRP_ZIP_DEFLATED,
            .crc = b->crc,
            .packed = single ? b->len : 0,
            .size = f->size,
            .offset = z->offset,
            .big = mrp_zip_is_big(f->size),
        };
        if ((rc = put_local(z, err)) != 0)
            return rc;
    } else {
        z->entry.crc = (uint32_t)crc32_combine(z->entry.crc, b->crc, (z_off_t)b->size);
    }
    if (!single)
        z->entry.packed += b->len;
    if ((rc = put(z, b->data, b->len, err)) != 0)
        return rc;
    if (b->last) {
        if (!single && (rc = patch_local(z, err)) != 0)
            return rc;
        mrp_zip_central(&z->central, &z->entry);
    }
    z->done_bytes += b->size;
    mrp_progress(z->how->stage, &(struct mrp_progress){
                                    .what = f->name,
                                    .done_bytes = z->done_bytes,
                                    .total_bytes = z->list->bytes,
                                    .done_items = b->file + b->last,
                                    .total_items = z->list->count,
                                    .unit = "files",
                                });
    return MRP_OK;
}

static int write_zip(int fd,
                     const char *path,
                     const struct mrp_pack_list *list,
                     const struct mrp_archive_how *how,
                     struct mrp_error *err)
{
    struct zip_out z = {.fd = fd, .path = path, .list = list, .how = how};
    mrp_buf_init(&z.pending, 2 * PENDING);
    mrp_buf_init(&z.central, SIZE_MAX / 4);
    for (size_t i = 0; i < list->count; i++)
        if (strlen(list->files[i].name) > 65000)
            return mrp_fail(err, MRP_E_ARTIFACT, "the path %.60s... is too long for a zip file",
                            list->files[i].name);

    struct mrp_deflate_how pack = {how->level, how->threads, on_block, &z};
    int rc = mrp_deflate_files(list, &pack, err);
    if (rc == MRP_OK)
        rc = flush(&z, err);
    if (rc == MRP_OK) {
        uint64_t at = z.offset, len = z.central.len;
        mrp_zip_end(&z.central, list->count, at, len);
        rc = mrp_buf_check(&z.central, "directory of the zip file", err);
    }
    if (rc == MRP_OK && mrp_write_all(fd, z.central.data, z.central.len) != 0)
        rc = mrp_fail_errno(err, "write %s", path);
    mrp_buf_done(&z.pending);
    mrp_buf_done(&z.central);
    return rc;
}

static void free_archive(struct archive **a)
{
    if (*a)
        archive_write_free(*a);
}

static void leave_locale(locale_t *l)
{
    if (*l) {
        uselocale(LC_GLOBAL_LOCALE);
        freelocale(*l);
    }
}

static void free_entry(struct archive_entry **e)
{
    archive_entry_free(*e);
}

static int tar_data(struct archive *a, const struct mrp_pack_file *f, struct mrp_error *err)
{
    mrp_auto(mrp_close_fd) int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char buf[1 << 14];
    uint64_t left = f->size;
    if (fd < 0)
        return mrp_fail_errno(err, "read %s", f->path);
    while (left > 0) {
        ssize_t n = read(fd, buf, left < sizeof buf ? (size_t)left : sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mrp_fail_errno(err, "read %s", f->path);
        if (n == 0)
            return mrp_fail(err, MRP_E_ARTIFACT, "%s became shorter while it was packed", f->path);
        if (archive_write_data(a, buf, (size_t)n) != n)
            return mrp_fail(err, MRP_E_IO, "write %s: %s", f->name, archive_error_string(a));
        left -= (uint64_t)n;
    }
    return MRP_OK;
}

static int
tar_file(struct archive *a, const struct mrp_pack_file *f, bool file_times, struct mrp_error *err)
{
    mrp_auto(free_entry) struct archive_entry *e = archive_entry_new();
    if (!e)
        return mrp_fail(err, MRP_E_NOMEM, "entry %s", f->name);
    archive_entry_set_pathname(e, f->name);
    archive_entry_set_mode(e, (__LA_MODE_T)f->mode);
    archive_entry_set_mtime(e, file_times ? (time_t)f->mtime_s : DOS_EPOCH, 0);
    archive_entry_set_uid(e, 0);
    archive_entry_set_gid(e, 0);
    archive_entry_set_size(e, f->link ? 0 : (la_int64_t)f->size);
    if (f->link)
        archive_entry_set_symlink(e, f->link);
    if (archive_write_header(a, e) < ARCHIVE_WARN)
        return mrp_fail(err, MRP_E_IO, "pack %s: %s", f->name, archive_error_string(a));
    return f->link ? MRP_OK : tar_data(a, f, err);
}

static int write_tar(int fd,
                     const char *path,
                     const struct mrp_pack_list *list,
                     const struct mrp_archive_how *how,
                     struct mrp_error *err)
{
    /* libarchive converts names by the locale; file names are UTF-8 whatever it is */
    mrp_auto(leave_locale) locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    mrp_auto(free_archive) struct archive *a = archive_write_new();
    char options[64];
    snprintf(options, sizeof options, "gzip:!timestamp,gzip:compression-level=%d", how->level);
    /* padding of the last block would change the bytes with the kind of the output */
    if (utf8)
        uselocale(utf8);
    if (!a || archive_write_add_filter_gzip(a) || archive_write_set_format_pax_restricted(a) ||
        archive_write_set_options(a, options) || archive_write_set_bytes_in_last_block(a, 1) ||
        archive_write_open_fd(a, fd))
        return mrp_fail(err, MRP_E_IO, "start %s: %s", path,
                        a ? archive_error_string(a) : "memory");
    for (size_t i = 0; i < list->count; i++) {
        if (mrp_stage_cancelled(how->stage))
            return mrp_fail(err, MRP_E_CANCELLED, "packing was stopped");
        int rc = tar_file(a, &list->files[i], how->file_times, err);
        if (rc)
            return rc;
    }
    if (archive_write_close(a) != ARCHIVE_OK)
        return mrp_fail(err, MRP_E_IO, "write %s: %s", path, archive_error_string(a));
    return MRP_OK;
}

int mrp_archive_write(int fd,
                      const char *path,
                      const struct mrp_pack_list *list,
                      const struct mrp_archive_how *how,
                      struct mrp_error *err)
{
    if (how->format == MRP_ARCHIVE_TAR_GZ)
        return write_tar(fd, path, list, how, err);
    return write_zip(fd, path, list, how, err);
}

int mrp_archive_sum(char sha256[MRP_SHA256_HEX],
                    uint64_t *size,
                    int fd,
                    const char *path,
                    struct mrp_error *err)
{
    enum { CHUNK = 1 << 18 };
    mrp_auto(mrp_sha256_free) struct mrp_sha256 *h = mrp_sha256_new();
    mrp_auto(mrp_free_str) char *buf = malloc(CHUNK);
    uint64_t at = 0;
    if (!h || !buf)
        return mrp_fail(err, MRP_E_NOMEM, "digest of %s", path);
    for (;;) {
        ssize_t n = pread(fd, buf, CHUNK, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mrp_fail_errno(err, "read %s", path);
        if (n == 0)
            break;
        mrp_sha256_add(h, buf, (size_t)n);
        at += (uint64_t)n;
    }
    mrp_sha256_end_hex(h, sha256);
    *size = at;
    return MRP_OK;
}
