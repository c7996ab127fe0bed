/* One package file: the list of files written as zip or tar.gz, the same bytes for the same input.
 */
#ifndef MRP_S3_PACK_H
#define MRP_S3_PACK_H

#include "collect.h"

#include <mrpipe/digest.h>

enum mrp_archive_format { MRP_ARCHIVE_ZIP, MRP_ARCHIVE_TAR_GZ };

struct mrp_archive_how {
    enum mrp_archive_format format;
    int level;
    unsigned threads;
    bool file_times; /* the files' own; else 1980-01-01 for all */
    struct mrp_stage *stage;
};

/** Write the package to the open, empty, seekable file. */
int mrp_archive_write(int fd,
                      const char *path, /* for messages */
                      const struct mrp_pack_list *list,
                      const struct mrp_archive_how *how,
                      struct mrp_error *err) MRP_NODISCARD;

/** SHA-256 and size of an open file from byte 0. */
int mrp_archive_sum(char sha256[MRP_SHA256_HEX],
                    uint64_t *size,
                    int fd,
                    const char *path,
                    struct mrp_error *err) MRP_NODISCARD;

#endif
