/** The environment of the commands: the caller's, the spec's variables, CODEBUILD_*. */
#ifndef MRP_RUN_BUILDENV_H
#define MRP_RUN_BUILDENV_H

#include "session.h"

/** Set NAME=value in an owned list. 0 or MRP_E_NOMEM. */
int mrp_env_set(char ***env, const char *name, const char *value);
void mrp_env_unset(char **env, const char *name);

/** What is known before the run folder is there: for planning. */
int mrp_buildenv_early(char ***out,
                       const struct mrp_spec *spec,
                       const struct mrp_run_options *options,
                       struct mrp_error *err);
/** Add CODEBUILD_* and the rest. */
int mrp_buildenv_complete(struct mrp_session *s,
                          const struct mrp_checkout *source,
                          struct mrp_error *err);

/** Parse `export -p` of dash or bash into `env`. Lines that are no exports are left out. */
int mrp_shell_exports(char ***env, const char *text, size_t len, struct mrp_error *err);

/** Helper commands (codebuild-*, the shim for `aws ecr get-login`) into TEMP/bin. */
int mrp_helpers_write(const char *temp, struct mrp_error *err);

#endif
