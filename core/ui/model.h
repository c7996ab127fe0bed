/** What the display knows of a run, gathered from its events. */
#ifndef MRP_UI_MODEL_H
#define MRP_UI_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mrp_ui_state { MRP_UI_WAITING, MRP_UI_RUNNING, MRP_UI_ENDED };

/** A stage, or a phase. Strings are owned; "" or NULL when unknown. */
struct mrp_ui_node {
    char *id;
    char *uses;
    char *region;
    char *result; /* as in the events; NULL: not ended */
    char *reason;
    enum mrp_ui_state state;
    bool phase;
    int64_t ms;
    int64_t attempts;
    int64_t bytes;
    int64_t requests;
    int64_t commands; /* of a phase: started so far */
    int64_t status;   /* of a phase's last command: exit status, or 128 + signal */
    int64_t started;  /* on the display's clock */
    int64_t wall;     /* time of its first start, ms since 1970; 0: unknown */
    int64_t heard;    /* when it last had a line in the log */
    char *what;       /* progress: of what; the command of a phase */
    char *unit;
    uint64_t done_bytes, total_bytes, done_items, total_items;
};

struct mrp_ui_model {
    struct mrp_ui_node *nodes;
    size_t count;
    json_t *failures;  /* array of failure events */
    json_t *artifacts; /* array of paths */
    char *run, *spec, *dir, *rundir;
    char *result; /* of the run; NULL: not ended */
    int64_t ms;
    int64_t began; /* on the display's clock */
    int64_t wall;  /* of run-started, ms since 1970; 0: unknown */
};

/** A phase without commands: CodeBuild enters it all the same, a reader need not see it. */
bool mrp_ui_model_empty(const struct mrp_ui_node *node);
/** Take in one event; `now` is the display's clock in ms. */
void mrp_ui_model_event(struct mrp_ui_model *model, const json_t *event, int64_t now);
/** The stage or phase with this name, or NULL. */
struct mrp_ui_node *mrp_ui_model_find(struct mrp_ui_model *model, const char *id, bool phase);
/** The stage or phase that an event speaks of, or NULL. */
struct mrp_ui_node *mrp_ui_model_node(struct mrp_ui_model *model, const json_t *event);
void mrp_ui_model_done(struct mrp_ui_model *model);

#endif
