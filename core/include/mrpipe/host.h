/** The runner's side of a stage: how a worker makes the `struct mrp_stage` that an action sees.
 * Used by the runner and by tests that call an action directly; plugins do not need it. */
#ifndef MRPIPE_HOST_H
#define MRPIPE_HOST_H

#include <mrpipe/plugin.h>
#include <mrpipe/stage.h>

#include <jansson.h>
#include <signal.h>
#include <stddef.h>

/** All pointers are borrowed and must outlive the stage. */
struct mrp_stage_init {
    const char *id;
    const char *run_id;
    const char *region;
    const char *primary;
    char *const *secondaries;
    const char *workdir;
    const char *rundir;
    const char *role_arn;
    const char *debug; /* comma-separated topics; NULL: none */
    char *const *env;  /* "NAME=value", NULL-terminated; NULL: the process's environment */
    const json_t *endpoints;
    const json_t *artifacts;
    const struct mrp_output_info *outputs; /* declared outputs; NULL: none */
    bool dry_run;
    const volatile sig_atomic_t *cancelled; /* set by the worker's SIGTERM handler; NULL: never */
    /** One frame: a compact JSON object without the line end. Types ("type" member):
     *    log {level,text}  change {text}  event {name,fields}  progress
     * {what,bytes,total-bytes,items,total-items,unit} count {name,delta}  secret {value}  output
     * {name,value}  artifact {path} */
    void (*emit)(void *arg, const char *json, size_t len);
    void *arg;
};

MRP_EXPORT struct mrp_stage *mrp_stage_new(const struct mrp_stage_init *init); /* NULL: no memory */
MRP_EXPORT void mrp_stage_free(struct mrp_stage *stage); /* sends pending progress */

#endif
