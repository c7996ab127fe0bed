/* One file on its way to one object: digests, what is there already, the single PUT. */
#ifndef MRP_S3_OBJECT_H
#define MRP_S3_OBJECT_H

#include "s3.h"

#include <mrpipe/aws.h>
#include <mrpipe/digest.h>
#include <mrpipe/http.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mrp_object_part {
    uint64_t offset;
    uint64_t size;
    unsigned char sha256[MRP_SHA256_BYTES];
    char *etag; /* once it is uploaded */
};

struct mrp_object {
    const struct mrp_upload *o;
    struct mrp_stage *stage;
    struct mrp_aws *aws;
    const char *region;
    int fd;
    char *path;
    uint64_t size;
    unsigned char sha256[MRP_SHA256_BYTES];
    char sha256_hex[MRP_SHA256_HEX];
    struct mrp_object_part *parts; /* at least one */
    size_t part_count;
    bool multipart;
    uint64_t sent; /* for the progress */
};

/** What a HEAD or a PUT tells about the object. */
struct mrp_object_state {
    bool exists;
    bool same; /* the same bytes, and the asked-for properties */
    char *etag;
    char *version;
    char *differs; /* what is not the same; NULL when same */
};

/** Open, measure, hash the whole and the parts in one pass. */
int mrp_object_open(struct mrp_object *obj, struct mrp_error *err) MRP_NODISCARD;
void mrp_object_done(struct mrp_object *obj);
void mrp_object_state_done(struct mrp_object_state *s);

/** HEAD. A missing object is no failure; a forbidden HEAD counts as missing unless `strict`. */
int mrp_object_look(struct mrp_object_state *out,
                    struct mrp_object *obj,
                    bool strict,
                    struct mrp_error *err) MRP_NODISCARD;
/** MRP_E_NOTFOUND with a hint when the bucket is not there. */
int mrp_object_bucket(struct mrp_object *obj, struct mrp_error *err) MRP_NODISCARD;
int mrp_object_put(struct mrp_object_state *out,
                   struct mrp_object *obj,
                   struct mrp_error *err) MRP_NODISCARD;
/** multipart.c: create, parts in parallel, complete; aborted on any failure. */
int mrp_object_put_parts(struct mrp_object_state *out,
                         struct mrp_object *obj,
                         struct mrp_http *http,
                         struct mrp_error *err) MRP_NODISCARD;

/* ---- shared by object.c and multipart.c ---- */
/** The properties of the object as header fields. */
int mrp_object_headers(struct mrp_headers *h,
                       const struct mrp_object *obj,
                       struct mrp_error *err) MRP_NODISCARD;
/** The list with the end mark that requests want; valid until `h` changes. */
const struct mrp_http_header *mrp_object_list(struct mrp_headers *h, struct mrp_error *err);
/** Make S3's own words useful: names the object, hints for a missing bucket. Returns err->code. */
int mrp_object_explain(const struct mrp_object *obj, const char *what, struct mrp_error *err);
/** A part of the file as the body of a request. */
struct mrp_object_range {
    struct mrp_object *obj;
    uint64_t start, size, at;
};
struct mrp_http_source mrp_object_source(struct mrp_object_range *r);

/** Sizes of parts: at least `part_size`, at most 10,000 of them. */
uint64_t mrp_object_part_size(uint64_t size, uint64_t part_size);

#endif
