/** A task: one attempt of one action in a worker, with its frames, output and end. */
#ifndef MRP_RUN_TASK_H
#define MRP_RUN_TASK_H

#include "session.h"
#include "worker.h"

struct mrp_task;

/** How a task ended. Strings and JSON are borrowed for the call. */
struct mrp_task_end {
    const char *result;     /* "changed", "unchanged", "failed", "cancelled" */
    struct mrp_error error; /* of "failed" */
    bool load_failure;      /* the plugin could not be loaded in the worker */
    int exit;               /* -1: not by exit */
    int signal;             /* 0: none */
    const struct mrp_tail_lines *tail;
    const json_t *counts;
    const char *log;      /* path */
    struct mrp_mark mark; /* what of the spec is at fault; line 0: the stage */
};

struct mrp_task_init {
    struct mrp_session *s;
    const char *id; /* of the stage, for events and the log */
    bool quiet;     /* no events: the runner's own use */
    const struct mrp_used_plugin *plugin;
    const char *sha256; /* NULL */
    const char *action;
    enum mrp_mode mode;
    json_t *with; /* taken over */
    char **env;   /* taken over */
    const char *region;
    char *role_arn;     /* taken over; NULL */
    int64_t timeout_ms; /* 0: none */
    bool last;          /* no other task follows, except for another attempt */
    /** An output or artifact frame. */
    void (*on_output)(void *arg, const char *name, const json_t *value);
    void (*on_artifact)(void *arg, const char *path);
    void (*on_end)(void *arg, const struct mrp_task_end *end);
    void *arg;
};

/** Start; on failure everything taken over is freed and on_end is not called. The task frees itself
 * after on_end. */
int mrp_task_start(struct mrp_task **out, const struct mrp_task_init *init, struct mrp_error *err);
void mrp_task_stop(struct mrp_task *task);

#endif
