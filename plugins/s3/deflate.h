/* Packs blocks of files on a small pool of threads and hands them back in order. */
#ifndef MRP_S3_DEFLATE_H
#define MRP_S3_DEFLATE_H

#include "collect.h"

#include <mrpipe/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A finished block; borrowed until the callback returns. */
struct mrp_packed {
    size_t file; /* index in the list */
    bool first, last;
    bool stored;  /* only for a file of one block: the bytes are not packed */
    uint32_t crc; /* of the block's own bytes */
    uint64_t size;
    const unsigned char *data;
    size_t len;
};

struct mrp_deflate_how {
    int level;        /* 0..9 */
    unsigned threads; /* 0: one for each core */
    /** Called in the caller's thread, in the order of the list. Non-zero stops. */
    int (*each)(void *arg, const struct mrp_packed *block, struct mrp_error *err);
    void *arg;
};

/**
 * Pack every file of the list. The blocks (1 MiB, with the 32 KiB before them as dictionary) do not
 * depend on the number of threads, so the bytes do not either.
 * @return 0, MRP_E_ARTIFACT (a file changed while it was read), MRP_E_IO, MRP_E_NOMEM, or what
 * `each` returned
 */
int mrp_deflate_files(const struct mrp_pack_list *list,
                      const struct mrp_deflate_how *how,
                      struct mrp_error *err) MRP_NODISCARD;

#endif
