/* Credential helpers: programs named docker-credential-NAME. */
#ifndef ECR_HELPER_H
#define ECR_HELPER_H

#include <mrpipe/error.h>
#include <mrpipe/http.h>

/** Both stay NULL when the helper has nothing for the host. */
int helper_get(char **user,
               char **password,
               struct mrp_http *http,
               const char *name,
               const char *host,
               struct mrp_error *err) MRP_NODISCARD;
int helper_store(struct mrp_http *http,
                 const char *name,
                 const char *host,
                 const char *user,
                 const char *password,
                 struct mrp_error *err) MRP_NODISCARD;

#endif
