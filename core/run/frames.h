/** What a worker says: frames turned into events, and the callbacks for outputs and artifacts. */
#ifndef MRP_RUN_FRAMES_H
#define MRP_RUN_FRAMES_H

#include "journal.h"

struct mrp_frames {
    struct mrp_journal *journal;
    struct mrp_masker *masker;
    const char *id; /* of the stage; borrowed */
    bool quiet;     /* no events: the runner's own use */
    void (*on_output)(void *arg, const char *name, const json_t *value);
    void (*on_artifact)(void *arg, const char *path); /* may be NULL */
    void (*on_text)(void *arg, const char *masked);   /* of log and change frames */
    void *arg;
    void *text_arg;
    json_t *counts; /* sums of the count frames */
    json_t *result; /* the result frame; NULL so far */
    char *garbage;  /* the beginning of what was no frame; NULL: none */
};

/** The members up to text_arg are the caller's. 0 or MRP_E_NOMEM. */
int mrp_frames_init(struct mrp_frames *frames);
void mrp_frames_done(struct mrp_frames *frames);
/** Take one line of a hostile worker; false: it is no frame (then nothing is believed any more). */
bool mrp_frames_take(struct mrp_frames *frames, const char *json, size_t len);
/** Send an event of this stage, unless quiet; `event` is taken over. */
void mrp_frames_send(const struct mrp_frames *frames, json_t *event);
json_t *mrp_frames_event(const struct mrp_frames *frames, const char *type);

#endif
