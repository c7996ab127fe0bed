/** The worker: one action of one plugin, in a process of its own. */
#ifndef MRP_RUN_WORKER_H
#define MRP_RUN_WORKER_H

#include "run.h"

#include <mrpipe/host.h>

/** All borrowed. */
struct mrp_work {
    const char *path;                /* of the plugin */
    const char *sha256;              /* NULL */
    const struct mrp_plugin *plugin; /* mapped already; NULL: `path` is to be mapped */
    const char *action;
    enum mrp_mode mode;
    const json_t *with;
    struct mrp_stage_init stage; /* emit, arg, outputs and cancelled are set by the worker */
    char *brief;                 /* what holds the texts of a work that came as bytes; NULL */
};

/** The body of a worker process: frames go to descriptor 3. `arg` is a struct mrp_work. */
void mrp_worker_main(void *arg);
/** The same in the calling process: frames go to `emit`, the last one is the result. */
void mrp_worker_do(const struct mrp_work *work,
                   void (*emit)(void *arg, const char *json, size_t len),
                   void *arg);
/** Size limits and manners of every child that runs foreign code: no core file. */
void mrp_worker_limits(void);

#endif
