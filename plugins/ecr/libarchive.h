/** libarchive, opened when an archive is read or written: it comes with twelve more libraries,
 * which take longer to map than a warm copy between two registries takes. */
#ifndef ECR_LIBARCHIVE_H
#define ECR_LIBARCHIVE_H

#include <mrpipe/error.h>

#include <archive.h>
#include <archive_entry.h>

/** What is used of it, under its own names without `archive_`. */
struct libarchive {
    __typeof__(&archive_error_string) error_string;
    __typeof__(&archive_errno) error_number;
    __typeof__(&archive_read_new) read_new;
    __typeof__(&archive_read_free) read_free;
    __typeof__(&archive_read_support_format_tar) read_support_format_tar;
    __typeof__(&archive_read_support_filter_all) read_support_filter_all;
    __typeof__(&archive_read_open_filename) read_open_filename;
    __typeof__(&archive_read_next_header) read_next_header;
    __typeof__(&archive_read_data_block) read_data_block;
    __typeof__(&archive_write_new) write_new;
    __typeof__(&archive_write_free) write_free;
    __typeof__(&archive_write_set_format_pax_restricted) write_set_format_pax_restricted;
    __typeof__(&archive_write_open_filename) write_open_filename;
    __typeof__(&archive_write_header) write_header;
    __typeof__(&archive_write_data) write_data;
    __typeof__(&archive_write_close) write_close;
    __typeof__(&archive_entry_new) entry_new;
    __typeof__(&archive_entry_free) entry_free;
    __typeof__(&archive_entry_pathname) entry_pathname;
    __typeof__(&archive_entry_hardlink) entry_hardlink;
    __typeof__(&archive_entry_symlink) entry_symlink;
    __typeof__(&archive_entry_filetype) entry_filetype;
    __typeof__(&archive_entry_set_pathname) entry_set_pathname;
    __typeof__(&archive_entry_set_size) entry_set_size;
    __typeof__(&archive_entry_set_filetype) entry_set_filetype;
    __typeof__(&archive_entry_set_perm) entry_set_perm;
    __typeof__(&archive_entry_set_mtime) entry_set_mtime;
};

/** Map it, if it is not yet, and find its functions. It stays mapped. 0 or MRP_E_CONFIG. */
int libarchive_open(struct libarchive *out, struct mrp_error *err) MRP_NODISCARD;

#endif
