/* A counting gate for tasks. */
#include "gate.h"

int gate_enter(struct gate *g, struct mrp_http *http, struct mrp_error *err)
{
    while (g->inside >= g->most) {
        int rc = mrp_waitq_wait(&g->queue, http, err);
        if (rc)
            return rc;
    }
    g->inside++;
    return 0;
}

void gate_leave(struct gate *g, struct mrp_http *http)
{
    g->inside--;
    mrp_waitq_wake(&g->queue, http);
}
