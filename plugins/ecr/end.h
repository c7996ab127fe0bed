/* An end of a copy: a repository of a registry, or an image layout. */
#ifndef ECR_END_H
#define ECR_END_H

#include "layout.h"
#include "registry.h"

struct end {
    struct repo *repo; /* one of the two */
    struct layout *layout;
};

int end_head(struct found *out,
             struct end *end,
             const char *ref,
             struct tally *tally,
             struct mrp_error *err) MRP_NODISCARD;
int end_get(struct manifest **out,
            struct end *end,
            const char *ref,
            const char *digest,
            struct tally *tally,
            struct mrp_error *err) MRP_NODISCARD;
/** `ref` is a tag or the manifest's digest; `root` puts it into a layout's index.json. */
int end_put(struct end *end,
            const char *ref,
            const struct manifest *m,
            bool root,
            bool *subject_done,
            struct tally *tally,
            struct mrp_error *err) MRP_NODISCARD;
/** "HOST/REPO" or "oci:DIR"; borrowed text in buf. */
const char *end_show(char *buf, size_t len, const struct end *end);
/** "HOST/REPO:TAG", "HOST/REPO@sha256:..."; owned. */
char *end_ref(const struct end *end, const char *ref);
bool end_same(const struct end *a, const struct end *b);

#endif
