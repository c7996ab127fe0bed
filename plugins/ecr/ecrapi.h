/* ECR's control API, as far as copying needs it. `repo` is always one of an ECR host. */
#ifndef ECR_ECRAPI_H
#define ECR_ECRAPI_H

#include "hub.h"

#include <jansson.h>

/** An input object with registryId and repositoryName. NULL: no memory. */
json_t *ecr_input(const struct repo *repo);
/** A call in the region of the repository; `out` may be NULL. */
int ecr_call(json_t **out,
             struct repo *repo,
             const char *operation,
             const json_t *input,
             struct mrp_error *err) MRP_NODISCARD;

/** Which of the digests are there: at most 100. MRP_E_NOTFOUND: no such repository. */
int ecr_check_layers(bool *present,
                     struct repo *repo,
                     const char *const *digests,
                     size_t count,
                     struct tally *tally,
                     struct mrp_error *err) MRP_NODISCARD;

/** DescribeRepositories of one: owned; NULL in *out if there is none. */
int ecr_describe(json_t **out, struct repo *repo, struct mrp_error *err) MRP_NODISCARD;

/** Make the repository if this run has not seen it yet; settings are taken from `like` (an ECR
 * repository, or NULL for the account's defaults). Sets repo->fresh when it made it. */
int ecr_create(struct repo *repo, struct repo *like, struct mrp_error *err) MRP_NODISCARD;
/** Bring the settings of an existing repository in line with `like`; *changed tells whether
 * something was (or, when `dry`, would be) written. */
int ecr_align(bool *changed, struct repo *repo, struct repo *like, bool dry, struct mrp_error *err)
    MRP_NODISCARD;

struct ecr_image {
    const char *digest;
    const char *tag; /* NULL: untagged */
    int64_t pushed_ms;
    const char *media_type;
};
/** All images by pages, one call per tag. A missing repository has none. */
int ecr_images(struct repo *repo,
               int (*each)(void *arg, const struct ecr_image *image),
               void *arg,
               struct mrp_error *err) MRP_NODISCARD;

/** All repository names of a registry. */
int ecr_repositories(struct host *host,
                     int (*each)(void *arg, const char *name, struct mrp_error *err),
                     void *arg,
                     struct mrp_error *err) MRP_NODISCARD;

/** BatchDeleteImage: at most 100 tags. */
int ecr_delete_tags(struct repo *repo, char *const *tags, size_t count, struct mrp_error *err)
    MRP_NODISCARD;

#endif
