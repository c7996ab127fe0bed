/** The plan: stages after fan-out with their needs, in an order in which they can run. */
#ifndef MRP_RUN_PLAN_H
#define MRP_RUN_PLAN_H

#include "../spec/expr.h"
#include "../spec/spec.h"

#include <jansson.h>
#include <stdint.h>

struct mrp_task;

enum { MRP_NODES_MAX = 1000 };
#define MRP_NEED_PHASES ((size_t)-1) /* stands for the phases in a list of needs */

enum mrp_node_state { MRP_NODE_WAITING, MRP_NODE_RUNNING, MRP_NODE_RETRY, MRP_NODE_DONE };

struct mrp_node {
    const struct mrp_stage_spec *spec;
    char *id;      /* "images[us-east-1]" */
    char *key;     /* "us-east-1": the for-each values, ""  */
    json_t *each;  /* object: for-each name -> value; NULL */
    char *region;  /* NULL: known only when the stage starts */
    size_t *needs; /* indexes of nodes, or MRP_NEED_PHASES */
    size_t need_count;
    enum mrp_node_state state;
    const char *result; /* "changed", ...; static; NULL until it is done */
    json_t *outputs;    /* object */
    json_t *artifacts;  /* array of paths */
    char *fingerprint;  /* of its inputs; NULL until it starts */
    int attempts;
    int64_t retry_ms;      /* monotonic, of MRP_NODE_RETRY */
    int64_t began_ms;      /* monotonic */
    struct mrp_task *task; /* while it runs */
    bool blocked;          /* a need did not succeed */
    bool selected;         /* may run: --stage, --from */
    bool reused;           /* taken over from an earlier run */
    bool forced;           /* of --from: runs even if it is done */
};

struct mrp_plan {
    struct mrp_node *nodes; /* every need stands before its user */
    size_t count;
};

/** Where the names of expressions come from. */
struct mrp_names {
    const struct mrp_spec *spec;
    const struct mrp_plan *plan; /* NULL: stages are not known yet */
    char *const *env;            /* NULL: known after the phases */
    const char *run_id;          /* NULL: known after start */
    const char *source_version;
    const char *primary;
    const char *workdir;
    bool files_ready;
    bool planning; /* nothing is carried out: what a stage did not say is known after run */
};
/** One name for one node (which may be NULL). `arg` of the scope. */
struct mrp_names_of {
    const struct mrp_names *names;
    const struct mrp_node *node;
};
struct mrp_scope mrp_names_scope(struct mrp_names_of *of);
/** "NAME=value" list: the value or NULL. */
const char *mrp_env_get(char *const *env, const char *name);

/** Fan out, resolve needs, order. Problems of the file go to `diags` (then MRP_E_CONFIG). */
int mrp_plan_build(struct mrp_plan *out,
                   const struct mrp_spec *spec,
                   const struct mrp_names *names,
                   struct mrp_diags *diags,
                   struct mrp_error *err);
void mrp_plan_done(struct mrp_plan *plan);
/** Mark what --stage and --from select. `only` and `from` may be NULL. MRP_E_CONFIG: unknown id. */
int mrp_plan_select(struct mrp_plan *plan,
                    char *const *only,
                    const char *from,
                    struct mrp_error *err);
json_t *mrp_plan_json(const struct mrp_plan *plan);

#endif
