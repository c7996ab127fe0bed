/* Pacing: how many of a kind may be in flight, and how many may start in a second. */
#ifndef ECR_GATE_H
#define ECR_GATE_H

#include <mrpipe/http.h>

#include <stdbool.h>
#include <stdint.h>

struct gate {
    double window; /* additive increase, halved when the peer says it is too much */
    double window_max;
    unsigned inside;
    double rate; /* starts per second; 0: no limit */
    double burst;
    double tokens;
    int64_t filled_ms;
    int64_t halved_ms;
    struct mrp_waitq queue;
};

void gate_init(struct gate *g, double window, double window_max, double rate, double burst);
/** Parks until there is room. 0 or MRP_E_CANCELLED. */
int gate_enter(struct gate *g, struct mrp_http *http, struct mrp_error *err) MRP_NODISCARD;
/** `pushed_back`: the peer answered 429, 503 or dropped the connection. */
void gate_leave(struct gate *g, struct mrp_http *http, bool pushed_back);

#endif
