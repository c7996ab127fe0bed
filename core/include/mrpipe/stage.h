/**
 * What an action sees of the run: its stage, regions, folders, and the ways to speak to the runner.
 *
 * A stage lives in its own worker process. Everything said here (log, progress, events, outputs)
 * becomes one JSON object per line to the runner, which masks secrets, stores and shows it. Calls
 * do not fail and do not block longer than the runner needs to read; a broken connection ends the
 * worker.
 */
#ifndef MRPIPE_STAGE_H
#define MRPIPE_STAGE_H

#include <mrpipe/error.h>

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct mrp_stage;

/** What plan, run and verify found. For verify CHANGED means that the sides differ. */
enum mrp_result { MRP_UNCHANGED = 0, MRP_CHANGED = 1 };

enum mrp_level { MRP_DEBUG, MRP_INFO, MRP_WARN, MRP_ERROR };

/* ---- facts; all strings are borrowed and live as long as the stage ---- */
MRP_EXPORT const char *mrp_stage_id(const struct mrp_stage *stage); /* "images[us-east-1]" */
MRP_EXPORT const char *mrp_stage_run_id(const struct mrp_stage *stage);
MRP_EXPORT const char *
mrp_stage_region(const struct mrp_stage *stage); /* the stage's region; "" if none is known */
MRP_EXPORT const char *mrp_stage_primary(const struct mrp_stage *stage); /* "" if none */
MRP_EXPORT char *const *
mrp_stage_secondaries(const struct mrp_stage *stage); /* NULL-terminated, may be empty */
MRP_EXPORT const char *
mrp_stage_workdir(const struct mrp_stage *stage); /* CODEBUILD_SRC_DIR, absolute */
MRP_EXPORT const char *
mrp_stage_rundir(const struct mrp_stage *stage); /* this run's folder, absolute */
MRP_EXPORT const char *mrp_stage_role_arn(const struct mrp_stage *stage); /* "" if none */
MRP_EXPORT bool mrp_stage_dry_run(const struct mrp_stage *stage); /* plan: nothing may be written */
MRP_EXPORT bool mrp_stage_debug(const struct mrp_stage *stage,
                                const char *topic); /* --debug=TOPIC */
/** A variable of the build environment as the phases left it (then the stage's own env), or NULL.
 */
MRP_EXPORT const char *mrp_stage_env(const struct mrp_stage *stage, const char *name);
/** The `endpoints:` map of the spec (host pattern or service -> URL); an object, maybe empty.
 * Borrowed. */
MRP_EXPORT const json_t *mrp_stage_endpoints(const struct mrp_stage *stage);
/** The buildspec's `artifacts:` block as JSON, with "added-files": paths that earlier stages added.
 * Borrowed, an object. */
MRP_EXPORT const json_t *mrp_stage_artifacts(const struct mrp_stage *stage);

/** True once the run is being stopped (SIGTERM, timeout): finish or undo quickly and return
 * MRP_E_CANCELLED. */
MRP_EXPORT bool mrp_stage_cancelled(const struct mrp_stage *stage);

/** `path` against the work directory. Owned. MRP_E_CONFIG if a relative path leaves it; absolute
 * paths are allowed. */
MRP_EXPORT int mrp_stage_path(char **out,
                              const struct mrp_stage *stage,
                              const char *path,
                              struct mrp_error *err) MRP_NODISCARD;

/* ---- speaking ---- */
MRP_EXPORT void mrp_log(struct mrp_stage *stage, enum mrp_level level, const char *fmt, ...)
    MRP_PRINTF(3, 4);

/** One change that is made (run) or would be made (plan): "create repository core in us-east-1". */
MRP_EXPORT void mrp_change(struct mrp_stage *stage, const char *fmt, ...) MRP_PRINTF(2, 3);

/** A fact for events.jsonl; `fields` (an object or NULL) is taken over. Names: lower-case-dashed.
 */
MRP_EXPORT void mrp_event(struct mrp_stage *stage, const char *name, json_t *fields);

struct mrp_progress {
    const char *what;     /* "core:1.4" or NULL */
    uint64_t done_bytes;  /* of the whole stage so far */
    uint64_t total_bytes; /* 0: unknown */
    uint64_t done_items;
    uint64_t total_items; /* 0: unknown */
    const char *unit;     /* of items: "blobs", "refs"; NULL: none */
};
/** May be called as often as wished: at most ten a second are sent, and the last one always is at
 * the end. */
MRP_EXPORT void mrp_progress(struct mrp_stage *stage, const struct mrp_progress *progress);

/** Counters shown in the summary and the report: "bytes", "requests", "retries", ... */
MRP_EXPORT void mrp_count(struct mrp_stage *stage, const char *name, int64_t delta);

/** From now on the value appears nowhere in what leaves the run. Short values (under 4 bytes) are
 * ignored. */
MRP_EXPORT void mrp_secret(struct mrp_stage *stage, const char *value);

/** Set an output declared in the action's table; `value` is taken over. MRP_E_BUG if it is not
 * declared. */
MRP_EXPORT int
mrp_output(struct mrp_stage *stage, const char *name, json_t *value, struct mrp_error *err);

/** Add a file (relative to the work directory) to the run's artifacts. */
MRP_EXPORT void mrp_add_artifact(struct mrp_stage *stage, const char *path);

#endif
