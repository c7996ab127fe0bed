/* A counting gate for tasks. */
#include "gate.h"

int gate_enter(struct gate *g, unsigned weight, struct mrp_http *http, struct mrp_error *err)
{
    while (g->inside && g->inside + weight > g->most) {
        int rc = mrp_waitq_wait(&g->queue, http, err);
        if (rc)
            return rc;
    }
    g->inside += weight;
    return 0;
}

void gate_leave(struct gate *g, unsigned weight, struct mrp_http *http)
{
    g->inside -= weight;
    mrp_waitq_wake(&g->queue, http);
}
