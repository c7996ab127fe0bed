/* A lane is one destination of one source: its refs, its plan, and how it went. */
#ifndef CODECOMMIT_LANE_H
#define CODECOMMIT_LANE_H

#include "end.h"

/** An update that the destination (or our own policy) will not take. Owned strings. */
struct mrp_refusal {
    char *name;
    char *words;
    struct mrp_oid old, now;
};

struct mrp_lane {
    struct mrp_end *end;
    struct mrp_refs refs;
    struct mrp_plan plan;
    struct mrp_oids haves; /* sorted: what the destination has, with the tips of earlier batches */
    bool listed;
    bool created;        /* the repository was made by this run */
    bool was_empty;      /* it had no refs before */
    bool branches_moved; /* a branch was created or deleted: the default branch may need a look */
    bool over;           /* nothing more to do */
    bool failed;         /* err says why */
    bool no_thin;        /* it refused a thin pack */
    bool unpack_failed;
    bool retry_source; /* the failure was the source's */
    bool head_set;     /* the default branch was changed */
    struct mrp_error err;
    struct mrp_refusal *refused;
    size_t refused_count;
    size_t ref_creates, ref_updates, ref_deletes, unchanged;
    uint64_t bytes;
    unsigned pushes;
    int64_t began_ms, ended_ms;
    char **names; /* some of the refs that changed, for the event: "create refs/heads/x" */
};

void mrp_lane_done(struct mrp_lane *lane);
/** Add to lane->refused. */
int mrp_lane_refuse(struct mrp_lane *lane,
                    const struct mrp_update *u,
                    const char *words,
                    struct mrp_error *err);

struct mrp_relay {
    struct mrp_session *session;
    struct mrp_end *source;
    const struct mrp_refs *refs; /* the source's */
    size_t batch;                /* updates in one push */
    bool atomic;
    uint64_t source_bytes; /* filled */
    uint64_t lfs;          /* filled */
    bool source_failed;    /* filled: what failed was the source, not the lanes */
};

/** Carry out the plans of lanes that need the same pack. Failures are in the lanes. */
void mrp_relay_run(struct mrp_relay *relay, struct mrp_lane **lanes, size_t count);
/** Can both be fed by one read of the source? */
bool mrp_lanes_share(const struct mrp_lane *a, const struct mrp_lane *b);

#endif
