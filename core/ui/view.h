/** Inside of the UI: one struct mrp_ui with a way to write lines. */
#ifndef MRP_UI_VIEW_H
#define MRP_UI_VIEW_H

#include "columns.h"
#include "model.h"
#include "ui.h"

#include <mrpipe/buf.h>

#define MRP_UI_LIVE_MAX 12

/** What is on the screen below the log. */
struct mrp_ui_live {
    bool on;
    size_t widths[MRP_UI_LIVE_MAX]; /* columns of each line drawn */
    size_t count;
    int64_t drawn;       /* when, on the clock */
    size_t columns;      /* of the terminal then */
    struct mrp_buf body; /* the lines as written: what is the same is not drawn again */
};

struct mrp_ui {
    struct mrp_ui_options options;
    enum mrp_log_format format;
    struct mrp_ui_model model;
    struct mrp_buf lines; /* finished lines that are not written yet */
    struct mrp_ui_live live;
    int64_t (*clock)(void); /* monotonic ms */
    bool utf8;              /* bars may use block characters */
    bool output_seen;       /* of the running command, for CodeBuild's blank line */
    int64_t checked;        /* when the heartbeat last looked */
};

/** As mrp_ui_new with another clock. */
struct mrp_ui *mrp_ui_new_clock(const struct mrp_ui_options *options, int64_t (*clock)(void));

/** Append the lines that an event is worth in the plain and live formats. */
void mrp_ui_story(struct mrp_ui *ui, const json_t *event);
/** Append a line for each stage that has been silent for 30 s. */
void mrp_ui_heartbeat(struct mrp_ui *ui, int64_t now);
/** Append the lines of CodeBuild's log format. */
void mrp_ui_codebuild(struct mrp_ui *ui, const json_t *event);

/** Append the table of stages, the failure cards and the closing line. */
void mrp_ui_summary(struct mrp_buf *out,
                    const struct mrp_ui_model *model,
                    bool color,
                    const char *mode);
/** Append one failure card. */
void mrp_ui_card(struct mrp_buf *out, const json_t *failure, bool color);
/** "SIGKILL" where the event names a signal, else NULL. The caller frees it. */
char *mrp_ui_signal(const json_t *event);
/** "changed" as the user reads it in this mode. */
const char *mrp_ui_result_word(const char *result, const char *mode);
enum mrp_ui_style mrp_ui_result_style(const char *result);

/** Write pending lines and draw the live lines again. */
void mrp_ui_live_draw(struct mrp_ui *ui, int64_t now);
/** Write pending lines and leave no live line on the screen. */
void mrp_ui_live_erase(struct mrp_ui *ui);

#endif
