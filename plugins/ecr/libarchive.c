/* libarchive by its SONAME: the table of the functions that are used. */
#include "libarchive.h"

#include <mrpipe/text.h>

#include <dlfcn.h>
#include <string.h>

int libarchive_open(struct libarchive *out, struct mrp_error *err)
{
    const struct {
        const char *name;
        void *field;
    } names[] = {
        {"archive_error_string", &out->error_string},
        {"archive_errno", &out->error_number},
        {"archive_read_new", &out->read_new},
        {"archive_read_free", &out->read_free},
        {"archive_read_support_format_tar", &out->read_support_format_tar},
        {"archive_read_support_filter_all", &out->read_support_filter_all},
        {"archive_read_open_filename", &out->read_open_filename},
        {"archive_read_next_header", &out->read_next_header},
        {"archive_read_data_block", &out->read_data_block},
        {"archive_write_new", &out->write_new},
        {"archive_write_free", &out->write_free},
        {"archive_write_set_format_pax_restricted", &out->write_set_format_pax_restricted},
        {"archive_write_open_filename", &out->write_open_filename},
        {"archive_write_header", &out->write_header},
        {"archive_write_data", &out->write_data},
        {"archive_write_close", &out->write_close},
        {"archive_entry_new", &out->entry_new},
        {"archive_entry_free", &out->entry_free},
        {"archive_entry_pathname", &out->entry_pathname},
        {"archive_entry_hardlink", &out->entry_hardlink},
        {"archive_entry_symlink", &out->entry_symlink},
        {"archive_entry_filetype", &out->entry_filetype},
        {"archive_entry_set_pathname", &out->entry_set_pathname},
        {"archive_entry_set_size", &out->entry_set_size},
        {"archive_entry_set_filetype", &out->entry_set_filetype},
        {"archive_entry_set_perm", &out->entry_set_perm},
        {"archive_entry_set_mtime", &out->entry_set_mtime},
    };
    void *lib = dlopen(ECR_LIBARCHIVE, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    for (size_t i = 0; i < MRP_COUNT(names); i++) {
        void *found = lib ? dlsym(lib, names[i].name) : NULL;
        if (!found) {
            const char *why = dlerror();
            mrp_fail(err, MRP_E_CONFIG, "archives need libarchive: %s", why ? why : names[i].name);
            return mrp_hint(err, "install %s", ECR_LIBARCHIVE);
        }
        /* POSIX wants this copy: a cast from data to function pointer is not C. */
        memcpy(names[i].field, &found, sizeof found);
    }
    return 0;
}
