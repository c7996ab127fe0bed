/* The scheduler: starts stages whose needs are met, fills their inputs, judges their ends. */
#include "stages.h"

#include "buildenv.h"
#include "loader.h"
#include "phases.h"
#include "state.h"
#include "task.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_FIRST_MS = 500, RETRY_MAX_MS = 30000 };

/* What a task's callbacks need to find their node again. */
struct attempt {
    struct mrp_session *s;
    struct mrp_node *node;
};

static json_t *event(const struct mrp_node *node, const char *type)
{
    json_t *e = mrp_event_new(type);
    mrp_json_puts(e, "stage", node->id);
    mrp_json_puts(e, "uses", node->spec->uses);
    mrp_json_puts(e, "region", node->region);
    return e;
}

/* The end of a node, however it came. */
static void finish(struct mrp_session *s,
                   struct mrp_node *node,
                   const char *result,
                   const char *reason,
                   const json_t *counts,
                   const struct mrp_error *error)
{
    json_t *e = event(node, "stage-ended");
    node->state = MRP_NODE_DONE;
    node->result = result;
    mrp_json_puts(e, "result", result);
    mrp_json_puti(e, "ms", node->attempts ? mrp_now_ms() - node->began_ms : 0);
    mrp_json_puti(e, "attempts", node->attempts);
    mrp_json_puts(e, "reason", reason);
    if (counts && json_object_size(counts))
        mrp_json_put(e, "counts", json_deep_copy(counts));
    if (error && error->code)
        mrp_json_put(e, "error", mrp_error_json(error));
    mrp_journal_send(&s->journal, e);
    if (mrp_streq(result, "changed"))
        s->changed = true;
    s->unsaved = s->unsaved || node->attempts;
}

static void add_artifact(struct mrp_session *s, const char *path)
{
    json_t *list = json_object_get(s->artifacts, "added-files"), *have;
    size_t i;
    json_array_foreach(list, i, have) if (mrp_streq(json_string_value(have), path)) return;
    json_array_append_new(list, json_string(path));
}

/* ---- the end of an attempt ---- */

/* A line of the file, or the word of the command line that it stands for. */
static void put_place(json_t *e, const struct mrp_spec *spec, int line)
{
    if (mrp_spec_is_words(spec)) {
        mrp_json_puts(e, "file", mrp_spec_word(spec, line));
        return;
    }
    mrp_json_puts(e, "file", mrp_spec_stage_file(spec));
    if (line)
        mrp_json_puti(e, "line", line);
}

static void
send_card(const struct mrp_session *s, const struct mrp_node *node, const struct mrp_task_end *end)
{
    json_t *e = mrp_event_new("failure");
    mrp_auto(mrp_free_str) char *rerun = mrp_rerun_line(s, node->id);
    mrp_json_puts(e, "stage", node->id);
    mrp_json_puts(e, "where", node->id);
    mrp_json_puts(e, "what", node->spec->uses);
    if (end->exit > 0)
        mrp_json_puti(e, "exit", end->exit);
    if (end->signal)
        mrp_json_puts(e, "signal", sigabbrev_np(end->signal));
    mrp_json_put(e, "error", mrp_error_json(&end->error));
    mrp_json_put(e, "tail", end->tail ? mrp_tail_json(end->tail) : json_array());
    put_place(e, s->spec, end->mark.line ? end->mark.line : node->spec->mark.line);
    mrp_json_puts(e, "log", end->log);
    mrp_json_puts(e, "rerun", rerun);
    mrp_journal_send((struct mrp_journal *)(uintptr_t)&s->journal, e);
}

/* Never where no attempt was made, as after a condition that cannot be told: a retry runs the
 * stage. */
static bool
worth_another_try(const struct mrp_session *s, const struct mrp_node *node, enum mrp_code code)
{
    return node->attempts > 0 && node->attempts <= node->spec->retries && !s->loop.signal &&
           code != MRP_E_CONFIG && code != MRP_E_CANCELLED;
}

