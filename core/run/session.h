/** One run: the parts that phases, stages and the run folder share. */
#ifndef MRP_RUN_SESSION_H
#define MRP_RUN_SESSION_H

#include "check.h"
#include "checkout.h"
#include "folder.h"
#include "guard.h"
#include "journal.h"
#include "loop.h"
#include "mask.h"
#include "plan.h"
#include "run.h"

struct mrp_phases;

enum mrp_tail { MRP_TAIL_LINES = 20 };
/** The last lines of an output, for the failure card. */
struct mrp_tail_lines {
    char *lines[MRP_TAIL_LINES];
    size_t next;
};
void mrp_tail_add(struct mrp_tail_lines *tail, const char *text, size_t len);
json_t *mrp_tail_json(const struct mrp_tail_lines *tail);
void mrp_tail_done(struct mrp_tail_lines *tail);

struct mrp_session {
    struct mrp_spec *spec;
    const struct mrp_run_options *options;
    struct mrp_plan plan;
    struct mrp_used used;
    struct mrp_forkserver server; /* of workers; none once it is of no use */
    struct mrp_checkout_search search;
    struct mrp_names names; /* of expressions, as far as known at the moment */
    struct mrp_masker *masker;
    struct mrp_journal journal;
    struct mrp_guard guard;
    struct mrp_loop loop;
    struct mrp_folder folder;
    struct mrp_phases *phases;
    char **env;                     /* of the commands; after the phases as they left it */
    char *primary, *source_version; /* what names point to */
    char **secrets;      /* names of variables resolved from parameter store and secrets manager */
    json_t *artifacts;   /* the block with "added-files" */
    json_t *exported;    /* env.exported-variables after the phases: object or NULL */
    int64_t saved_ms;    /* when state.json was written */
    bool unsaved;        /* a stage has ended since */
    json_t *kept_phases; /* their part of state.json; NULL */
    json_t *old;         /* state.json of the run that is resumed; NULL */
    int jobs;
    size_t running;        /* stages */
    const char *broken_by; /* id of the stage (or "build") whose failure ends the run; NULL */
    int exit_code;         /* of the first failure; 0 */
    bool changed;
};

/** The exit code of an error (enum mrp_exit). */
int mrp_exit_of(enum mrp_code code);
/** What the environment holds as AWS keys is secret. 0 or MRP_E_NOMEM. */
int mrp_session_mask_keys(struct mrp_session *s);
void mrp_session_fail(struct mrp_session *s, const char *by, int exit_code);
/** "mrpipe run FILE --from ID": owned; NULL: unknown. */
char *mrp_rerun_line(const struct mrp_session *s, const char *stage);

#endif
