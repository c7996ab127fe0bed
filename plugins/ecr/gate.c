/* A counting gate for tasks. */
#include "gate.h"

bool gate_try(struct gate *g, unsigned weight)
{
    if (g->inside && g->inside + weight > g->most)
        return false;
    g->inside += weight;
    return true;
}

int gate_enter(struct gate *g, unsigned weight, struct mrp_http *http, struct mrp_error *err)
{
    while (!gate_try(g, weight)) {
        int rc = mrp_waitq_wait(&g->queue, http, err);
        if (rc)
            return rc;
    }
    return 0;
}

void gate_leave(struct gate *g, unsigned weight, struct mrp_http *http)
{
    g->inside -= weight;
    mrp_waitq_wake(&g->queue, http);
}
