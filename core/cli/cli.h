/** The command line: arguments as parsed from one table of options, and the table of commands. */
#ifndef MRP_CLI_CLI_H
#define MRP_CLI_CLI_H

#include "../run/run.h"
#include "../spec/spec.h"
#include "../ui/ui.h"

#include <mrpipe/buf.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What the options of the command line said. Lists are NULL-terminated or NULL; strings are
 * borrowed from argv. */
struct mrp_cli_args {
    const char *dir;
    const char *sidecar;
    const char *resume;
    const char *from;
    const char *region;
    const char *debug;
    const char *id;
    char **to;
    char **maps;
    char **stages;
    char **env;
    char **plugin_dirs;
    bool has_resume;
    bool no_phases;
    bool dry_run;
    bool in_process;
    bool with_stdin; /* no option: `do` hands its standard input on */
    bool quiet;
    bool verbose;
    bool dot;
    bool man;
    bool help;
    bool version;
    int64_t jobs;
    int log_format; /* enum mrp_log_format */
    int color;      /* index of auto, always, never */
    char **operands;
    size_t operand_count;
    char *command_line; /* how to run this again, quoted for a shell; owned */
};

enum mrp_cli_id {
    MRP_CLI_RUN,
    MRP_CLI_PLAN,
    MRP_CLI_VALIDATE,
    MRP_CLI_VERIFY,
    MRP_CLI_DO,
    MRP_CLI_INIT,
    MRP_CLI_GRAPH,
    MRP_CLI_REPORT,
    MRP_CLI_PLUGINS,
    MRP_CLI_HELP,
    MRP_CLI_SCHEMA,
    MRP_CLI_DOCTOR,
    MRP_CLI_NEW_PLUGIN,
    MRP_CLI_COMPLETION,
    MRP_CLI_COMMANDS
};

struct mrp_cli_command {
    const char *name;
    const char *operands; /* "[FILE]" */
    const char *summary;
    const char *doc;                             /* paragraphs for help and the manual page */
    size_t min, max;                             /* operands */
    int (*run)(const struct mrp_cli_args *args); /* returns the exit code */
};
extern const struct mrp_cli_command mrp_cli_commands[MRP_CLI_COMMANDS];

enum mrp_cli_kind {
    MRP_CLI_FLAG,
    MRP_CLI_TEXT,
    MRP_CLI_OPTIONAL, /* text that may be left out: --resume[=ID] */
    MRP_CLI_LIST,
    MRP_CLI_NUMBER,
    MRP_CLI_CHOICE
};

struct mrp_cli_option {
    const char *name;
    char letter; /* 0: none */
    enum mrp_cli_kind kind;
    size_t offset;          /* of the field in struct mrp_cli_args */
    const char *arg;        /* "DIR" */
    const char *help;       /* one line */
    unsigned commands;      /* bit set of enum mrp_cli_id */
    const char *choices[6]; /* of a choice */
};
extern const struct mrp_cli_option mrp_cli_options[];
extern const size_t mrp_cli_option_count;

/** Parse argv. *command is set (MRP_CLI_COMMANDS: none was given). 0 or MRP_E_CONFIG with the
 * problem and a hint. */
int mrp_cli_parse(struct mrp_cli_args *args,
                  enum mrp_cli_id *command,
                  int argc,
                  char **argv,
                  struct mrp_error *err) MRP_NODISCARD;
void mrp_cli_args_done(struct mrp_cli_args *args);

/* ---- print.c: words to the user ---- */
bool mrp_cli_color(const struct mrp_cli_args *args, FILE *f);
/** "mrpipe: MESSAGE" and the hint to standard error; the exit code that fits the error. */
int mrp_cli_fail(const struct mrp_cli_args *args, const struct mrp_error *err);
int mrp_cli_exit(int code); /* enum mrp_code -> enum mrp_exit */
/** All problems of a spec to standard error. */
void mrp_cli_diags(const struct mrp_cli_args *args, const struct mrp_diags *diags);
/** Write a buffer to standard output and free it. */
int mrp_cli_put(struct mrp_buf *out);
/** Columns that help texts may take. */
size_t mrp_cli_width(void);

/* ---- load.c: from arguments to a spec and run options ---- */
/** The spec of the first operand (or buildspec.yml), with derived stages for --to. */
int mrp_cli_load(struct mrp_spec **out,
                 struct mrp_diags *diags,
                 const struct mrp_cli_args *args,
                 struct mrp_error *err) MRP_NODISCARD;
/** Are --region and --to names of regions? */
int mrp_cli_check_regions(const struct mrp_cli_args *args, struct mrp_error *err) MRP_NODISCARD;
const char *mrp_cli_spec_path(const struct mrp_cli_args *args);
/** The absolute work directory. Owned. */
int mrp_cli_workdir(char **out, struct mrp_error *err) MRP_NODISCARD;
/** AWS_REGION or AWS_DEFAULT_REGION; NULL: none. */
const char *mrp_cli_env_region(void);

/* ---- ask.c: carry out a spec with a display ---- */
/** Run, plan or verify `spec` and show it; returns the exit code. Prints the problems. */
int mrp_cli_carry_out(struct mrp_spec *spec, enum mrp_mode mode, const struct mrp_cli_args *args);
/** Load the spec of the operands, then carry it out. */
int mrp_cli_load_and(enum mrp_mode mode, const struct mrp_cli_args *args);
struct mrp_run_options
mrp_cli_run_options(enum mrp_mode mode, const struct mrp_cli_args *args, const char *workdir);

/* ---- describe.c: help of commands and actions, from their tables ---- */
void mrp_cli_describe_command(struct mrp_buf *out, enum mrp_cli_id id, bool color);
void mrp_cli_describe_action(struct mrp_buf *out,
                             const struct mrp_plugin *plugin,
                             const struct mrp_action *action,
                             bool color);
void mrp_cli_describe_plugin(struct mrp_buf *out, const struct mrp_plugin_file *file, bool color);
/** Short help: what it is, the commands, three examples. */
void mrp_cli_overview(struct mrp_buf *out, bool color);
/** "--to REGION" as help prints it; owned. */
char *mrp_cli_option_form(const struct mrp_cli_option *option);
/** The commands and options as mdoc, for the manual page. */
void mrp_cli_manual(struct mrp_buf *out);
/** The nth action of a plugin, whatever size its struct has; NULL: no more. */
const struct mrp_action *mrp_cli_action(const struct mrp_plugin *plugin, size_t n);

/* ---- one for each command ---- */
int mrp_cli_run(const struct mrp_cli_args *args);
int mrp_cli_plan(const struct mrp_cli_args *args);
int mrp_cli_validate(const struct mrp_cli_args *args);
int mrp_cli_verify(const struct mrp_cli_args *args);
int mrp_cli_do(const struct mrp_cli_args *args);
int mrp_cli_init(const struct mrp_cli_args *args);
int mrp_cli_graph(const struct mrp_cli_args *args);
int mrp_cli_report(const struct mrp_cli_args *args);
int mrp_cli_plugins(const struct mrp_cli_args *args);
int mrp_cli_help(const struct mrp_cli_args *args);
int mrp_cli_schema(const struct mrp_cli_args *args);
int mrp_cli_doctor(const struct mrp_cli_args *args);
int mrp_cli_new_plugin(const struct mrp_cli_args *args);
int mrp_cli_completion(const struct mrp_cli_args *args);

#endif
