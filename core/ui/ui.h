/** What a run looks like: sinks for events, the summary, the failure card. Writes to standard
 * output or error, never fails a run. */
#ifndef MRP_UI_UI_H
#define MRP_UI_UI_H

#include "../base/events.h"

#include <mrpipe/error.h>

#include <stdbool.h>
#include <stdio.h>

struct mrp_spec;

enum mrp_log_format { MRP_LOG_AUTO, MRP_LOG_PLAIN, MRP_LOG_JSON, MRP_LOG_CODEBUILD };

struct mrp_ui_options {
    enum mrp_log_format
        format;   /* AUTO: live lines on a terminal, plain elsewhere or when CI is set */
    bool color;   /* from mrp_ui_color */
    bool verbose; /* debug log lines */
    bool quiet;   /* only failures and the summary */
    FILE *out;
    const char *mode;            /* "run", "plan", "verify": how results are worded; NULL: run */
    const struct mrp_spec *spec; /* borrowed: what CodeBuild's log counts; NULL: not counted */
};

struct mrp_ui;
struct mrp_ui *mrp_ui_new(const struct mrp_ui_options *options); /* NULL: no memory */
struct mrp_sink mrp_ui_sink(struct mrp_ui *ui);
void mrp_ui_free(struct mrp_ui **ui); /* erases live lines */

/** True if `f` is a terminal, NO_COLOR is unset and TERM is not dumb. */
bool mrp_ui_color(FILE *f);

/** The report of a finished run from its events.jsonl: summary table and failure cards as text.
 * Owned; NULL: unreadable. */
char *mrp_ui_report(const char *events_path, bool color);

/** Hand the events of a finished run to a sink again, in order. 0, MRP_E_IO, MRP_E_CONFIG (no
 * events file). */
int mrp_ui_replay(const char *events_path, const struct mrp_sink *sink, struct mrp_error *err);

#endif
