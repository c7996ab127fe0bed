/* How many tasks may be inside at once; the others wait for their turn. */
#ifndef ECR_GATE_H
#define ECR_GATE_H

#include <mrpipe/http.h>

#include <stdbool.h>

struct gate {
    unsigned most;
    unsigned inside;
    struct mrp_waitq queue;
};

/** True if there was room for `weight`, or nobody inside: then it is taken. */
bool gate_try(struct gate *g, unsigned weight);
/** Parks until there is room for `weight`, or nobody inside. 0 or MRP_E_CANCELLED. */
int gate_enter(struct gate *g, unsigned weight, struct mrp_http *http, struct mrp_error *err)
    MRP_NODISCARD;
void gate_leave(struct gate *g, unsigned weight, struct mrp_http *http);

#endif
