/* A task: starts a worker, turns its frames into events, judges how it ended. */
#include "task.h"

#include "brief.h"
#include "frames.h"
#include "loader.h"

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
    struct mrp_frames frames;
    char *log_path;
    int log_fd;
    bool capture_open;
};

static void task_free(struct mrp_task *t)
{
    if (t->capture_open)
        mrp_capture_close(&t->capture);
    mrp_tail_done(&t->tail);
    mrp_frames_done(&t->frames);
    json_decref(t->init.with);
    mrp_free_strv(&t->init.env);
    free(t->init.role_arn);
    free(t->log_path);
    mrp_close_fd(&t->log_fd);
    free(t);
}

static void write_log(struct mrp_task *t, const char *text, size_t len)
{
    if (t->log_fd >= 0 &&
        (mrp_write_all(t->log_fd, text, len) || mrp_write_all(t->log_fd, "\n", 1)))
        mrp_close_fd(&t->log_fd);
}

static void keep_text(void *arg, const char *text)
{
    struct mrp_task *t = arg;
    write_log(t, text, strlen(text));
    mrp_tail_add(&t->tail, text, strlen(text));
}

static void on_line(void *arg, int stream, const char *text, size_t len)
{
    struct mrp_task *t = arg;
    json_t *e = mrp_frames_event(&t->frames, "output");
    mrp_json_puts(e, "stream", stream ? "stderr" : "stdout");
    mrp_json_put(e, "text", mrp_clean_string(text, len));
    mrp_frames_send(&t->frames, e);
    write_log(t, text, len);
    mrp_tail_add(&t->tail, text, len);
}

static void on_frame(void *arg, const char *json, size_t len)
{
    struct mrp_task *t = arg;
    if (!t->frames.garbage && !mrp_frames_take(&t->frames, json, len) && t->proc.pid > 0)
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
    if (t->frames.garbage) {
        mrp_fail(err, MRP_E_BUG, "the worker of %s wrote something that is no frame: %s",
                 t->init.id, t->frames.garbage);
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
    } else if (!t->frames.result) {
        mrp_fail(err, MRP_E_BUG, "the worker of %s ended without a result (exit status %d)",
                 t->init.id, end->exit);
        mrp_hint(err, "the plugin %s called exit(), or was stopped from outside", what);
    } else if (end->exit != 0) {
        mrp_fail(err, MRP_E_BUG, "the worker of %s ended with status %d after its result",
                 t->init.id, end->exit);
    } else {
        end->result = mrp_json_str(t->frames.result, "result");
        if (mrp_streq(end->result, "failed"))
            mrp_error_from_json(err, mrp_json_obj(t->frames.result, "error"));
        end->load_failure =
            mrp_streq(end->result, "failed") && !mrp_json_bool(t->frames.result, "loaded", true);
    }
}

static void on_exit_worker(void *arg, struct mrp_proc *proc)
{
    struct mrp_task *t = arg;
    (void)proc;
    struct mrp_task_end end = {.tail = &t->tail, .counts = t->frames.counts, .log = t->log_path};
    judge_exit(t, &end);
    if (end.error.code && mrp_streq(end.result, "failed")) {
        mrp_auto(mrp_free_str) char *masked =
            mrp_mask_text(t->init.s->masker, end.error.msg, strlen(end.error.msg), NULL);
        keep_text(t, masked ? masked : end.error.msg);
    }
    t->init.on_end(t->init.arg, &end);
    task_free(t);
}

static int brief(void *arg, int fd)
{
    return mrp_brief_send(fd, arg);
}

/* A plugin that is no longer the file that was mapped for the checks is mapped anew. */
static struct mrp_forkserver *server_for(struct mrp_task *t)
{
    const struct mrp_used_plugin *plugin = t->init.plugin;
    if (t->init.s->server.pid <= 0)
        return NULL;
    mrp_auto(mrp_free_str) char *now = mrp_plugin_identity(plugin->path);
    return now && mrp_streq(now, plugin->identity) ? &t->init.s->server : NULL;
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
    struct mrp_spawn spawn = {.capture = &t->capture,
                              .frames = true,
                              .with_stdin = t->init.s->options->with_stdin && !t->init.quiet,
                              .server = server_for(t),
                              .last = t->init.last,
                              .brief = brief,
                              .child = mrp_worker_main,
                              .arg = &t->work};
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
    t->log_fd = -1;
    t->frames = (struct mrp_frames){.journal = &init->s->journal,
                                    .masker = init->s->masker,
                                    .id = init->id,
                                    .quiet = init->quiet,
                                    .on_output = init->on_output,
                                    .on_artifact = init->on_artifact,
                                    .on_text = keep_text,
                                    .arg = init->arg,
                                    .text_arg = t};
    if (mrp_frames_init(&t->frames)) {
        task_free(t);
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    }
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
