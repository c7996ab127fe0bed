/* The copy engine: images to many destinations, blobs and manifests once each in a run. */
#ifndef ECR_COPY_H
#define ECR_COPY_H

#include "ecrapi.h"
#include "end.h"
#include "table.h"

enum referrers { REFERRERS_YES, REFERRERS_NO, REFERRERS_ALWAYS };

struct copy_options {
    char **platforms; /* borrowed; NULL: all */
    int referrers;
    bool foreign; /* copy layers that may not be distributed */
    bool create;  /* make missing ECR repositories */
    bool dry;     /* find out, write nothing */
};

/** One source and the same destinations: what is known of blobs holds for all its images. */
struct route {
    struct route *next;
    struct copier *copier;
    struct end src;
    struct end *dst;
    size_t count;
    struct table blobs;
    struct table manifests;
    struct item *kept; /* whose manifests are kept, the oldest first */
    struct item *kept_last;
    size_t kept_bytes;
    char **tags; /* of the source, when listed; sorted */
    size_t tag_count;
    bool tags_listed;
    bool listing;
    struct mrp_waitq turn;
    size_t jobs;
    bool partly;   /* a destination had a blob that we asked for */
    size_t looked; /* manifests whose referrers were looked for */
};

struct job_dest {
    char *tag;                /* NULL: by digest */
    char *region;             /* "" when it is no ECR registry */
    char digest[DIGEST_SIZE]; /* what it has in the end */
    char had[DIGEST_SIZE];    /* what the tag had before; "" none */
    bool asked;               /* `had` is known without a request */
    bool changed;
    struct tally tally;
    int rc;
    struct mrp_error err;
};

/** One image. */
struct job {
    struct job *next;
    struct route *route;
    char *name;               /* from imagedefinitions, or "" */
    char *ref;                /* tag or digest at the source; "" the only one of a layout */
    char pinned[DIGEST_SIZE]; /* what it must be; "" anything */
    bool known;               /* `pinned` was learned from a listing: no HEAD is needed */
    char digest[DIGEST_SIZE]; /* what is copied */
    int64_t manifest_bytes;   /* of its manifest, when a HEAD told; 0: not known */
    struct job_dest *dests;   /* route->count of them */
    uint64_t failed;          /* destinations that are given up */
    struct tally tally;       /* of the source */
    struct table seen;        /* what refers to it, as far as that was followed */
    struct meter meter;
};

struct copier {
    struct hub *hub;
    struct copy_options how;
    struct route *routes;
    struct job *jobs;
    struct job *last;
    struct layout *layouts;
    struct table homes; /* "HOST DIGEST" -> a repository there that has the blob */
};

int copier_new(struct copier **out,
               struct hub *hub,
               const struct copy_options *how,
               struct mrp_error *err) MRP_NODISCARD;
void copier_free(struct copier **c);

/** Open the end that a reference names. */
int copier_end(struct end *out,
               struct copier *c,
               const struct ref *ref,
               bool write,
               struct mrp_error *err) MRP_NODISCARD;
/** The route between these ends. */
int copier_route(struct route **out,
                 struct copier *c,
                 const struct end *src,
                 const struct end *dst,
                 size_t count,
                 struct mrp_error *err) MRP_NODISCARD;
/** Add an image. `tags[i]` (may be NULL) is its tag at destination i. */
int copier_add(struct job **out,
               struct route *route,
               const char *name,
               const char *ref,
               char *const *tags,
               struct mrp_error *err) MRP_NODISCARD;
/** Copy all. Each job's outcome is in its dests; the first failure is returned too. */
int copier_run(struct copier *c, struct mrp_error *err) MRP_NODISCARD;
/** Compare only: dests[i].changed tells that it differs. */
int copier_compare(struct copier *c, struct mrp_error *err) MRP_NODISCARD;
/** The `images` output. NULL: no memory. */
json_t *copier_report(const struct copier *c);
bool copier_changed(const struct copier *c);

/* ---- inside: tree.c, layers.c, referrers.c, warm.c ---- */

/** For the first requests of all jobs. */
void warm_jobs(const struct copier *c);
/** For the blobs of an image that is new at the destinations of `mask`. */
void warm_blobs(const struct job *job, uint64_t mask);

/** All destinations of a route that a job has not given up. */
uint64_t job_mask(const struct job *job);
/** Give up one destination; the first failure stays. */
void job_drop(struct job *job, size_t dest, const struct mrp_error *err);
/** True for failures that end everything, not only a destination. */
bool is_fatal(int rc);

/** Bring a manifest and all below it to the destinations of `mask`. Failures of single
 * destinations are job_drop()ed. */
int tree_copy(struct job *job, const char *digest, uint64_t mask, int depth, struct mrp_error *err)
    MRP_NODISCARD;
typedef int (
    *tree_fn)(struct job *job, const char *digest, uint64_t mask, int depth, struct mrp_error *err);
/** fn for each manifest of an index, so many at once. */
int tree_children(struct job *job,
                  const struct manifest *index,
                  uint64_t mask,
                  int depth,
                  unsigned at_once,
                  tree_fn fn,
                  struct mrp_error *err) MRP_NODISCARD;
/** Keep what was read for the others, unless someone was faster: the last 16 MiB of manifests. */
void tree_keep(struct route *route, struct item *item, struct manifest **m);
/** The manifest of the source, read once as long as it is kept. A reference of the caller's own. */
int tree_manifest(struct manifest **out, struct job *job, const char *digest, struct mrp_error *err)
    MRP_NODISCARD;
/** PUT one manifest under `ref` (a tag or its digest) at the destinations of `mask`, all at once.
 */
int tree_put(struct job *job,
             const struct manifest *m,
             const char *ref,
             bool root,
             uint64_t mask,
             struct mrp_error *err) MRP_NODISCARD;
/** All blobs of a manifest. */
int layers_copy(struct job *job, const struct manifest *m, uint64_t mask, struct mrp_error *err)
    MRP_NODISCARD;
/** Everything that refers to `digest` or, if that is an index, to a manifest in it: the API, the
 * fallback tag, cosign's tags. `depth` is 0 for the top of an image. */
int referrers_copy(struct job *job,
                   const char *digest,
                   uint64_t mask,
                   int depth,
                   struct mrp_error *err) MRP_NODISCARD;

#endif
