/** Values of env.parameter-store and env.secrets-manager, resolved by plugin `env` in a worker. */
#ifndef MRP_RUN_RESOLVE_H
#define MRP_RUN_RESOLVE_H

#include "session.h"

struct mrp_resolve {
    struct mrp_session *s;
    struct mrp_task *task;
    bool begun, done;
};
bool mrp_resolve_needed(const struct mrp_session *s);
/** Starts it; ends with resolve->done. A failure ends the run with exit code 5. */
void mrp_resolve_start(struct mrp_resolve *resolve, struct mrp_session *s);

#endif
