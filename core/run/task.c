/* A task: starts a worker, turns its frames into events, judges how it ended. */
#include "task.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct mrp_task {
    struct mrp_task_init init;
    struct mrp_work work;
    struct mrp_proc proc;
    struct mrp_capture capture;
    struct mrp_tail_lines tail;
    json_t *counts;
    json_t *result; /* the result frame */
    char *garbage;  /* what was no frame; NULL */
    char *log_path;
    int log_fd;
    bool capture_open;
};

static void task_free(struct mrp_task *t)
{
    if (t->capture_open)
        mrp_capture_close(&t->capture);
    mrp_tail_done(&t->tail);
    json_decref(t->counts);
    json_decref(t->result);
    json_decref(t->init.with);
    mrp_free_strv(&t->init.env);
    free(t->init.role_arn);
    free(t->garbage);
    free(t->log_path);
    mrp_close_fd(&t->log_fd);
    free(t);
}

static json_t *event(const struct mrp_task *t, const char *type)
{
    json_t *e = mrp_event_new(type);
    mrp_json_puts(e, "stage", t->init.id);
    return e;
}

static void send(const struct mrp_task *t, json_t *e)
{
    if (t->init.quiet)
        json_decref(e);
    else
        mrp_journal_send(&t->init.s->journal, e);
}

static void write_log(struct mrp_task *t, const char *text, size_t len)
{
    if (t->log_fd >= 0 &&
        (mrp_write_all(t->log_fd, text, len) || mrp_write_all(t->log_fd, "\n", 1)))
        mrp_close_fd(&t->log_fd);
}

/* Text of a frame, masked, for the log and the tail. */
static void keep_text(struct mrp_task *t, const char *text)
{
    mrp_auto(mrp_free_str) char *masked =
        mrp_mask_text(t->init.s->masker, text, strlen(text), NULL);
    const char *shown = masked ? masked : text;
    write_log(t, shown, strlen(shown));
    mrp_tail_add(&t->tail, shown, strlen(shown));
}

static void on_line(void *arg, int stream, const char *text, size_t len)
{
    struct mrp_task *t = arg;
    json_t *e = event(t, "output");
    mrp_json_puts(e, "stream", stream ? "stderr" : "stdout");
    mrp_json_put(e, "text", mrp_clean_string(text, len));
    send(t, e);
    write_log(t, text, len);
    mrp_tail_add(&t->tail, text, len);
}

/* ---- frames ---- */

static bool take_log(struct mrp_task *t, const json_t *f)
{
    const char *level = mrp_json_str(f, "level"), *text = mrp_json_str(f, "text");
    bool known = false;
    for (size_t i = 0; i < MRP_COUNT(mrp_level_names); i++)
        known = known || mrp_streq(level, mrp_level_names[i]);
    if (!known || !text)
        return false;
    json_t *e = event(t, "log");
    mrp_json_puts(e, "level", level);
    mrp_json_puts(e, "text", text);
    send(t, e);
    keep_text(t, text);
    return true;
}

static bool take_change(struct mrp_task *t, const json_t *f)
{
    const char *text = mrp_json_str(f, "text");
    if (!text)
        return false;
    json_t *e = event(t, "change");
    mrp_json_puts(e, "text", text);
    send(t, e);
    keep_text(t, text);
    return true;
}

static bool take_fact(struct mrp_task *t, const json_t *f)
{
    const char *name = mrp_json_str(f, "name");
    if (!name)
        return false;
    json_t *fields = mrp_json_obj(f, "fields"), *e = event(t, "fact");
    mrp_json_puts(e, "name", name);
    mrp_json_put(e, "fields", fields ? json_deep_copy(fields) : json_object());
    send(t, e);
    return true;
}

static bool take_progress(struct mrp_task *t, const json_t *f)
{
    json_t *e = json_deep_copy(f);
    json_object_del(e, "type");
    mrp_json_puts(e, "event", "progress");
    mrp_json_puts(e, "stage", t->init.id);
    send(t, e);
    return true;
}

static bool take_count(struct mrp_task *t, const json_t *f)
{
    const char *name = mrp_json_str(f, "name");
    if (!name || (!json_object_get(t->counts, name) && json_object_size(t->counts) >= 100))
        return false;
    int64_t sum = 0;
    if (__builtin_add_overflow(mrp_json_int(t->counts, name, 0), mrp_json_int(f, "delta", 0), &sum))
        return false;
    mrp_json_puti(t->counts, name, sum);
    return true;
}

