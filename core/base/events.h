/**
 * The events of a run: every fact is one JSON object, handed to sinks (events.jsonl, terminal,
 * report) in order.
 *
 * Common members: "event" (type), "time" (ISO 8601 UTC with ms), "ms" (since the run began). Types
 * and their members:
 *
 *   run-started     run, spec, dir, rundir, source-version, phases (bool), stages [ids], resumed
 * (id or absent) note            level, text, [phase|stage]             what the runner itself has
 * to say phase-started   phase command-started phase, index (1-based), text, file, line
 *   command-ended   phase, index, exit, [signal], ms
 *   phase-ended     phase, result (succeeded|failed|skipped|cancelled), ms, attempts
 *   output          phase|stage, stream (stdout|stderr), text  one line, without the line end
 *   stage-started   stage, uses, region, attempt
 *   log             stage, level (debug|info|warn|error), text
 *   change          stage, text
 *   progress        stage, what, bytes, total-bytes, items, total-items, unit   (never stored)
 *   fact            stage, name, fields
 *   artifact        stage, path
 *   output-set      stage, name, value
 *   stage-ended     stage, uses, region, result (changed|unchanged|failed|skipped|cancelled), ms,
 * attempts, reason, counts {bytes, requests, retries, ...}, error {code, message, hint, api, file,
 * line} failure         the failure card: where (stage id or "phase build, command 3"), what,
 * [exit], [signal], [error], tail [lines], [file], [line], log (path), rerun (command line)
 *   run-ended       result (changed|unchanged|failed|cancelled), exit, ms, artifacts [paths]
 *
 * `plan` and `verify` send the same types.
 */
#ifndef MRP_BASE_EVENTS_H
#define MRP_BASE_EVENTS_H

#include <jansson.h>

/** Receives events, already masked. `event` is borrowed for the call. */
struct mrp_sink {
    void (*event)(void *arg, const json_t *event);
    /** Called when nothing happened for a moment (at most every 100 ms), for live display; may be
     * NULL. */
    void (*tick)(void *arg);
    void *arg;
};

#endif
