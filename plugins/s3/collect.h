/* The files of one artifact: what the buildspec's block selects, under the names they are stored.
 */
#ifndef MRP_S3_COLLECT_H
#define MRP_S3_COLLECT_H

#include <mrpipe/error.h>
#include <mrpipe/stage.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mrp_pack_file {
    char *name; /* in the package: relative, no `..` */
    char *path; /* where it lies, absolute */
    char *link; /* the text of a symbolic link that is kept as one; else NULL */
    uint64_t size;
    uint32_t mode;
    int64_t mtime_s;
    size_t order; /* of the pattern that found it: the later one wins a name */
};

struct mrp_pack_list {
    struct mrp_pack_file *files; /* sorted by name, names unique */
    size_t count;
    size_t cap;
    uint64_t bytes;
};

/** One artifact block, all borrowed. */
struct mrp_pack_spec {
    const char *what; /* for messages: "artifacts" or "artifacts of ID" */
    char *const *files;
    char *const *exclude;
    char *const *added; /* paths relative to the work directory, kept whatever `files` says */
    const char *base;   /* as written, variables not yet expanded; NULL: the work directory */
    bool discard_paths;
    bool keep_links;
    bool unique; /* two files of one name are an error, not a warning */
};

/**
 * Walk the tree and fill `out`.
 * @return 0, MRP_E_ARTIFACT (nothing matches, no base directory, two files of one name), MRP_E_IO,
 *         MRP_E_CONFIG (a pattern that leaves the base directory), MRP_E_NOMEM
 */
int mrp_pack_collect(struct mrp_pack_list *out,
                     struct mrp_stage *stage,
                     const struct mrp_pack_spec *spec,
                     struct mrp_error *err) MRP_NODISCARD;
void mrp_pack_list_done(struct mrp_pack_list *list);

/** $NAME and ${NAME} replaced by the stage's variables (unknown ones by nothing). Owned. */
char *mrp_pack_expand(const struct mrp_stage *stage, const char *text);

#endif
