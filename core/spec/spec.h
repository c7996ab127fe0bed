/**
 * A spec in memory: the buildspec as CodeBuild reads it, and the stages of the `mrpipe:` section.
 *
 * Scalars are kept as text. Everything belongs to the struct mrp_spec and lives until
 * mrp_spec_free.
 */
#ifndef MRP_SPEC_SPEC_H
#define MRP_SPEC_SPEC_H

#include <mrpipe/error.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mrp_source;

struct mrp_mark {
    int line; /* 1-based; 0: unknown */
    int col;  /* 1-based, in characters */
};

/** A problem or warning of the file; collected, sorted by place, printed by mrp_diags_print. */
struct mrp_diag {
    bool warning;
    char *file;
    struct mrp_mark mark;
    int width;     /* characters to underline; at least 1 */
    char *message; /* "unknown key `comands`" */
    char *hint;    /* "did you mean `commands`?"; NULL */
    char *source;  /* the line of the file, NULL if unknown */
};
struct mrp_diags {
    struct mrp_diag *list;
    size_t count;
    size_t errors;
    size_t warnings;
};
void mrp_diags_done(struct mrp_diags *diags);
/** printf-like; `hint` may be NULL. Keeps at most 100, then one last that says so. */
void mrp_diag_add(struct mrp_diags *diags,
                  bool warning,
                  const char *file,
                  struct mrp_mark mark,
                  int width,
                  const char *source,
                  const char *hint,
                  const char *fmt,
                  ...) MRP_PRINTF(8, 9);
/** "FILE:LINE:COL: error: ...", the line, the caret, the hint; owned text. `color` adds ANSI
 * colours. */
char *mrp_diags_text(const struct mrp_diags *diags, bool color);

enum mrp_phase { MRP_INSTALL, MRP_PRE_BUILD, MRP_BUILD, MRP_POST_BUILD, MRP_PHASES };
extern const char *const mrp_phase_names[MRP_PHASES + 1]; /* "install", ...; NULL-terminated */

struct mrp_command {
    char *text;
    struct mrp_mark mark;
};

enum mrp_on_failure {
    MRP_ABORT,
    MRP_CONTINUE,
    MRP_RETRY,
    MRP_NORMAL_FLOW /* no on-failure key: install and pre_build stop, build goes on to post_build */
};

struct mrp_phase_spec {
    bool present;
    struct mrp_mark mark;
    char *run_as; /* NULL */
    enum mrp_on_failure on_failure;
    int retries;         /* after the first try; of MRP_RETRY */
    char *retry_pattern; /* regular expression of RETRY-n-regex forms; NULL */
    struct mrp_command *commands;
    size_t command_count;
    struct mrp_command *finally;
    size_t finally_count;
};

/** One entry of env.variables, parameter-store or secrets-manager. */
struct mrp_pair {
    char *name;
    char *value;
    struct mrp_mark mark;
};
struct mrp_pairs {
    struct mrp_pair *list;
    size_t count;
};

/** A value of `with:` etc.: JSON with `${{ }}` still in its strings, and marks by JSON path
 * ("images", "waves[0][1]"). */
struct mrp_value {
    json_t *json; /* NULL: absent */
    struct mrp_mark mark;
    json_t *marks; /* object: path -> [line, col]; may be NULL */
};

struct mrp_stage_spec {
    char *id;
    char *uses; /* "ecr/copy" */
    char *plugin;
    char *action;
    struct mrp_mark mark, uses_mark;
    struct mrp_value with;
    char **needs; /* ids, implied and written; "build" stands for the phases. NULL-terminated, never
                     NULL */
    bool needs_given;
    struct mrp_value for_each; /* object: name -> list or expression; json NULL if absent */
    char *region;              /* text or expression; NULL: primary */
    char *condition;           /* `if`; NULL */
    struct mrp_mark condition_mark;
    int64_t timeout_ms; /* 0: none */
    int retries;
    bool continue_on_failure;
    char *role_arn; /* NULL */
    struct mrp_pairs env;
};

struct mrp_plugin_pin {
    char *name;
    char *version; /* NULL */
    char *sha256;  /* NULL */
    struct mrp_mark mark;
};

struct mrp_pipeline {
    bool present;
    char *primary;      /* NULL if not given */
    char **secondaries; /* NULL-terminated, never NULL when present */
    json_t *endpoints;  /* object, never NULL when present */
    struct mrp_plugin_pin *pins;
    size_t pin_count;
    int jobs; /* 0: default */
    struct mrp_stage_spec *stages;
    size_t stage_count;
};

