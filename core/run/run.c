/* mrp_run: plan, check, folder, phases and stages in one loop, the end of the run. */
#include "run.h"

#include "buildenv.h"
#include "phases.h"
#include "resolve.h"
#include "session.h"
#include "stages.h"
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
#include <unistd.h>

enum { DEFAULT_JOBS = 4, SAVE_EVERY_MS = 100 };

static const char *primary_of(const struct mrp_session *s)
{
    const char *region = s->spec->pipeline.present ? s->spec->pipeline.primary : NULL;
    if (!region || !*region)
        region = mrp_env_get(s->env, "AWS_REGION");
    if (!region || !*region)
        region = mrp_env_get(s->env, "AWS_DEFAULT_REGION");
    return region && *region ? region : NULL;
}

static int jobs_of(const struct mrp_spec *spec, const struct mrp_run_options *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int jobs = options->jobs ? options->jobs : spec->pipeline.present ? spec->pipeline.jobs : 0;
    if (jobs <= 0)
        jobs = cores > DEFAULT_JOBS ? (int)cores : DEFAULT_JOBS;
    return jobs > 256 ? 256 : jobs;
}

/* Plan and checks: everything that is wrong with the spec is found here. With `serve` a run
 * follows: else all commands are looked at. */
static int
prepare(struct mrp_session *s, struct mrp_diags *diags, bool serve, struct mrp_error *err)
{
    const struct mrp_spec *spec = s->spec;
    s->guard = (struct mrp_guard)MRP_GUARD_INIT;
    s->jobs = jobs_of(spec, s->options);
    int rc = mrp_buildenv_early(&s->env, spec, s->options, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_str) char *primary = mrp_strdup(primary_of(s));
    s->names = (struct mrp_names){
        .spec = spec, .env = s->env, .primary = primary_of(s), .workdir = s->options->workdir};
    s->primary = mrp_take_str(&primary);
    s->names.primary = s->primary;
    rc = mrp_plan_build(&s->plan, spec, &s->names, diags, err);
    if (!rc && serve)
        mrp_checkout_begin(&s->search, s->options->workdir); /* while the plugins are mapped */
    /* From here on a variable is known after the phases only. */
    s->names.env = NULL;
    s->names.plan = &s->plan;
    s->names.planning = s->options->mode == MRP_MODE_PLAN;
    if (!rc)
        rc = mrp_plan_select(&s->plan, s->options->only, s->options->from_stage, err);
    if (!rc)
        rc = mrp_check(&s->used, serve && !s->options->in_process ? &s->server : NULL, spec,
                       &s->plan, &s->names, s->options->plugin_dirs, diags, err);
    mrp_lint_commands(spec, !serve, diags);
    return rc;
}

static void session_done(struct mrp_session *s)
{
    mrp_checkout_drop(&s->search);
    mrp_forkserver_stop(&s->server);
    mrp_phases_free(&s->phases);
    mrp_plan_done(&s->plan);
    mrp_used_done(&s->used);
    mrp_free_strv(&s->env);
    mrp_free_strv(&s->secrets);
    mrp_free_str(&s->primary);
    mrp_free_str(&s->source_version);
    json_decref(s->artifacts);
    json_decref(s->exported);
    json_decref(s->kept_phases);
    json_decref(s->old);
    mrp_journal_done(&s->journal);
    mrp_masker_free(&s->masker);
    mrp_folder_done(&s->folder);
}

static int exit_of_prepare(const struct mrp_session *s, int rc)
{
    if (s->used.failed)
        return MRP_EXIT_PLUGIN;
    return rc == MRP_E_CONFIG ? MRP_EXIT_SPEC : MRP_EXIT_FAILED;
}

/* ---- the folder and what the run begins with ---- */

static int set_artifacts(struct mrp_session *s, struct mrp_error *err)
{
    s->artifacts = s->spec->artifacts ? json_deep_copy(s->spec->artifacts) : json_object();
    s->exported = json_object();
    return mrp_json_put(s->artifacts, "added-files", json_array()) || !s->exported
               ? mrp_fail(err, MRP_E_NOMEM, "out of memory")
               : 0;
}

