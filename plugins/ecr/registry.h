/* What can be done with one repository of a registry. */
#ifndef ECR_REGISTRY_H
#define ECR_REGISTRY_H

#include "hub.h"
#include "manifest.h"

struct found {
    bool exists;
    bool index; /* of a registry's: by the Content-Type */
    char digest[DIGEST_SIZE];
    int64_t size;
};

/** HEAD of a tag or digest; absence is no error. */
int registry_head(struct found *out,
                  struct repo *repo,
                  const char *ref,
                  struct tally *tally,
                  struct mrp_error *err) MRP_NODISCARD;
/** GET of a tag or digest; checked against `digest` if not NULL. */
int registry_get(struct manifest **out,
                 struct repo *repo,
                 const char *ref,
                 const char *digest,
                 struct tally *tally,
                 struct mrp_error *err) MRP_NODISCARD;
/** PUT under a tag or digest. An immutable tag is MRP_E_CONFLICT; a blob or child that the registry
 * does not know is MRP_E_NOTFOUND; 405 is MRP_E_REMOTE with upstream 405. `*subject_done` (may be
 * NULL) tells whether the registry keeps referrers itself. */
int registry_put(struct repo *repo,
                 const char *ref,
                 const struct manifest *m,
                 bool *subject_done,
                 struct tally *tally,
                 struct mrp_error *err) MRP_NODISCARD;
/** DELETE of a manifest by digest or a tag. */
int registry_delete(struct repo *repo, const char *ref, struct mrp_error *err) MRP_NODISCARD;

/** Take tags away, NULL-terminated. Registries that delete only by digest lose the images too: that
 * is refused, before anything is deleted, if a tag that stays names one of them or has it in its
 * index. */
int registry_untag(struct repo *repo, char *const *tags, struct mrp_error *err) MRP_NODISCARD;

int registry_has_blob(bool *out,
                      struct repo *repo,
                      const char *digest,
                      struct tally *tally,
                      struct mrp_error *err) MRP_NODISCARD;

struct upload {
    bool present; /* nothing to send: it is there, or was mounted */
    bool mounted;
    char *url;
    bool own; /* the registry's own host: send the authorization */
};
void upload_done(struct upload *u);
/** Begin: a session, or the proof that the blob is there. `from` is a repository of the same host
 * that has the blob, or NULL. */
int registry_upload(struct upload *out,
                    struct repo *repo,
                    const char *digest,
                    int64_t size,
                    const char *from,
                    struct tally *tally,
                    struct mrp_error *err) MRP_NODISCARD;
/** The one PUT that carries the bytes, from a source of known length. The running call is kept in
 * *handle. */
int registry_put_blob(struct repo *repo,
                      const struct upload *u,
                      const char *digest,
                      const struct mrp_http_source *source,
                      struct mrp_http_call **handle,
                      struct tally *tally,
                      struct mrp_error *err) MRP_NODISCARD;
/** True for failures that a new session may cure. */
bool registry_may_retry(int rc, const struct mrp_error *err);

typedef int (*name_fn)(void *arg, const char *name, struct mrp_error *err);
int registry_tags(struct repo *repo, name_fn each, void *arg, struct mrp_error *err) MRP_NODISCARD;
/** The same as an array (owned, free with mrp_free_strv; NULL: no tag). */
int registry_all_tags(char ***out, size_t *count, struct repo *repo, struct mrp_error *err)
    MRP_NODISCARD;
int registry_catalog(struct host *host, name_fn each, void *arg, struct mrp_error *err)
    MRP_NODISCARD;
/** The index of referrers; NULL in *out if the registry has no such API. */
int registry_referrers(struct manifest **out,
                       struct repo *repo,
                       const char *digest,
                       struct tally *tally,
                       struct mrp_error *err) MRP_NODISCARD;

#endif