struct mrp_spec {
    char *path;    /* as given */
    char *version; /* "0.2" */
    char *run_as;  /* NULL */
    char *shell;   /* env.shell, NULL: sh */
    struct mrp_pairs variables;
    struct mrp_pairs parameter_store;
    struct mrp_pairs secrets_manager; /* value: "id:json-key:stage:version" as written */
    char **exported;                  /* env.exported-variables; never NULL */
    bool git_credential_helper;
    bool has_phases;
    struct mrp_phase_spec phases[MRP_PHASES];
    json_t *artifacts; /* the block as an object of text, NULL if absent */
    struct mrp_mark artifacts_mark;
    json_t *cache;
    bool has_batch, has_reports;
    struct mrp_pipeline pipeline;
    struct mrp_source *source;  /* the file's text; for mrp_spec_line */
    struct mrp_source *sidecar; /* of `--with`; NULL: the stages stand in `source` */
};

/** Does it have the form of a region's name? */
bool mrp_spec_is_region(const char *s);

/**
 * Read a spec of at most 1 MiB. All problems go to `diags`; *out is set (owned) only when there is
 * no error.
 * @param path     "-" is standard input
 * @param sidecar  `--with FILE`, whose `mrpipe:` section (or whole document) is used; NULL
 * @return 0; MRP_E_CONFIG (see diags, err holds a summary); MRP_E_IO when the file cannot be read
 */
int mrp_spec_load(struct mrp_spec **out,
                  struct mrp_diags *diags,
                  const char *path,
                  const char *sidecar,
                  struct mrp_error *err) MRP_NODISCARD;
/** The same from memory; `path` names it in messages. */
int mrp_spec_parse(struct mrp_spec **out,
                   struct mrp_diags *diags,
                   const char *path,
                   const char *text,
                   size_t len,
                   struct mrp_error *err) MRP_NODISCARD;
/** The same for a text made of a command line: words[n] is what line n + 1 stands for ("": nothing
 * that was typed), and problems name it instead of a line that nobody has seen. NULL-terminated. */
int mrp_spec_parse_words(struct mrp_spec **out,
                         struct mrp_diags *diags,
                         const char *path,
                         const char *text,
                         size_t len,
                         char *const *words,
                         struct mrp_error *err) MRP_NODISCARD;
bool mrp_spec_is_words(const struct mrp_spec *spec);
/** The word behind a line (borrowed), or NULL. */
const char *mrp_spec_word(const struct mrp_spec *spec, int line);
void mrp_spec_free(struct mrp_spec **spec);

/** A place in the file of a `with:` path, for a problem found later (type check by the plugin's
 * table). */
struct mrp_mark mrp_value_mark(const struct mrp_value *value, const char *path);
/** The text of one line (1-based) of the loaded file; owned by the spec; NULL if unknown. */
const char *mrp_spec_line(const struct mrp_spec *spec, int line);

/** The file that marks of the `mrpipe:` section refer to: the sidecar, else the spec itself. */
const char *mrp_spec_stage_file(const struct mrp_spec *spec);
/** A problem with a place of the `mrpipe:` section, found after loading (types, references). `hint`
 * may be NULL. */
void mrp_spec_stage_problem(struct mrp_diags *diags,
                            const struct mrp_spec *spec,
                            bool warning,
                            struct mrp_mark mark,
                            int width,
                            const char *hint,
                            const char *fmt,
                            ...) MRP_PRINTF(7, 8);

struct mrp_derive {
    char *const *to;   /* secondary regions of --to, NULL-terminated */
    char *const *maps; /* "REPO=REPO", NULL-terminated or NULL */
    const char
        *primary; /* the caller's region, or NULL: taken from the image names after the phases */
};
/** Without a `mrpipe:` section: put the derived stages (images, definitions, package) into
 * spec->pipeline. */
int mrp_spec_derive(struct mrp_spec *spec,
                    const struct mrp_derive *how,
                    struct mrp_diags *diags,
                    struct mrp_error *err) MRP_NODISCARD;
/** The `mrpipe:` section of a pipeline as YAML text, for `init`. Owned. */
char *mrp_spec_pipeline_yaml(const struct mrp_spec *spec);

#endif