static bool take_secret(struct mrp_task *t, const json_t *f)
{
    const char *value = mrp_json_str(f, "value");
    if (!value)
        return false;
    if (mrp_masker_add(t->init.s->masker, value, strlen(value)) && !t->garbage)
        t->garbage = mrp_strdup("more secrets than can be masked");
    return true;
}

static bool take_output(struct mrp_task *t, const json_t *f)
{
    const char *name = mrp_json_str(f, "name");
    json_t *value = json_object_get(f, "value");
    if (!name || !value)
        return false;
    t->init.on_output(t->init.arg, name, value);
    json_t *e = event(t, "output-set");
    mrp_json_puts(e, "name", name);
    mrp_json_put(e, "value", json_deep_copy(value));
    send(t, e);
    return true;
}

static bool take_artifact(struct mrp_task *t, const json_t *f)
{
    const char *path = mrp_json_str(f, "path");
    if (!path)
        return false;
    if (t->init.on_artifact)
        t->init.on_artifact(t->init.arg, path);
    json_t *e = event(t, "artifact");
    mrp_json_puts(e, "path", path);
    send(t, e);
    return true;
}

static bool take_result(struct mrp_task *t, const json_t *f)
{
    const char *result = mrp_json_str(f, "result");
    if (t->result || (!mrp_streq(result, "changed") && !mrp_streq(result, "unchanged") &&
                      !(mrp_streq(result, "failed") && mrp_json_obj(f, "error"))))
        return false;
    t->result = json_deep_copy(f);
    return true;
}

static const struct {
    const char *type;
    bool (*take)(struct mrp_task *t, const json_t *frame);
} frame_types[] = {
    {"log", take_log},           {"change", take_change},     {"event", take_fact},
    {"progress", take_progress}, {"count", take_count},       {"secret", take_secret},
    {"output", take_output},     {"artifact", take_artifact}, {"result", take_result},
};

static void on_frame(void *arg, const char *json, size_t len)
{
    struct mrp_task *t = arg;
    mrp_auto(mrp_free_json) json_t *frame = NULL;
    bool good = false;
    if (t->garbage)
        return;
    if (!t->result && mrp_json_parse(&frame, json, len, "a frame", NULL) == 0) {
        const char *type = mrp_json_str(frame, "type");
        for (size_t i = 0; !good && i < MRP_COUNT(frame_types); i++)
            good = mrp_streq(type, frame_types[i].type) && frame_types[i].take(t, frame);
    }
    if (good)
        return;
    /* Nothing that such a worker says is believed any more. */
    mrp_auto(mrp_free_json) json_t *text = mrp_clean_string(json, len < 60 ? len : 60);
    t->garbage = mrp_strf("`%s`", text ? json_string_value(text) : "");
    if (t->proc.pid > 0)
        mrp_proc_stop(&t->proc);
}

/* ---- the end ---- */

static void judge_exit(struct mrp_task *t, struct mrp_task_end *end)
{
    const struct mrp_proc *p = &t->proc;
    struct mrp_error *err = &end->error;
    end->exit = WIFEXITED(p->status) ? WEXITSTATUS(p->status) : -1;
    end->signal = WIFSIGNALED(p->status) ? WTERMSIG(p->status) : 0;
    end->result = "failed";
    const char *what = t->work.path;
    if (t->garbage) {
        mrp_fail(err, MRP_E_BUG, "the worker of %s wrote something that is no frame: %s",
                 t->init.id, t->garbage);
        mrp_hint(err, "the plugin %s is at fault", what);
    } else if (p->frame_overflow) {
        mrp_fail(err, MRP_E_BUG, "the worker of %s sent a frame over %zu MiB", t->init.id,
                 MRP_FRAME_MAX >> 20);
        mrp_hint(err, "the plugin %s is at fault", what);
    } else if (p->timed_out) {
        char buf[32];
        mrp_fail(err, MRP_E_TIMEOUT, "%s did not end within %s", t->init.id,
                 mrp_show_ms(buf, sizeof buf, t->init.timeout_ms));
        mrp_hint(err, "raise `timeout:` of the stage, or see its log for what it waited for");
    } else if (p->stopped) {
        end->result = "cancelled";
        mrp_fail(err, MRP_E_CANCELLED, "the run was stopped");
    } else if (end->signal) {
        mrp_fail(err, MRP_E_BUG, "the worker of %s was killed by SIG%s", t->init.id,
                 sigabbrev_np(end->signal) ? sigabbrev_np(end->signal) : "?");
        mrp_hint(err,
                 "a crash in the plugin %s; `--in-process --stage %s` under a debugger shows where",
                 what, t->init.id);
    } else if (!t->result) {
        mrp_fail(err, MRP_E_BUG, "the worker of %s ended without a result (exit status %d)",
                 t->init.id, end->exit);
        mrp_hint(err, "the plugin %s called exit(), or was stopped from outside", what);
    } else if (end->exit != 0) {
        mrp_fail(err, MRP_E_BUG, "the worker of %s ended with status %d after its result",
                 t->init.id, end->exit);
    } else {
        end->result = mrp_json_str(t->result, "result");
        if (mrp_streq(end->result, "failed"))
            mrp_error_from_json(err, mrp_json_obj(t->result, "error"));
        end->load_failure =
            mrp_streq(end->result, "failed") && !mrp_json_bool(t->result, "loaded", true);
    }
}