static void fail_node(struct mrp_session *s, struct mrp_node *node, const struct mrp_task_end *end)
{
    const struct mrp_error *error = &end->error;
    if (worth_another_try(s, node, error->code)) {
        int64_t wait = (int64_t)RETRY_FIRST_MS << (node->attempts < 7 ? node->attempts - 1 : 6);
        node->state = MRP_NODE_RETRY;
        node->retry_ms = mrp_now_ms() + (wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
        mrp_note(&s->journal, MRP_WARN,
                 "%s: attempt %d of %d failed (%s); the next one follows in %lld ms", node->id,
                 node->attempts, node->spec->retries + 1, error->msg, (long long)wait);
        return;
    }
    send_card(s, node, end);
    finish(s, node, "failed", NULL, end->counts, error);
    if (!node->spec->continue_on_failure)
        mrp_session_fail(s, node->id,
                         end->load_failure ? MRP_EXIT_PLUGIN : mrp_exit_of(error->code));
    else if (!s->exit_code)
        s->exit_code = end->load_failure ? MRP_EXIT_PLUGIN : mrp_exit_of(error->code);
}

static void on_end(void *arg, const struct mrp_task_end *end)
{
    struct attempt *a = arg;
    struct mrp_session *s = a->s;
    struct mrp_node *node = a->node;
    free(a);
    node->task = NULL;
    s->running--;
    if (mrp_streq(end->result, "failed") && s->options->mode != MRP_MODE_RUN &&
        end->error.code == MRP_E_CANCELLED)
        finish(s, node, "skipped", end->error.msg, NULL, NULL);
    else if (mrp_streq(end->result, "failed") &&
             !(s->loop.signal && end->error.code == MRP_E_CANCELLED))
        fail_node(s, node, end);
    else if (mrp_streq(end->result, "failed") || mrp_streq(end->result, "cancelled"))
        finish(s, node, "cancelled", "the run was stopped", end->counts, NULL);
    else
        finish(s, node, mrp_streq(end->result, "changed") ? "changed" : "unchanged", NULL,
               end->counts, NULL);
}

static void on_output(void *arg, const char *name, const json_t *value)
{
    const struct attempt *a = arg;
    mrp_json_put(a->node->outputs, name, json_deep_copy(value));
}

static void on_artifact(void *arg, const char *path)
{
    const struct attempt *a = arg;
    mrp_auto(mrp_free_str) char *whole = NULL;
    struct mrp_error err = {0};
    if (mrp_path_inside(&whole, a->s->options->workdir, path, &err)) {
        mrp_note(&a->s->journal, MRP_WARN, "%s: artifact `%s` is left out: %s", a->node->id, path,
                 err.msg);
        return;
    }
    json_array_append_new(a->node->artifacts, json_string(path));
    add_artifact(a->s, path);
}

/* ---- the start ---- */

static int stage_env(char ***out,
                     const struct mrp_session *s,
                     const struct mrp_node *node,
                     const struct mrp_scope *scope,
                     struct mrp_error *err)
{
    mrp_auto(mrp_free_strv) char **env = NULL;
    for (char *const *e = s->env; e && *e; e++)
        if (mrp_strv_add(&env, *e))
            return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    for (size_t i = 0; i < node->spec->env.count; i++) {
        const struct mrp_pair *pair = &node->spec->env.list[i];
        mrp_auto(mrp_free_json) json_t *in = json_string(pair->value), *value = NULL;
        int rc = mrp_expr_fill(&value, in, scope, NULL, err);
        if (rc)
            return mrp_wrap(err, "env %s", pair->name);
        mrp_auto(mrp_free_str) char *text = json_is_string(value)
                                                ? mrp_strdup(json_string_value(value))
                                                : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        if (!text || mrp_env_set(&env, pair->name, text))
            return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    }
    *out = mrp_take_strv(&env);
    return 0;
}

static int fill_text(char **out,
                     const char *text,
                     const struct mrp_scope *scope,
                     const char *what,
                     struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in = json_string(text), *value = NULL;
    int rc = mrp_expr_fill(&value, in, scope, NULL, err);
    if (rc)
        return mrp_wrap(err, "%s", what);
    if (!json_is_string(value))
        return mrp_fail(err, MRP_E_CONFIG, "%s must be one text", what);
    free(*out);
    *out = mrp_strdup(json_string_value(value));
    return *out ? 0 : mrp_fail(err, MRP_E_NOMEM, "out of memory");
}

/* Everything that decides what the stage does. */
static void set_fingerprint(const struct mrp_session *s,
                            struct mrp_node *node,
                            const struct mrp_task_init *init)
{
    mrp_auto(mrp_free_json) json_t *in = json_object(), *env = json_object();
    for (size_t i = 0; i < node->spec->env.count; i++) {
        const char *name = node->spec->env.list[i].name, *value = mrp_env_get(init->env, name);
        if (value)
            mrp_json_put(env, name, mrp_clean_string(value, strlen(value)));
    }
    mrp_json_puts(in, "uses", node->spec->uses);
    mrp_json_puts(in, "version", init->plugin->version);
    mrp_json_puts(in, "region", node->region);
    mrp_json_puts(in, "role", init->role_arn);
    mrp_json_put(in, "with", json_incref(init->with));
    mrp_json_put(in, "env", mrp_take_json(&env));
    if (s->spec->artifacts)
        mrp_json_put(in, "artifacts", json_deep_copy(s->spec->artifacts));
    free(node->fingerprint);
    node->fingerprint = mrp_fingerprint(in);
}

/* Inputs of the next attempt; on failure nothing is left in `init`. */
static int prepare(struct mrp_task_init *init,
                   struct mrp_mark *at,
                   struct mrp_session *s,
                   struct mrp_node *node,
                   struct mrp_error *err)
{
    struct mrp_names_of of = {&s->names, node};
    struct mrp_scope scope = mrp_names_scope(&of);
    const struct mrp_stage_spec *spec = node->spec;
    mrp_auto(mrp_free_str) char *bad = NULL;
    mrp_auto(mrp_free_json) json_t *with = NULL;
    mrp_auto(mrp_free_strv) char **env = NULL;
    mrp_auto(mrp_free_str) char *role = NULL;
    int rc = 0;
    if (!node->region && spec->region)
        rc = fill_text(&node->region, spec->region, &scope, "region", err);
    if (!rc && spec->with.json)
        rc = mrp_expr_fill(&with, spec->with.json, &scope, &bad, err);
    if (rc && bad) {
        *at = mrp_value_mark(&spec->with, bad);
        mrp_wrap(err, "with: %s", bad);
    }
    if (!rc && spec->role_arn)
        rc = fill_text(&role, spec->role_arn, &scope, "role-arn", err);
    if (!rc)
        rc = stage_env(&env, s, node, &scope, err);
    if (rc)
        return rc;
    const struct mrp_plugin_pin *pin = mrp_plugin_pin_of(s->spec, spec->plugin);
    *init = (struct mrp_task_init){.s = s,
                                   .id = node->id,
                                   .plugin = mrp_used_find(&s->used, spec->plugin),
                                   .sha256 = pin ? pin->sha256 : NULL,
                                   .action = spec->action,
                                   .mode = s->options->mode,
                                   .with = with ? mrp_take_json(&with) : json_object(),
                                   .env = mrp_take_strv(&env),
                                   .region = node->region ? node->region : "",
                                   .role_arn = mrp_take_str(&role),
                                   .timeout_ms = spec->timeout_ms,
                                   .on_output = on_output,
                                   .on_artifact = on_artifact,
                                   .on_end = on_end};
    if (!init->plugin)
        rc = mrp_fail(err, MRP_E_CONFIG, "plugin %s is not loaded", spec->plugin);
    return rc;
}

static void drop(struct mrp_task_init *init)
{
    json_decref(init->with);
    mrp_free_strv(&init->env);
    mrp_free_str(&init->role_arn);
}

static void fail_early(struct mrp_session *s,
                       struct mrp_node *node,
                       struct mrp_mark at,
                       const struct mrp_error *err)
{
    if (err->code == MRP_E_CANCELLED) { /* plan: an input is known after run */
        finish(s, node, "skipped", err->msg, NULL, NULL);
        return;
    }
    struct mrp_task_end end = {.result = "failed", .error = *err, .exit = -1, .mark = at};
    fail_node(s, node, &end);
}

static bool all_needs_reused(const struct mrp_session *s, const struct mrp_node *node)
{
    for (size_t i = 0; i < node->need_count; i++) {
        if (node->needs[i] == MRP_NEED_PHASES) {
            if (s->spec->has_phases && !mrp_phases_reused(s->phases))
                return false;
        } else if (!s->plan.nodes[node->needs[i]].reused) {
            return false;
        }
    }
    return true;
}

/* True if the node is done by what an earlier run left. */
static bool reuse(struct mrp_session *s, struct mrp_node *node)
{
    mrp_auto(mrp_free_str) char *reason = NULL;
    if (s->options->mode != MRP_MODE_RUN || !s->old || !all_needs_reused(s, node) ||
        !(reason = mrp_state_reuse(s, node)))
        return false;
    size_t i;
    json_t *path;
    json_array_foreach(node->artifacts, i, path) add_artifact(s, json_string_value(path));
    node->reused = true;
    finish(s, node, "skipped", reason, NULL, NULL);
    return true;
}

static bool nothing_waits(const struct mrp_session *s)
{
    for (size_t i = 0; i < s->plan.count; i++)
        if (s->plan.nodes[i].state == MRP_NODE_WAITING || s->plan.nodes[i].state == MRP_NODE_RETRY)
            return false;
    return true;
}

static void start(struct mrp_session *s, struct mrp_node *node)
{
    struct mrp_error err = {0};
    struct mrp_task_init init = {0};
    struct attempt *a = calloc(1, sizeof *a);
    struct mrp_mark at = {0};
    int rc = a ? prepare(&init, &at, s, node, &err) : mrp_fail(&err, MRP_E_NOMEM, "out of memory");
    if (!rc && !node->attempts) {
        set_fingerprint(s, node, &init);
        if (reuse(s, node)) {
            drop(&init);
            free(a);
            return;
        }
    }
    if (!node->attempts++)
        node->began_ms = mrp_now_ms();
    json_t *e = event(node, "stage-started");
    mrp_json_puti(e, "attempt", node->attempts);
    mrp_journal_send(&s->journal, e);
    if (!rc) {
        *a = (struct attempt){s, node};
        init.arg = a;
        node->state = MRP_NODE_RUNNING;
        init.last = nothing_waits(s);
        s->running++;
        if (s->options->mode != MRP_MODE_VERIFY) /* there they come from the last run */
            json_object_clear(node->outputs);
        rc = mrp_task_start(&node->task, &init, &err);
        if (!rc)
            return;
        s->running--;
    } else {
        drop(&init);
    }
    free(a);
    fail_early(s, node, at, &err);
}

/* ---- who may start ---- */

static bool is_ok(const struct mrp_node *node)
{
    return !mrp_streq(node->result, "failed") && !mrp_streq(node->result, "cancelled") &&
           !node->blocked;
}

/* All needs ended? *bad names one that did not go well. */
static bool needs_ended(const struct mrp_session *s, const struct mrp_node *node, const char **bad)
{
    *bad = NULL;
    for (size_t i = 0; i < node->need_count; i++) {
        if (node->needs[i] == MRP_NEED_PHASES) {
            if (!mrp_phases_done(s->phases))
                return false;
            if (!mrp_phases_ok(s->phases))
                *bad = "build";
            continue;
        }
        const struct mrp_node *need = &s->plan.nodes[node->needs[i]];
        if (need->state != MRP_NODE_DONE)
            return false;
        if (!is_ok(need))
            *bad = need->id;
    }
    return true;
}

/* A condition on earlier results is asked even when a need has failed. */
static bool asks_results(const struct mrp_node *node)
{
    const char *text = node->spec->condition;
    return text && strstr(text, "stages.") && strstr(text, ".result");
}

static void end_blocked(struct mrp_session *s, struct mrp_node *node, const char *bad)
{
    mrp_auto(mrp_free_str) char *reason = NULL;
    node->blocked = true;
    if (bad)
        reason = mrp_strf("needs %s, which did not succeed", bad);
    else if (s->loop.signal)
        reason = mrp_strdup("the run was stopped");
    else
        reason = mrp_strf("the run ends because %s failed", s->broken_by);
    finish(s, node, bad ? "skipped" : "cancelled", reason, NULL, NULL);
}

static bool condition_holds(struct mrp_session *s, struct mrp_node *node)
{
    struct mrp_names_of of = {&s->names, node};
    struct mrp_scope scope = mrp_names_scope(&of);
    struct mrp_error err = {0};
    bool yes = true;
    int rc = node->spec->condition ? mrp_expr_test(&yes, node->spec->condition, &scope, &err) : 0;
    if (rc) {
        mrp_wrap(&err, "if");
        fail_early(s, node, node->spec->condition_mark, &err);
        return false;
    }
    if (!yes) {
        mrp_auto(mrp_free_str) char *reason = mrp_strf("if: %s", node->spec->condition);
        finish(s, node, "skipped", reason, NULL, NULL);
    }
    return yes;
}

static bool consider_retry(struct mrp_session *s, struct mrp_node *node)
{
    if (s->loop.signal)
        finish(s, node, "cancelled", "the run was stopped", NULL, NULL);
    else if (mrp_now_ms() < node->retry_ms || s->running >= (size_t)s->jobs)
        return false;
    else
        start(s, node);
    return true;
}

/* Must the node end without having run? Not yet while its needs run: their ends give the better
 * reason. */
static bool
is_blocked(const struct mrp_session *s, const struct mrp_node *node, bool ended, const char *bad)
{
    bool asks = asks_results(node) && !s->loop.signal;
    if (asks)
        return false;
    if (ended && bad)
        return true;
    return s->loop.signal || (s->broken_by && (ended || (!bad && !s->running)));
}

/* One look at a node that waits; true if its state changed. */
static bool consider(struct mrp_session *s, struct mrp_node *node)
{
    const char *bad = NULL;
    if (node->state == MRP_NODE_RETRY)
        return consider_retry(s, node);
    if (!node->selected) {
        mrp_state_borrow(s, node);
        finish(s, node, "skipped", "not selected", NULL, NULL);
        return true;
    }
    bool ended = needs_ended(s, node, &bad);
    if (is_blocked(s, node, ended, bad)) {
        end_blocked(s, node, ended ? bad : NULL);
        return true;
    }
    if (!ended || s->running >= (size_t)s->jobs)
        return false;
    if (condition_holds(s, node))
        start(s, node);
    return true;
}

void mrp_stages_step(struct mrp_session *s)
{
    int64_t wake = 0;
    for (bool moved = true; moved;) {
        moved = false;
        wake = 0;
        for (size_t i = 0; i < s->plan.count; i++) {
            struct mrp_node *node = &s->plan.nodes[i];
            if (node->state == MRP_NODE_WAITING || node->state == MRP_NODE_RETRY)
                moved = consider(s, node) || moved;
            if (node->state == MRP_NODE_RETRY && (!wake || node->retry_ms < wake))
                wake = node->retry_ms;
        }
    }
    /* A retry that waits for a free place is woken by the end of a worker. */
    s->loop.wake_ms = s->running >= (size_t)s->jobs ? 0 : wake;
}

void mrp_stages_stop(struct mrp_session *s)
{
    for (size_t i = 0; i < s->plan.count; i++)
        if (s->plan.nodes[i].task)
            mrp_task_stop(s->plan.nodes[i].task);
}

bool mrp_stages_done(const struct mrp_session *s)
{
    for (size_t i = 0; i < s->plan.count; i++)
        if (s->plan.nodes[i].state != MRP_NODE_DONE)
            return false;
    return true;
}