static int load_old(struct mrp_session *s, struct mrp_error *err)
{
    const struct mrp_run_options *o = s->options;
    if (o->resume)
        return mrp_state_load(s, o->resume, err);
    /* --from, --stage and verify use what the last run left, if there is one. */
    if (!o->from_stage && !o->only && o->mode != MRP_MODE_VERIFY)
        return 0;
    struct mrp_error ignored = {0};
    (void)mrp_state_load(s, "last", &ignored);
    return 0;
}

static int set_up(struct mrp_session *s, struct mrp_error *err)
{
    struct mrp_checkout source;
    mrp_auto(mrp_free_str) char *events = NULL;
    int rc = load_old(s, err);
    if (!rc)
        rc = mrp_folder_make(&s->folder, s->options->workdir, s->options->mode == MRP_MODE_RUN,
                             s->spec->has_phases, err);
    if (!rc && (!(events = mrp_folder_file(&s->folder, "", "events", ".jsonl")) ||
                mrp_session_mask_keys(s)))
        rc = mrp_fail(err, MRP_E_NOMEM, "out of memory");
    if (!rc)
        rc = mrp_journal_open(&s->journal, events, err);
    if (!rc)
        rc = mrp_guard_start(&s->guard, s->folder.id, err);
    if (rc)
        return rc;
    if (s->folder.temp)
        mrp_guard_temp(&s->guard, s->folder.temp);
    rc = mrp_loop_init(&s->loop, &s->guard, &s->journal, err);
    if (!rc)
        rc = set_artifacts(s, err);
    mrp_checkout_take(&source, &s->search);
    if (!rc)
        rc = mrp_buildenv_complete(s, &source, err);
    mrp_checkout_done(&source);
    s->source_version = mrp_strdup(mrp_env_get(s->env, "CODEBUILD_RESOLVED_SOURCE_VERSION"));
    s->names.source_version = s->source_version ? s->source_version : "";
    s->names.run_id = s->folder.id;
    if (!rc && s->spec->has_phases)
        rc = mrp_helpers_write(s->folder.temp, err);
    if (!rc && !(s->phases = mrp_phases_new(s, err)))
        rc = err->code;
    return rc;
}

static void send_started(struct mrp_session *s)
{
    json_t *e = mrp_event_new("run-started"), *ids = json_array();
    for (size_t i = 0; i < s->plan.count; i++)
        json_array_append_new(ids, json_string(s->plan.nodes[i].id));
    mrp_json_puts(e, "run", s->folder.id);
    mrp_json_puts(e, "spec", s->spec->path);
    mrp_json_puts(e, "dir", s->options->workdir);
    mrp_json_puts(e, "rundir", s->folder.path);
    mrp_json_puts(e, "source-version", s->source_version);
    mrp_json_put(e, "phases", json_boolean(s->spec->has_phases));
    mrp_json_put(e, "stages", ids);
    if (s->options->mode == MRP_MODE_RUN && !s->options->only)
        mrp_json_puts(e, "resumed", mrp_json_str(s->old, "run"));
    mrp_journal_send(&s->journal, e);
    if (s->options->from_stage && !s->old && s->options->mode == MRP_MODE_RUN)
        mrp_note(&s->journal, MRP_WARN,
                 "--from: no run was made here yet, so what comes before %s runs too",
                 s->options->from_stage);
}

/* ---- the run ---- */

static const char *phases_reason(const struct mrp_session *s)
{
    if (s->options->skip_phases)
        return "--no-phases";
    if (s->options->mode == MRP_MODE_PLAN)
        return "plan";
    return s->options->mode == MRP_MODE_VERIFY ? "verify" : NULL;
}

