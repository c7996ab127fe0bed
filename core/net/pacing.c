/* Adaptive windows (additive increase, halved on a throttled answer), token buckets, bandwidth. */
#include "pacing.h"

#include <mrpipe/attrs.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define EPOCH_MS 100 /* a burst of refusals halves the window once */

struct lane {
    struct lane *next;
    char *name;
    unsigned inflight;
    double window; /* requests at once that the server bears */
    int64_t halved_ms;
    int64_t closed_until_ms; /* Retry-After */
    double rate;             /* requests a second; 0: no bucket */
    double burst;
    double tokens;
    int64_t filled_ms;
};

/* Four fifths of what AWS publishes per account and region, so that others get some too. */
static const struct {
    const char *api;
    double rate;
    double burst;
} rates[] = {
    {"ecr:PutImage", 8, 10},
    {"ecr:InitiateLayerUpload", 80, 20},
    {"ecr:CompleteLayerUpload", 80, 20},
    {"ecr:UploadLayerPart", 400, 50},
};

void pacing_init(struct pacing *p)
{
    *p = (struct pacing){.per_host = 128, .total = 512};
}

void pacing_done(struct pacing *p)
{
    while (p->lanes) {
        struct lane *lane = p->lanes;
        p->lanes = lane->next;
        free(lane->name);
        free(lane);
    }
}

static struct lane *lane_get(struct pacing *p, const char *host, const char *api)
{
    char name[400];
    mrp_copy(name, 300, host);
    if (api) {
        size_t n = strlen(name);
        name[n] = ' ';
        mrp_copy(name + n + 1, sizeof name - n - 1, api);
    }
    for (struct lane *lane = p->lanes; lane; lane = lane->next)
        if (strcmp(lane->name, name) == 0)
            return lane;
    struct lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->name = mrp_strdup(name);
    if (!lane->name) {
        free(lane);
        return NULL;
    }
    lane->window = p->per_host;
    for (size_t i = 0; api && i < MRP_COUNT(rates); i++) {
        if (strcmp(rates[i].api, api) == 0) {
            lane->rate = rates[i].rate;
            lane->burst = rates[i].burst;
            lane->tokens = lane->burst;
        }
    }
    lane->next = p->lanes;
    p->lanes = lane;
    return lane;
}

int pacing_lanes(struct slot *slot, struct pacing *p, const char *host, const char *api)
{
    slot->host = lane_get(p, host, NULL);
    slot->api = api ? lane_get(p, host, api) : NULL;
    return slot->host && (!api || slot->api) ? 0 : -1;
}

unsigned pacing_inflight(const struct pacing *p, const char *host)
{
    for (const struct lane *lane = p->lanes; lane; lane = lane->next)
        if (strcmp(lane->name, host) == 0)
            return lane->inflight;
    return 0;
}

/* When the lane lets one more through: 0 now. */
static int64_t lane_due(struct lane *lane, double limit, int64_t now_ms)
{
    if (lane->closed_until_ms > now_ms)
        return lane->closed_until_ms;
    if ((double)lane->inflight >= limit)
        return INT64_MAX;
    if (lane->rate <= 0)
        return 0;
    if (lane->filled_ms)
        lane->tokens += (double)(now_ms - lane->filled_ms) * lane->rate / 1000;
    lane->filled_ms = now_ms;
    if (lane->tokens > lane->burst)
        lane->tokens = lane->burst;
    if (lane->tokens >= 1)
        return 0;
    return now_ms + 1 + (int64_t)((1 - lane->tokens) * 1000 / lane->rate);
}

static double limit_of(const struct pacing *p, const struct lane *lane, bool adaptive)
{
    double limit = (double)p->per_host;
    double window = lane->window < 1 ? 1 : lane->window;
    return adaptive && window < limit ? window : limit;
}

void pacing_hold(struct pacing *p, struct slot *slot)
{
    if (slot->held)
        return;
    slot->held = true;
    slot->host->inflight++;
    if (slot->api)
        slot->api->inflight++;
    p->inflight++;
}

int64_t pacing_admit(struct pacing *p, struct slot *slot, int64_t now_ms)
{
    if (p->inflight >= p->total)
        return INT64_MAX;
    int64_t due = lane_due(slot->host, limit_of(p, slot->host, !slot->api), now_ms);
    if (due == 0 && slot->api)
        due = lane_due(slot->api, limit_of(p, slot->api, true), now_ms);
    if (due)
        return due;
    struct lane *paid = slot->api ? slot->api : slot->host;
    if (paid->rate > 0)
        paid->tokens -= 1;
    pacing_hold(p, slot);
    return 0;
}

void pacing_release(struct pacing *p, struct slot *slot)
{
    if (!slot->held)
        return;
    slot->held = false;
    slot->host->inflight--;
    if (slot->api)
        slot->api->inflight--;
    p->inflight--;
}

void pacing_answer(struct slot *slot, bool throttled, int64_t wait_ms, int64_t now_ms)
{
    struct lane *lane = slot->api ? slot->api : slot->host;
    if (!lane)
        return;
    if (!throttled) {
        lane->window += 1 / (lane->window < 1 ? 1 : lane->window);
        return;
    }
    if (wait_ms > 0 && now_ms + wait_ms > lane->closed_until_ms)
        lane->closed_until_ms = now_ms + wait_ms;
    if (now_ms - lane->halved_ms < EPOCH_MS && lane->halved_ms)
        return;
    lane->halved_ms = now_ms;
    double busy = (double)lane->inflight + 1; /* the window may be far above what is in use */
    double from = lane->window < busy ? lane->window : busy;
    lane->window = from / 2 < 1 ? 1 : from / 2;
}

static void refill(struct pacing *p, int64_t now_ms)
{
    double rate = (double)p->bytes_per_s;
    if (p->filled_ms)
        p->bytes += (double)(now_ms - p->filled_ms) * rate / 1000;
    p->filled_ms = now_ms;
    if (p->bytes > rate / 10)
        p->bytes = rate / 10; /* bursts of a tenth of a second */
}

bool pacing_bandwidth(struct pacing *p, int64_t now_ms)
{
    if (!p->bytes_per_s)
        return true;
    refill(p, now_ms);
    return p->bytes > 0;
}

void pacing_spend(struct pacing *p, size_t bytes)
{
    if (p->bytes_per_s)
        p->bytes -= (double)bytes;
}

int64_t pacing_bandwidth_due(const struct pacing *p, int64_t now_ms)
{
    if (!p->bytes_per_s || p->bytes > 0)
        return now_ms;
    return now_ms + 1 + (int64_t)(-p->bytes * 1000 / (double)p->bytes_per_s);
}
