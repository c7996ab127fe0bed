/* Measures the images that are being copied: bytes, blobs, rate and the time that is left. */
#include "meter.h"
#include "hub.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdio.h>
#include <string.h>

enum {
    SURE_MS = 500, /* before that a rate says nothing */
    TOLD_MS = 1000 /* an image that took less gets no line of its own */
};

static uint64_t rate_of(const struct meter *m, int64_t now_ms)
{
    int64_t ms = m->began_ms ? now_ms - m->began_ms : 0;
    return ms > 0 ? m->done_bytes * 1000 / (uint64_t)ms : 0;
}

const char *meter_text(char *buf, size_t len, const struct meter *m, int64_t now_ms)
{
    char done[32], total[32], rate[32], left[32];
    uint64_t per_s = rate_of(m, now_ms);
    bool sure = per_s && now_ms - m->began_ms >= SURE_MS;
    uint64_t rest = m->total_bytes > m->done_bytes ? m->total_bytes - m->done_bytes : 0;
    const char *slash = strrchr(m->name, '/');
    int n = snprintf(buf, len, "%.80s: %s of %s, %llu of %llu blobs", slash ? slash + 1 : m->name,
                     mrp_show_bytes(done, sizeof done, m->done_bytes),
                     mrp_show_bytes(total, sizeof total, m->total_bytes),
                     (unsigned long long)m->done_blobs, (unsigned long long)m->total_blobs);
    if (sure && n > 0 && (size_t)n < len)
        snprintf(buf + n, len - (size_t)n, ", %s/s, %s left",
                 mrp_show_bytes(rate, sizeof rate, per_s),
                 mrp_show_ms(left, sizeof left, (int64_t)(rest * 1000 / per_s)));
    return buf;
}

/* One image at a time is shown: until it is there, then another that moves. */
static void show(struct meter *m, struct hub *hub)
{
    if (!hub->shown)
        hub->shown = m;
    int64_t now_ms = mrp_now_ms();
    bool last = m->done_blobs == m->total_blobs;
    if (hub->shown == m && (last || now_ms - hub->shown_ms >= 100)) {
        hub->shown_ms = now_ms;
        meter_text(hub->what, sizeof hub->what, m, now_ms);
        hub->progress.what = hub->what;
    }
    mrp_progress(hub->stage, &hub->progress);
}

void meter_expect(struct meter *m, struct hub *hub, int64_t bytes, int64_t blobs)
{
    if (!m->began_ms)
        m->began_ms = mrp_now_ms();
    m->total_bytes += (uint64_t)bytes;
    m->total_blobs += (uint64_t)blobs;
    hub->progress.total_bytes += (uint64_t)bytes;
    hub->progress.total_items += (uint64_t)blobs;
}

void meter_move(struct meter *m, struct hub *hub, int64_t bytes, int64_t blobs)
{
    m->done_bytes += (uint64_t)bytes;
    m->done_blobs += (uint64_t)blobs;
    hub->progress.done_bytes += (uint64_t)bytes;
    hub->progress.done_items += (uint64_t)blobs;
    show(m, hub);
}

void meter_end(const struct meter *m, struct hub *hub, const char *digest)
{
    if (hub->shown == m)
        hub->shown = NULL;
    if (!m->began_ms || !digest)
        return;
    int64_t ms = mrp_now_ms() - m->began_ms;
    uint64_t per_s = rate_of(m, m->began_ms + ms);
    mrp_event(hub->stage, "image-copied",
              json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "image", m->name, "digest", digest,
                        "bytes", (json_int_t)m->done_bytes, "blobs", (json_int_t)m->done_blobs,
                        "ms", (json_int_t)ms, "bytes-per-second", (json_int_t)per_s));
    char bytes[32], took[32], rate[32];
    if (ms >= TOLD_MS)
        mrp_log(hub->stage, MRP_INFO, "%s: %s in %llu blobs, %s, %s/s", m->name,
                mrp_show_bytes(bytes, sizeof bytes, m->done_bytes),
                (unsigned long long)m->done_blobs, mrp_show_ms(took, sizeof took, ms),
                mrp_show_bytes(rate, sizeof rate, per_s));
}
