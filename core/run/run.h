/** Carrying out a spec: phases, stages, the run folder. One call per command of the tool; blocks
 * until the end. */
#ifndef MRP_RUN_RUN_H
#define MRP_RUN_RUN_H

#include "../base/events.h"
#include "../spec/spec.h"

#include <mrpipe/plugin.h>

#include <stdbool.h>

enum mrp_mode { MRP_MODE_RUN, MRP_MODE_PLAN, MRP_MODE_VERIFY };

struct mrp_run_options {
    enum mrp_mode mode;
    const char *workdir;          /* absolute: CODEBUILD_SRC_DIR */
    const char *resume;           /* run id or "last"; NULL */
    const char *from_stage;       /* --from; NULL */
    char *const *only;            /* --stage ids; NULL: all */
    bool skip_phases;             /* --no-phases */
    bool in_process;              /* a stage in the runner, for a debugger */
    bool with_stdin;              /* stages get the runner's standard input */
    int jobs;                     /* 0: the spec's, else the default */
    const char *debug;            /* topics; NULL */
    char *const *plugin_dirs;     /* --plugin-dir, NULL-terminated or NULL */
    char *const *env;             /* extra "NAME=value" of --env; NULL-terminated or NULL */
    const char *command_line;     /* how to run it again, for the failure card */
    const struct mrp_sink *sinks; /* besides events.jsonl */
    size_t sink_count;
};

/** Exit codes of the tool (spec.md). */
enum mrp_exit {
    MRP_EXIT_OK = 0,
    MRP_EXIT_FAILED = 1,
    MRP_EXIT_USAGE = 2,
    MRP_EXIT_SPEC = 3,
    MRP_EXIT_PLUGIN = 4,
    MRP_EXIT_AUTH = 5,
    MRP_EXIT_NET = 6,
    MRP_EXIT_TIMEOUT = 7,
    MRP_EXIT_ARTIFACT = 8
};

/**
 * Run, plan or verify. Problems found before anything starts (unknown plugin, wrong options,
 * unknown references) go to `diags` with their place. Everything else is told through events.
 * @return the exit code of the process (enum mrp_exit, or 128 + signal)
 */
int mrp_run(struct mrp_spec *spec,
            const struct mrp_run_options *options,
            struct mrp_diags *diags,
            struct mrp_error *err);

/** Only the checks that mrp_run makes before it starts: plugins load, options fit, references
 * resolve, graph has no cycle; `sh -n` of commands. */
int mrp_run_check(struct mrp_spec *spec,
                  const struct mrp_run_options *options,
                  struct mrp_diags *diags,
                  struct mrp_error *err);

/** The stages in order with their needs after fan-out, as JSON for `graph` and `plan`: [{id, uses,
 * region, needs:[]}]. Owned. */
int mrp_run_graph(json_t **out,
                  struct mrp_spec *spec,
                  const struct mrp_run_options *options,
                  struct mrp_diags *diags,
                  struct mrp_error *err);

/* ---- plugins, for `plugins`, `help`, `schema`, completion ---- */
struct mrp_plugin_file {
    char *path;
    const struct mrp_plugin *plugin; /* NULL: failed to load */
    char *cause;                     /* why it failed or was refused; NULL */
    bool shadowed;
    void *handle;
};
struct mrp_plugins {
    struct mrp_plugin_file *list;
    size_t count;
};
/** The installed plugin folder: beside the running program, so that a moved installation works,
 * else as configured. Owned; NULL: no memory. */
char *mrp_plugins_home(void);
/** Find and load all plugins of the search path. Never fails as a whole except for memory; call
 * mrp_plugins_done. Run it in a process that does not go on to run stages (or in a forked child):
 * it maps plugin code. */
int mrp_plugins_scan(struct mrp_plugins *out,
                     char *const *dirs,
                     struct mrp_error *err) MRP_NODISCARD;
void mrp_plugins_done(struct mrp_plugins *plugins);
const struct mrp_action *mrp_plugins_action(const struct mrp_plugins *plugins,
                                            const char *uses); /* NULL: none */

/* ---- run folders, for `report` ---- */
/** Absolute path of a run's folder under workdir/.mrpipe/runs ("last" or an id). Owned. */
int mrp_run_folder(char **out, const char *workdir, const char *id, struct mrp_error *err)
    MRP_NODISCARD;

#endif
