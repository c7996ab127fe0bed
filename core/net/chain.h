/* The chain of credential providers; one file per provider. */
#ifndef MRP_NET_CHAIN_H
#define MRP_NET_CHAIN_H

#include "client.h"

/**
 * A provider: 0 and *out filled; MRP_E_NOTFOUND when it is not set up (`tried` then got a word
 * why); another code when it is set up and failed, which ends the search.
 */
typedef int (*cred_fn)(struct mrp_credentials *out,
                       struct mrp_aws *aws,
                       struct mrp_buf *tried,
                       struct mrp_error *err);

int cred_env(struct mrp_credentials *out,
             struct mrp_aws *aws,
             struct mrp_buf *tried,
             struct mrp_error *err);
int cred_web(struct mrp_credentials *out,
             struct mrp_aws *aws,
             struct mrp_buf *tried,
             struct mrp_error *err);
int cred_profile(struct mrp_credentials *out,
                 struct mrp_aws *aws,
                 struct mrp_buf *tried,
                 struct mrp_error *err);
int cred_container(struct mrp_credentials *out,
                   struct mrp_aws *aws,
                   struct mrp_buf *tried,
                   struct mrp_error *err);
int cred_imds(struct mrp_credentials *out,
              struct mrp_aws *aws,
              struct mrp_buf *tried,
              struct mrp_error *err);

/* ---- used by cred_profile.c ---- */
int cred_process(struct mrp_credentials *out,
                 struct mrp_aws *aws,
                 const char *command,
                 struct mrp_error *err);
/** `session`: the sso-session section, or the profile itself in the old form. */
int cred_sso(struct mrp_credentials *out,
             struct mrp_aws *aws,
             const json_t *profile,
             const json_t *session,
             const char *session_name,
             struct mrp_error *err);
/** An IAM Identity Center session; borrowed texts. */
struct sso_session {
    const char *name;   /* of the sso-session section; NULL: the old form, which is never renewed */
    const char *region; /* of Identity Center */
    const char *start;  /* URL */
};
/** A valid access token (owned), renewed when it ends within 15 minutes. MRP_E_AUTH with the login
 * command as hint. */
int sso_token(char **out, struct mrp_aws *aws, const struct sso_session *s, struct mrp_error *err);
/** Sets the hint, returns err's code. */
int sso_login_hint(const struct sso_session *s, struct mrp_error *err);
int cred_web_token(struct mrp_credentials *out,
                   struct mrp_aws *aws,
                   const char *token_file,
                   const char *role_arn,
                   const char *session_name,
                   struct mrp_error *err);

/* ---- chain.c, assume.c ---- */

/** Copies; expires is ISO 8601 or NULL. 0, MRP_E_NOMEM, or MRP_E_AUTH for a bad date. */
int credentials_set(struct mrp_credentials *out,
                    const char *access_key,
                    const char *secret_key,
                    const char *token,
                    const char *expires,
                    const char *source,
                    struct mrp_error *err);
int credentials_copy(struct mrp_credentials *out,
                     const struct mrp_credentials *from,
                     struct mrp_error *err);

struct assume {
    const char *role_arn;
    const char *external_id;  /* NULL: none */
    const char *session_name; /* NULL: "mrpipe-..." */
    const char *duration;     /* seconds as text; NULL: the role's own default */
    const char *source;       /* static: of the result */
};
int assume_role(struct mrp_credentials *out,
                struct mrp_aws *aws,
                const struct mrp_credentials *base,
                const struct assume *how,
                struct mrp_error *err);
/** "Credentials" of an STS answer. */
int sts_credentials(struct mrp_credentials *out,
                    const json_t *answer,
                    const char *source,
                    struct mrp_error *err);
/** The account's "home" for calls that have no region: AWS_REGION, the profile's, the stage's. */
const char *aws_home_region(struct mrp_aws *aws);
/** The section of the profile in use, or NULL; files are read once. */
const json_t *aws_profile(struct mrp_aws *aws, const char *name, struct mrp_error *err);

#endif
