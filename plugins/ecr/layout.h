/* OCI image layouts: a folder with oci-layout, index.json and blobs/. */
#ifndef ECR_LAYOUT_H
#define ECR_LAYOUT_H

#include "manifest.h"

#include <mrpipe/error.h>

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct layout {
    struct layout *next;
    char *dir;   /* where it lies */
    char *shown; /* as the user named it */
    json_t *index;
    bool temporary; /* unpacked from an archive, or to be packed */
    char *archive;  /* to be written at the end; NULL: none */
    bool changed;
};

/** If there is none: refuse, make an empty one, or act as if there were an empty one. */
enum layout_mode { LAYOUT_READ, LAYOUT_CREATE, LAYOUT_PRETEND };
int layout_open(struct layout **out,
                const char *dir,
                const char *shown,
                enum layout_mode mode,
                struct mrp_error *err) MRP_NODISCARD;
void layout_free(struct layout **layout);

/** The digest of a tag, of a digest that is there, or (`ref` "") of the only image. False: none. */
bool layout_find(char digest[DIGEST_SIZE], const struct layout *layout, const char *ref);
int layout_get(struct manifest **out,
               const struct layout *layout,
               const char *digest,
               struct mrp_error *err) MRP_NODISCARD;
/** Write the bytes; `tag` (NULL: none) and `root` put it into index.json. */
int layout_put(struct layout *layout,
               const struct manifest *m,
               const char *tag,
               bool root,
               struct mrp_error *err) MRP_NODISCARD;
/** "DIR/blobs/sha256/HEX", owned; NULL: no memory. */
char *layout_blob_path(const struct layout *layout, const char *digest);
/** There, with this size (-1: any). */
bool layout_has_blob(const struct layout *layout, const char *digest, int64_t size);
/** A new blob from memory; checked. */
int layout_put_blob(struct layout *layout,
                    const char *digest,
                    const void *data,
                    size_t len,
                    struct mrp_error *err) MRP_NODISCARD;
/** Says that layout_find() found nothing, and what there is instead. */
int layout_lacks(const struct layout *layout, const char *ref, struct mrp_error *err);
/** Tags in index.json. */
int layout_tags(char ***out, const struct layout *layout, struct mrp_error *err) MRP_NODISCARD;

#endif
