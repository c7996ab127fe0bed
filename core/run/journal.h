/** The journal of a run: every event is masked, written to events.jsonl and handed to the sinks. */
#ifndef MRP_RUN_JOURNAL_H
#define MRP_RUN_JOURNAL_H

#include "../base/events.h"
#include "mask.h"

#include <mrpipe/error.h>
#include <mrpipe/stage.h>

#include <stdint.h>

struct mrp_journal {
    const struct mrp_masker *masker;
    const struct mrp_sink *sinks;
    size_t sink_count;
    int fd;              /* events.jsonl; -1: none */
    struct mrp_buf text; /* not yet written */
    int64_t began_ms;    /* monotonic */
    int64_t ticked_ms;
    bool has_tick;
};

void mrp_journal_init(struct mrp_journal *journal,
                      const struct mrp_masker *masker,
                      const struct mrp_sink *sinks,
                      size_t sink_count);
int mrp_journal_open(struct mrp_journal *journal, const char *path, struct mrp_error *err);
void mrp_journal_flush(struct mrp_journal *journal);
void mrp_journal_tick(struct mrp_journal *journal);
void mrp_journal_done(struct mrp_journal *journal);

/** Send an event; `event` (with its members but "time" and "ms") is taken over. */
void mrp_journal_send(struct mrp_journal *journal, json_t *event);
/** {"event": type}; NULL: no memory, which mrp_journal_send and mrp_json_put accept. */
json_t *mrp_event_new(const char *type);
/** What the runner itself has to say. */
void mrp_note(struct mrp_journal *journal, enum mrp_level level, const char *fmt, ...)
    MRP_PRINTF(3, 4);

extern const char *const mrp_level_names[4];
/** A JSON string of bytes that may be no UTF-8: what is not becomes U+FFFD. */
json_t *mrp_clean_string(const char *text, size_t len);
json_t *mrp_error_json(const struct mrp_error *err);
/** The other way round, from a worker's frame. */
void mrp_error_from_json(struct mrp_error *err, const json_t *j);

#endif
