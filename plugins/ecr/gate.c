/* Additive increase, multiplicative decrease, and a token bucket, for one host and kind of call. */
#include "gate.h"

#include <mrpipe/time.h>

#include <string.h>

enum { EPOCH_MS = 100 };

void gate_init(struct gate *g, double window, double window_max, double rate, double burst)
{
    memset(g, 0, sizeof *g);
    g->window = window;
    g->window_max = window_max;
    g->rate = rate;
    g->burst = burst;
    g->tokens = burst;
    g->filled_ms = mrp_now_ms();
}

/* Milliseconds until a start is allowed; 0 takes it. */
static int64_t take_token(struct gate *g)
{
    if (g->rate <= 0)
        return 0;
    int64_t now = mrp_now_ms();
    g->tokens += (double)(now - g->filled_ms) * g->rate / 1000.0;
    g->filled_ms = now;
    if (g->tokens > g->burst)
        g->tokens = g->burst;
    if (g->tokens >= 1.0) {
        g->tokens -= 1.0;
        return 0;
    }
    return (int64_t)((1.0 - g->tokens) * 1000.0 / g->rate) + 1;
}

int gate_enter(struct gate *g, struct mrp_http *http, struct mrp_error *err)
{
    while (g->inside >= (unsigned)g->window) {
        int rc = mrp_waitq_wait(&g->queue, http, err);
        if (rc)
            return rc;
    }
    g->inside++;
    for (int64_t wait_ms; (wait_ms = take_token(g)) > 0;) {
        int rc = mrp_http_sleep(http, wait_ms, err);
        if (rc) {
            g->inside--;
            mrp_waitq_wake(&g->queue, http);
            return rc;
        }
    }
    return 0;
}

void gate_leave(struct gate *g, struct mrp_http *http, bool pushed_back)
{
    g->inside--;
    if (pushed_back) {
        /* One bad moment of the peer fails many calls at once: halve only once for it. */
        int64_t now = mrp_now_ms();
        if (now - g->halved_ms >= EPOCH_MS) {
            g->halved_ms = now;
            g->window = g->window / 2 < 1 ? 1 : g->window / 2;
        }
    } else if (g->window < g->window_max) {
        g->window += 1.0 / g->window;
    }
    mrp_waitq_wake(&g->queue, http);
}
