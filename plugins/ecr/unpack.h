/* Unpacks tar files into a folder, never outside of it. */
#ifndef ECR_UNPACK_H
#define ECR_UNPACK_H

#include <mrpipe/error.h>

int unpack(const char *dir, const char *path, const char *shown, struct mrp_error *err)
    MRP_NODISCARD;

#endif