static void on_exit_worker(void *arg, struct mrp_proc *proc)
{
    struct mrp_task *t = arg;
    (void)proc;
    struct mrp_task_end end = {.tail = &t->tail, .counts = t->counts, .log = t->log_path};
    judge_exit(t, &end);
    if (end.error.code && mrp_streq(end.result, "failed"))
        keep_text(t, end.error.msg);
    t->init.on_end(t->init.arg, &end);
    task_free(t);
}

static int start_process(struct mrp_task *t, struct mrp_error *err)
{
    t->capture.line = on_line;
    t->capture.arg = t;
    t->capture_open = true;
    int rc = mrp_capture_open(&t->capture, t->init.s->masker, err);
    if (rc)
        return rc;
    t->proc = (struct mrp_proc){.on_frame = on_frame, .on_exit = on_exit_worker, .arg = t};
    if (t->init.timeout_ms)
        t->proc.deadline_ms = mrp_now_ms() + t->init.timeout_ms;
    struct mrp_spawn spawn = {
        .capture = &t->capture, .frames = true, .child = mrp_worker_main, .arg = &t->work};
    return mrp_loop_spawn(&t->init.s->loop, &t->proc, &spawn, err);
}

static void fill_work(struct mrp_task *t)
{
    const struct mrp_session *s = t->init.s;
    const struct mrp_pipeline *pipeline = &s->spec->pipeline;
    t->work = (struct mrp_work){.path = t->init.plugin->path,
                                .sha256 = t->init.sha256,
                                .action = t->init.action,
                                .mode = t->init.mode,
                                .with = t->init.with};
    t->work.stage = (struct mrp_stage_init){
        .id = t->init.id,
        .run_id = s->folder.id,
        .region = t->init.region,
        .primary = s->names.primary,
        .secondaries = pipeline->present ? pipeline->secondaries : NULL,
        .workdir = s->options->workdir,
        .rundir = s->folder.path,
        .role_arn = t->init.role_arn,
        .debug = s->options->debug,
        .env = t->init.env,
        .endpoints = pipeline->present ? pipeline->endpoints : NULL,
        .artifacts = s->artifacts,
        .dry_run = t->init.mode != MRP_MODE_RUN,
    };
}

int mrp_task_start(struct mrp_task **out, const struct mrp_task_init *init, struct mrp_error *err)
{
    struct mrp_task *t = calloc(1, sizeof *t);
    if (!t) {
        json_decref(init->with);
        mrp_free_strv((char ***)(uintptr_t)&init->env);
        free(init->role_arn);
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    }
    t->init = *init;
    t->counts = json_object();
    t->log_fd = -1;
    if (!init->quiet) {
        t->log_path = mrp_folder_file(&init->s->folder, "stages", init->id, ".log");
        if (t->log_path)
            t->log_fd = open(t->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    }
    fill_work(t);
    *out = t;
    if (init->s->options->in_process && !init->quiet) {
        mrp_worker_do(&t->work, on_frame, t);
        on_exit_worker(t, &t->proc);
        return 0;
    }
    int rc = start_process(t, err);
    if (rc) {
        *out = NULL;
        task_free(t);
    }
    return rc;
}

void mrp_task_stop(struct mrp_task *task)
{
    mrp_proc_stop(&task->proc);
}