/* The phases begin once their variables are resolved. */
static void begin_phases(struct mrp_session *s, struct mrp_resolve *resolve, bool *begun)
{
    const char *reason = phases_reason(s);
    bool resolves = mrp_resolve_needed(s) && s->options->mode == MRP_MODE_RUN;
    if (*begun)
        return;
    if (resolves && !resolve->begun)
        mrp_resolve_start(resolve, s);
    if (resolves && !resolve->done)
        return;
    *begun = true;
    if (s->broken_by && mrp_streq(s->broken_by, "build")) {
        mrp_phases_give_up(s->phases);
        return;
    }
    mrp_auto(mrp_free_str) char *reused =
        !reason && s->old && s->spec->has_phases ? mrp_state_reuse_phases(s) : NULL;
    mrp_phases_start(s->phases, reused ? reused : reason);
    if (reason && s->options->mode == MRP_MODE_PLAN && !s->options->skip_phases &&
        s->spec->has_phases) {
        s->names.env = NULL; /* known after the phases */
        s->names.files_ready = false;
    }
    if (s->options->mode == MRP_MODE_VERIFY)
        for (size_t i = 0; i < s->plan.count; i++)
            mrp_state_borrow(s, &s->plan.nodes[i]);
}

static void stop_all(struct mrp_session *s, struct mrp_resolve *resolve, bool *begun)
{
    if (resolve->begun && !resolve->done && resolve->task)
        mrp_task_stop(resolve->task);
    if (!*begun && (!resolve->begun || resolve->done)) {
        *begun = true;
        mrp_phases_stop(s->phases);
    } else if (*begun) {
        mrp_phases_stop(s->phases);
    }
    mrp_stages_stop(s);
}

static void kill_all(struct mrp_session *s)
{
    for (size_t i = 0; i < s->loop.count; i++)
        if (s->loop.procs[i]->kill_ms)
            s->loop.procs[i]->kill_ms = mrp_now_ms();
}

/* Many short stages do not each cost a file; what is not written yet is only done once more. */
static void save_now_and_then(struct mrp_session *s)
{
    int64_t now = mrp_now_ms(), due = s->saved_ms + SAVE_EVERY_MS;
    if (!s->unsaved || s->options->mode != MRP_MODE_RUN)
        return;
    if (now >= due) {
        mrp_state_save(s);
        s->saved_ms = now;
        s->unsaved = false;
    } else if (!s->loop.wake_ms || due < s->loop.wake_ms) {
        s->loop.wake_ms = due;
    }
}

/* A single action (`do`) has nothing to take up again. */
static void tell_stop(struct mrp_session *s)
{
    const char *name = sigabbrev_np(s->loop.signal);
    if (s->plan.count < 2 && !s->spec->has_phases)
        mrp_note(&s->journal, MRP_WARN, "SIG%s: stopping", name);
    else
        mrp_note(&s->journal, MRP_WARN, "SIG%s: stopping; `--resume %s` takes the run up again",
                 name, s->folder.id);
}

static void run_loop(struct mrp_session *s)
{
    struct mrp_resolve resolve = {0};
    bool begun = false;
    int told = 0;
    for (;;) {
        if (!s->loop.signal)
            begin_phases(s, &resolve, &begun);
        mrp_stages_step(s);
        if (s->loop.signals > told) {
            bool first = !told;
            told = s->loop.signals;
            if (first)
                tell_stop(s);
            stop_all(s, &resolve, &begun);
            if (!first)
                kill_all(s); /* asked twice: no more grace */
            continue;
        }
        if (s->loop.signal && !begun && (!resolve.begun || resolve.done)) {
            begun = true;
            mrp_phases_stop(s->phases);
        }
        if (mrp_phases_done(s->phases) && mrp_stages_done(s) && !s->loop.count)
            return;
        save_now_and_then(s);
        mrp_loop_step(&s->loop);
    }
}

