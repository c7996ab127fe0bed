/* Image archives: unpacked into a private layout folder, and packed from one. */
#ifndef ECR_TARBALL_H
#define ECR_TARBALL_H

#include "layout.h"

/** An OCI layout in a tar file. */
int archive_open(struct layout **out, const char *path, const char *shown, struct mrp_error *err)
    MRP_NODISCARD;
/** What `docker save` writes: layers are compressed, the manifest is made. */
int archive_open_docker(struct layout **out,
                        const char *path,
                        const char *shown,
                        struct mrp_error *err) MRP_NODISCARD;
/** An empty layout, or the contents of the archive if there is one, to be packed later. */
int archive_create(struct layout **out, const char *path, const char *shown, struct mrp_error *err)
    MRP_NODISCARD;
/** Write layout->archive: a temporary file, then a rename. */
int archive_pack(struct layout *layout, struct mrp_error *err) MRP_NODISCARD;

#endif
