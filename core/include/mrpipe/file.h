/** Files: bounded reads, atomic writes, paths kept inside a root. All calls may block on the file
 * system. */
#ifndef MRPIPE_FILE_H
#define MRPIPE_FILE_H

#include <mrpipe/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Read a whole regular file of at most max_bytes. *out is owned and NUL-terminated; *out_len may
 * be NULL. */
MRP_EXPORT int mrp_file_read(char **out,
                             size_t *out_len,
                             const char *path,
                             size_t max_bytes,
                             struct mrp_error *err) MRP_NODISCARD;

/** Write to a temporary name beside `path`, fsync when `sync`, rename. Nothing half-written is ever
 * seen. */
MRP_EXPORT int mrp_file_write(const char *path,
                              const void *data,
                              size_t len,
                              unsigned mode,
                              bool sync,
                              struct mrp_error *err) MRP_NODISCARD;

/** mkdir -p with mode 0755. */
MRP_EXPORT int mrp_mkdirs(const char *path, struct mrp_error *err) MRP_NODISCARD;

/** rm -rf without following symbolic links; a missing path is fine. */
MRP_EXPORT int mrp_remove_tree(const char *path, struct mrp_error *err);

/** A new private folder "$TMPDIR/NAME.XXXXXX"; *out is owned; remove it with mrp_remove_tree. */
MRP_EXPORT int mrp_temp_dir(char **out, const char *name, struct mrp_error *err) MRP_NODISCARD;

/** `base` + "/" + `rel` (or `rel` if it is absolute), "." and ".." resolved as text. Owned; NULL:
 * no memory. */
MRP_EXPORT char *mrp_path_join(const char *base, const char *rel);
/** As mrp_path_join, but MRP_E_CONFIG if the result leaves `root` (also through symbolic links of
 * parts that exist). */
MRP_EXPORT int
mrp_path_inside(char **out, const char *root, const char *rel, struct mrp_error *err) MRP_NODISCARD;
MRP_EXPORT const char *mrp_basename(const char *path); /* borrowed from path */
MRP_EXPORT bool mrp_exists(const char *path);

/** Write all bytes, through EINTR and short writes. 0 or -1 with errno. */
MRP_EXPORT int mrp_write_all(int fd, const void *data, size_t len);

#endif
