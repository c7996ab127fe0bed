/* Image references: HOST/REPOSITORY[:TAG][@DIGEST], oci:, oci-archive:, docker-archive:. */
#ifndef ECR_REF_H
#define ECR_REF_H

#include <mrpipe/error.h>

#include <stdbool.h>
#include <stddef.h>

enum ref_kind { REF_REGISTRY, REF_LAYOUT, REF_OCI_ARCHIVE, REF_DOCKER_ARCHIVE };

struct ref {
    enum ref_kind kind;
    char *host;   /* of a registry, with its port, lower case */
    char *repo;   /* of a registry: the repository's path */
    char *path;   /* of a layout folder or an archive */
    char *tag;    /* NULL: none */
    char *digest; /* "sha256:<64 hex>" or NULL */
    bool https;   /* written as https://HOST/...: plain http is not tried */
    bool prefix;  /* the text ended with '/': the source's repository name is put behind `repo` */
};

/** MRP_E_CONFIG for anything malformed. `out` is zeroed first; ref_done in any case. */
int ref_parse(struct ref *out, const char *text, struct mrp_error *err) MRP_NODISCARD;
void ref_done(struct ref *ref);
int ref_copy(struct ref *out, const struct ref *from, struct mrp_error *err) MRP_NODISCARD;
/** The whole reference as text, owned. */
char *ref_text(const struct ref *ref);

/** "sha256:<64 hex>" or "sha512:<128 hex>". */
bool digest_valid(const char *text);
bool tag_valid(const char *text, size_t len);
bool repo_valid(const char *text, size_t len);

#define ECR_REGION_MAX 32
struct ecr_name {
    char account[13];
    char region[ECR_REGION_MAX];
    char suffix[40]; /* "amazonaws.com" */
    bool fips;
    bool dual; /* ACCOUNT.dkr-ecr.REGION.on.aws */
};
/** True if the host is a private ECR registry as AWS names it. */
bool ecr_name_parse(struct ecr_name *out, const char *host);
/** The host of the same account in another region; owned, NULL: no memory. */
char *ecr_host(const char *account, const char *region);

#endif
