/* Finds Git LFS pointers in a pack that only passes by. */
#ifndef CODECOMMIT_LFS_H
#define CODECOMMIT_LFS_H

#include <stddef.h>
#include <stdint.h>

struct mrp_lfs {
    uint64_t found;
    unsigned char tail[98]; /* the end of the piece before, for what crosses the cut */
    size_t tail_len;
};

void mrp_lfs_scan(struct mrp_lfs *s, const unsigned char *data, size_t len);

#endif
