/* Manifests and indexes: parsed, but their bytes kept, because the digest is over the bytes. */
#ifndef ECR_MANIFEST_H
#define ECR_MANIFEST_H

#include <mrpipe/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_MAX ((size_t)4 << 20) /* bytes */
#define MANIFEST_ITEMS_MAX 10000
#define MANIFEST_DEPTH_MAX 3 /* indexes inside indexes */
#define DIGEST_SIZE 136      /* "sha512:" and 128 digits, NUL */

#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_ARTIFACT "application/vnd.oci.artifact.manifest.v1+json"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar.gzip"

/** All types above in one Accept line. */
extern const char manifest_accept[];

struct desc {
    char *media_type;
    char digest[DIGEST_SIZE];
    int64_t size;
    char *platform;      /* "linux/arm64/v8" or NULL */
    char *artifact_type; /* or NULL */
    void *data;          /* inline content, checked against digest and size; NULL: none */
    bool foreign;        /* its bytes may not be distributed */
    bool manifest;       /* points to a manifest or an index, not to a blob */
};

struct manifest {
    char *bytes;
    size_t len;
    char *media_type;
    char digest[DIGEST_SIZE];
    bool index;
    struct desc *items; /* children of an index; config and layers of a manifest */
    size_t count;
    char *subject; /* digest, or NULL */
    char *artifact_type;
    unsigned shared; /* references beside the first */
};

/**
 * Check and read. `bytes` is copied.
 * @param type    Content-Type of the answer or the descriptor's; NULL: only what the text says
 * @param digest  what it must hash to (sha256 or sha512); NULL: any
 * @param what    for messages: "manifest of HOST/REPO:TAG"
 * @return 0; MRP_E_REMOTE for wrong digests, bad JSON, limits, docker schema 1
 */
int manifest_new(struct manifest **out,
                 const void *bytes,
                 size_t len,
                 const char *type,
                 const char *digest,
                 const char *what,
                 struct mrp_error *err) MRP_NODISCARD;
/** One reference more to the same manifest, which nobody changes; given back by manifest_free. */
struct manifest *manifest_share(struct manifest *m);
void manifest_free(struct manifest **m);

/** An index with only the children of these platforms ("linux/amd64", "linux/arm64/v8"); the same
 * bytes if nothing falls away. MRP_E_NOTFOUND if a platform is missing. */
int manifest_trim(struct manifest **out,
                  const struct manifest *index,
                  char *const *platforms,
                  struct mrp_error *err) MRP_NODISCARD;
/** "linux/arm64" also matches "linux/arm64/v8". */
bool platform_match(const char *want, const char *have);

bool media_is_manifest(const char *type);

/** Put "sha256:<hex>" of the bytes into `out`. */
void digest_of(char out[DIGEST_SIZE], const void *data, size_t len);
/** True if the bytes hash to `digest` (sha256 or sha512). */
bool digest_matches(const char *digest, const void *data, size_t len);

#endif
