/** What the child of mrp_check does; findings go to `fd`, one JSON object per line. */
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
void mrp_check_child(const struct mrp_check_job *job, int fd);

#endif
