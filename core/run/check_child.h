/** What the child of mrp_check does: maps the plugins, tells its findings, may stay as the fork
 * server. */
#ifndef MRP_RUN_CHECK_CHILD_H
#define MRP_RUN_CHECK_CHILD_H

#include "check.h"

struct mrp_check_job {
    const struct mrp_spec *spec;
    const struct mrp_plan *plan;
    const struct mrp_names *names;
    char *const *plugin_dirs;
    bool env; /* the plugin `env` is used by the runner itself */
};
enum { MRP_CHECK_FD = 3 }; /* where findings go, one JSON object per line, until it is closed */

/** `runner` is whom to serve workers after the findings; -1: nobody, then it returns. */
void mrp_check_child(const struct mrp_check_job *job, pid_t runner);

#endif