static int finish(struct mrp_session *s)
{
    mrp_forkserver_stop(&s->server);
    mrp_guard_sweep(&s->guard);
    /* What the sweep ended may have written last words. */
    if (s->loop.lasting)
        mrp_capture_flush(s->loop.lasting);
    int code = s->loop.signal ? 128 + s->loop.signal : s->exit_code;
    json_t *e = mrp_event_new("run-ended");
    mrp_json_puts(e, "result",
                  s->loop.signal ? "cancelled"
                  : code         ? "failed"
                  : s->changed   ? "changed"
                                 : "unchanged");
    if (!code && s->changed && s->options->mode == MRP_MODE_VERIFY)
        code = MRP_EXIT_FAILED; /* as diff(1) does */
    mrp_json_puti(e, "exit", code);
    mrp_json_puti(e, "ms", mrp_now_ms() - s->journal.began_ms);
    mrp_json_put(e, "artifacts", json_deep_copy(mrp_json_arr(s->artifacts, "added-files")));
    if (s->options->mode == MRP_MODE_RUN)
        mrp_state_save(s);
    mrp_journal_send(&s->journal, e);
    mrp_journal_flush(&s->journal);
    return code;
}

int mrp_run(struct mrp_spec *spec,
            const struct mrp_run_options *options,
            struct mrp_diags *diags,
            struct mrp_error *err)
{
    struct mrp_session s = {.spec = spec,
                            .options = options,
                            .server = MRP_FORKSERVER_INIT,
                            .search = MRP_CHECKOUT_SEARCH_INIT};
    signal(SIGPIPE, SIG_IGN);
    s.masker = mrp_masker_new();
    mrp_journal_init(&s.journal, s.masker, options->sinks, options->sink_count);
    s.loop.signal_fd = -1;
    int rc = s.masker ? prepare(&s, diags, true, err) : mrp_fail(err, MRP_E_NOMEM, "out of memory");
    int code = rc ? exit_of_prepare(&s, rc) : 0;
    if (!rc && (rc = set_up(&s, err)))
        code = rc == MRP_E_CONFIG || rc == MRP_E_NOTFOUND ? MRP_EXIT_USAGE : MRP_EXIT_FAILED;
    if (!rc) {
        send_started(&s);
        /* So that even a killed run can be resumed; one that was no file cannot. */
        if (options->mode == MRP_MODE_RUN && !mrp_spec_is_words(spec))
            mrp_state_save(&s);
        run_loop(&s);
        code = finish(&s);
    }
    mrp_loop_done(&s.loop);
    mrp_guard_stop(&s.guard);
    session_done(&s);
    return code;
}

int mrp_run_check(struct mrp_spec *spec,
                  const struct mrp_run_options *options,
                  struct mrp_diags *diags,
                  struct mrp_error *err)
{
    struct mrp_session s = {.spec = spec,
                            .options = options,
                            .server = MRP_FORKSERVER_INIT,
                            .search = MRP_CHECKOUT_SEARCH_INIT};
    mrp_journal_init(&s.journal, NULL, NULL, 0);
    int rc = prepare(&s, diags, false, err);
    int code = rc ? exit_of_prepare(&s, rc) : MRP_EXIT_OK;
    session_done(&s);
    return code;
}

int mrp_run_graph(json_t **out,
                  struct mrp_spec *spec,
                  const struct mrp_run_options *options,
                  struct mrp_diags *diags,
                  struct mrp_error *err)
{
    struct mrp_session s = {.spec = spec,
                            .options = options,
                            .server = MRP_FORKSERVER_INIT,
                            .search = MRP_CHECKOUT_SEARCH_INIT};
    mrp_journal_init(&s.journal, NULL, NULL, 0);
    int rc = mrp_buildenv_early(&s.env, spec, options, err);
    s.names = (struct mrp_names){
        .spec = spec, .env = s.env, .primary = primary_of(&s), .workdir = options->workdir};
    if (!rc)
        rc = mrp_plan_build(&s.plan, spec, &s.names, diags, err);
    if (!rc && !(*out = mrp_plan_json(&s.plan)))
        rc = mrp_fail(err, MRP_E_NOMEM, "out of memory");
    session_done(&s);
    return rc;
}
