/** Checks before anything starts: plugins load, options fit, references resolve. They run plugin
 * code, so they run in a child process. */
#ifndef MRP_RUN_CHECK_H
#define MRP_RUN_CHECK_H

#include "forkserver.h"
#include "plan.h"
#include "run.h"

struct mrp_used_plugin {
    char *name, *path, *version;
    char *identity; /* of the file, before it was mapped (mrp_plugin_identity) */
};
struct mrp_used {
    struct mrp_used_plugin *list;
    size_t count;
    bool failed; /* a plugin that is used cannot be loaded (exit code 4) */
};
void mrp_used_done(struct mrp_used *used);
const struct mrp_used_plugin *mrp_used_find(const struct mrp_used *used, const char *name);

/** 0, or MRP_E_CONFIG with everything in `diags`. `names` knows what is known before the run.
 * `server` (NULL: not wanted) is what the child goes on as if all is well: mrp_forkserver_stop. */
int mrp_check(struct mrp_used *out,
              struct mrp_forkserver *server,
              const struct mrp_spec *spec,
              const struct mrp_plan *plan,
              const struct mrp_names *names,
              char *const *plugin_dirs,
              struct mrp_diags *diags,
              struct mrp_error *err);

/** `sh -n` of the commands as warnings; unless `all`, only of those that look like bash. */
void mrp_lint_commands(const struct mrp_spec *spec, bool all, struct mrp_diags *diags);

#endif
