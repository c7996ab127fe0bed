/* docker's config.json: credentials of registries, and the helper programs it names. */
#ifndef ECR_DOCKERCFG_H
#define ECR_DOCKERCFG_H

#include <mrpipe/error.h>
#include <mrpipe/http.h>
#include <mrpipe/stage.h>

#include <jansson.h>
#include <stdbool.h>

/** DOCKER_CONFIG or $HOME/.docker, plus "/config.json". Owned; NULL: neither is set. */
char *dockercfg_path(const struct mrp_stage *stage);

/** What the file says about a host, without asking a helper. */
struct docker_login {
    char *user; /* "<token>": the secret is an identity token */
    char *password;
    char *helper; /* ask this one; NULL: none */
};
void docker_login_done(struct docker_login *login);
/** Nothing found leaves everything NULL. Keys may be hosts, URLs or "host/path". */
int dockercfg_lookup(struct docker_login *out,
                     const json_t *config,
                     const char *host,
                     struct mrp_error *err) MRP_NODISCARD;

/** All of it: config.json, then containers' auth.json, then the helper. Nothing found is no error.
 */
int dockercfg_login(char **user,
                    char **password,
                    struct mrp_http *http,
                    struct mrp_stage *stage,
                    const char *host,
                    struct mrp_error *err) MRP_NODISCARD;

/** Set `auths.HOST.auth` for all hosts in one go; the other entries and members are kept; written
 * atomically with mode 0600. A file that stores its secrets in a helper gets them stored there. */
int dockercfg_store(struct mrp_http *http,
                    struct mrp_stage *stage,
                    const char *path,
                    char *const *hosts,
                    char *const *users,
                    char *const *passwords,
                    struct mrp_error *err) MRP_NODISCARD;

#endif
