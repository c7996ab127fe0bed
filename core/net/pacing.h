/* How fast we may ask: connections per host, adaptive windows and rates per API, bandwidth. */
#ifndef MRP_NET_PACING_H
#define MRP_NET_PACING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lane; /* one per host, and one per host and API; lives as long as the engine */

struct pacing {
    struct lane *lanes;
    unsigned per_host;
    unsigned total;
    unsigned inflight;
    uint64_t bytes_per_s; /* 0: no limit */
    double bytes;         /* what may flow now */
    int64_t filled_ms;
};

struct slot {
    struct lane *host;
    struct lane *api; /* NULL: the host's own window counts */
    bool held;
};

void pacing_init(struct pacing *p);
void pacing_done(struct pacing *p);

/** Find or make the lanes. 0 or -1: no memory. */
int pacing_lanes(struct slot *slot, struct pacing *p, const char *host, const char *api);
/** 0: go, the slot is held. Else when to ask again (INT64_MAX: after a release). */
int64_t pacing_admit(struct pacing *p, struct slot *slot, int64_t now_ms);
/** Requests to that host that are under way. */
unsigned pacing_inflight(const struct pacing *p, const char *host);
void pacing_release(struct pacing *p, struct slot *slot);
/** Hold it again without asking: a transfer goes on after a pause. */
void pacing_hold(struct pacing *p, struct slot *slot);
/** What came back: a throttled answer halves the window, others widen it. `wait_ms` > 0: the server
 * asked to wait so long. */
void pacing_answer(struct slot *slot, bool throttled, int64_t wait_ms, int64_t now_ms);

/** True if bytes may flow now. */
bool pacing_bandwidth(struct pacing *p, int64_t now_ms);
void pacing_spend(struct pacing *p, size_t bytes);
/** When bytes may flow again. */
int64_t pacing_bandwidth_due(const struct pacing *p, int64_t now_ms);

#endif
