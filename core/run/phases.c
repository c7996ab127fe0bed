/* The phase machine: commands in order, finally, on-failure, as CodeBuild does it. */
#include "phases.h"

#include "buildenv.h"
#include "shell.h"
#include "state.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct mrp_phases {
    struct mrp_session *s;
    struct mrp_shell shell;
    struct mrp_capture capture;
    struct mrp_proc proc;
    struct mrp_shell_call call;
    struct mrp_tail_lines tail;
    int log_fd;
    int secrets_fd; /* values that commands ask to mask: lines of $MRPIPE_SECRETS */
    off_t secrets_read;
    char *log_path;
    int phase; /* the current one; MRP_PHASES: over */
    size_t index;
    bool in_finally, phase_failed, failed, stopping, begun, over, reused;
    bool cut_short; /* the present phase was stopped, and nothing had failed before */
    int attempts;
    int64_t phase_ms, command_ms;
    char *message; /* of the phase's first failure, for RETRY patterns */
};

static void advance(struct mrp_phases *p);

static const struct mrp_phase_spec *current(const struct mrp_phases *p)
{
    return &p->s->spec->phases[p->phase];
}

static const char *name_of(const struct mrp_phases *p)
{
    return p->phase < MRP_PHASES ? mrp_phase_names[p->phase] : mrp_phase_names[MRP_PHASES - 1];
}

static json_t *event(const struct mrp_phases *p, const char *type)
{
    json_t *e = mrp_event_new(type);
    mrp_json_puts(e, "phase", name_of(p));
    return e;
}

static void on_line(void *arg, int stream, const char *text, size_t len)
{
    struct mrp_phases *p = arg;
    json_t *e = event(p, "output");
    mrp_json_puts(e, "stream", stream ? "stderr" : "stdout");
    mrp_json_put(e, "text", mrp_clean_string(text, len));
    mrp_journal_send(&p->s->journal, e);
    mrp_tail_add(&p->tail, text, len);
    if (p->log_fd >= 0 &&
        (mrp_write_all(p->log_fd, text, len) || mrp_write_all(p->log_fd, "\n", 1)))
        mrp_close_fd(&p->log_fd); /* a full disk must not end the build */
}

/* Whole lines that were added to $MRPIPE_SECRETS since the last look are masked from now on. */
static void take_secrets(void *arg)
{
    struct mrp_phases *p = arg;
    struct stat st;
    if (p->secrets_fd < 0 || fstat(p->secrets_fd, &st) || st.st_size <= p->secrets_read)
        return;
    char text[16384];
    ssize_t n = pread(p->secrets_fd, text, sizeof text, p->secrets_read);
    const char *end = n > 0 ? memrchr(text, '\n', (size_t)n) : NULL;
    if (!end)
        return;
    struct mrp_view rest = {text, (size_t)(end + 1 - text)}, line;
    p->secrets_read += (off_t)rest.n;
    while (mrp_view_next(&line, &rest, '\n'))
        (void)mrp_masker_add(p->s->masker, line.p, line.n);
}

struct mrp_phases *mrp_phases_new(struct mrp_session *s, struct mrp_error *err)
{
    struct mrp_phases *p = calloc(1, sizeof *p);
    if (!p) {
        mrp_fail(err, MRP_E_NOMEM, "out of memory");
        return NULL;
    }
    p->s = s;
    p->secrets_fd = p->log_fd = -1;
    if (!s->spec->has_phases)
        return p;
    p->capture.line = on_line;
    p->capture.arg = p;
    p->capture.before = take_secrets;
    mrp_auto(mrp_free_str) char *secrets = mrp_path_join(s->folder.temp, "secrets");
    p->secrets_fd = secrets ? open(secrets, O_RDONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (secrets)
        (void)mrp_env_set(&s->env, "MRPIPE_SECRETS", secrets);
    p->log_path = mrp_folder_file(&s->folder, "", "phases", ".log");
    p->log_fd =
        p->log_path ? open(p->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (mrp_capture_open(&p->capture, s->masker, err) ||
        mrp_shell_init(&p->shell, s->spec, s->folder.temp, s->options->workdir, err))
        mrp_phases_free(&p);
    else
        s->loop.lasting = &p->capture;
    return p;
}

void mrp_phases_free(struct mrp_phases **phases)
{
    struct mrp_phases *p = *phases;
    if (!p)
        return;
    p->s->loop.lasting = NULL;
    if (p->s->spec->has_phases)
        mrp_capture_close(&p->capture);
    mrp_shell_done(&p->shell);
    mrp_tail_done(&p->tail);
    mrp_close_fd(&p->log_fd);
    mrp_close_fd(&p->secrets_fd);
    free(p->log_path);
    free(p->message);
    free(p);
    *phases = NULL;
}

bool mrp_phases_done(const struct mrp_phases *phases)
{
    return phases->over;
}

bool mrp_phases_ok(const struct mrp_phases *phases)
{
    return phases->over && !phases->failed;
}

bool mrp_phases_reused(const struct mrp_phases *phases)
{
    return phases->reused;
}

static void send_ended(struct mrp_phases *p, const char *result, const char *reason)
{
    json_t *e = event(p, "phase-ended");
    mrp_json_puts(e, "result", result);
    mrp_json_puti(e, "ms", p->attempts ? mrp_now_ms() - p->phase_ms : 0);
    mrp_json_puti(e, "attempts", p->attempts);
    mrp_json_puts(e, "reason", reason);
    mrp_journal_send(&p->s->journal, e);
}

/* All is over: what the commands left becomes the environment of the stages. */
static void end_all(struct mrp_phases *p)
{
    struct mrp_session *s = p->s;
    struct mrp_error err = {0};
    p->over = true;
    if (p->begun && p->shell.carry && mrp_shell_env(&s->env, &p->shell, &err))
        mrp_note(&s->journal, MRP_WARN, "the variables of the phases are lost: %s", err.msg);
    for (char **name = s->spec->exported; p->begun && name && *name; name++) {
        const char *value = mrp_env_get(s->env, *name);
        if (value && !mrp_starts(*name, "AWS_") && !mrp_strv_has(s->secrets, *name))
            mrp_json_put(s->exported, *name, mrp_clean_string(value, strlen(value)));
    }
    (void)mrp_session_mask_keys(s); /* keys that a phase fetched */
    s->names.env = s->env;
    s->names.files_ready = true;
    if (p->begun)
        mrp_state_phases(s, !p->failed);
}

static void skip_rest(struct mrp_phases *p, const char *reason)
{
    for (; p->phase < MRP_PHASES; p->phase++) {
        p->attempts = 0;
        json_t *e = event(p, "phase-started");
        if (!reason)
            json_decref(e);
        else
            mrp_journal_send(&p->s->journal, e);
        send_ended(p, "skipped", reason);
    }
    end_all(p);
}

void mrp_phases_give_up(struct mrp_phases *phases)
{
    phases->failed = true;
    skip_rest(phases, NULL);
}

static void begin_phase(struct mrp_phases *p)
{
    p->index = 0;
    p->in_finally = p->phase_failed = p->cut_short = false;
    p->attempts++;
    if (p->attempts == 1) {
        p->phase_ms = mrp_now_ms();
        mrp_journal_send(&p->s->journal, event(p, "phase-started"));
    }
    mrp_free_str(&p->message);
}

void mrp_phases_start(struct mrp_phases *phases, const char *reason)
{
    if (reason || !phases->s->spec->has_phases) {
        phases->reused = reason != NULL;
        if (phases->s->spec->has_phases) {
            skip_rest(phases, reason);
        } else {
            phases->phase = MRP_PHASES;
            end_all(phases);
        }
        return;
    }
    phases->begun = true;
    begin_phase(phases);
    advance(phases);
}

/* ---- commands ---- */

static const struct mrp_command *command_of(const struct mrp_phases *p)
{
    const struct mrp_phase_spec *spec = current(p);
    return p->in_finally ? &spec->finally[p->index] : &spec->commands[p->index];
}

static size_t number_of(const struct mrp_phases *p)
{
    return p->index + 1 + (p->in_finally ? current(p)->command_count : 0);
}

static json_t *command_event(const struct mrp_phases *p, const char *type)
{
    json_t *e = event(p, type);
    mrp_json_puti(e, "index", (int64_t)number_of(p));
    return e;
}

static void fail_card(struct mrp_phases *p,
                      const char *what,
                      int exit_code,
                      int sig,
                      const struct mrp_error *error)
{
    const struct mrp_command *c = command_of(p);
    struct mrp_session *s = p->s;
    json_t *e = command_event(p, "failure");
    mrp_auto(mrp_free_str) char *where =
        mrp_strf("phase %s, %s %zu", name_of(p), p->in_finally ? "finally command" : "command",
                 p->index + 1);
    mrp_json_puts(e, "where", where);
    mrp_json_put(e, "what", mrp_clean_string(what, strlen(what)));
    if (exit_code >= 0)
        mrp_json_puti(e, "exit", exit_code);
    if (sig)
        mrp_json_puts(e, "signal", sigabbrev_np(sig));
    if (error)
        mrp_json_put(e, "error", mrp_error_json(error));
    mrp_json_put(e, "tail", mrp_tail_json(&p->tail));
    mrp_json_puts(e, "file", s->spec->path);
    mrp_json_puti(e, "line", c->mark.line);
    mrp_json_puts(e, "log", p->log_path);
    mrp_json_puts(e, "rerun", s->options->command_line);
    mrp_journal_send(&s->journal, e);
}

static void note_failure(struct mrp_phases *p, int status)
{
    const struct mrp_command *c = command_of(p);
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + sig;
    if (!p->message)
        p->message =
            mrp_strf("Error while executing command: %s. Reason: exit status %d", c->text, code);
    p->cut_short |= p->stopping && !p->phase_failed;
    p->phase_failed = true;
    if (!p->stopping)
        fail_card(p, c->text, code, sig, NULL);
}

static void on_exit_command(void *arg, struct mrp_proc *proc)
{
    struct mrp_phases *p = arg;
    struct mrp_error err = {0};
    int status = proc->status;
    if (mrp_shell_keep(&p->shell, &err))
        mrp_note(&p->s->journal, MRP_WARN, "%s", err.msg);
    json_t *e = command_event(p, "command-ended");
    mrp_json_puti(e, "exit", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    if (WIFSIGNALED(status))
        mrp_json_puts(e, "signal", sigabbrev_np(WTERMSIG(status)));
    mrp_json_puti(e, "ms", mrp_now_ms() - p->command_ms);
    mrp_journal_send(&p->s->journal, e);
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!ok)
        note_failure(p, status);
    if (ok) {
        p->index++;
    } else if (p->in_finally) {
        p->index = current(p)->finally_count;
    } else {
        p->in_finally = true;
        p->index = 0;
    }
    advance(p);
}

/* 0, or the command could not be started. */
static int start_command(struct mrp_phases *p, struct mrp_error *err)
{
    struct mrp_session *s = p->s;
    const struct mrp_command *c = command_of(p);
    const char *run_as = current(p)->run_as ? current(p)->run_as : s->spec->run_as;
    json_t *e = command_event(p, "command-started");
    mrp_json_put(e, "text", mrp_clean_string(c->text, strlen(c->text)));
    mrp_json_puts(e, "file", s->spec->path);
    mrp_json_puti(e, "line", c->mark.line);
    mrp_journal_send(&s->journal, e);
    mrp_tail_done(&p->tail);
    p->command_ms = mrp_now_ms();
    int rc = mrp_shell_prepare(&p->shell, c->text, !p->failed && !p->phase_failed, run_as, err);
    if (rc)
        return rc;
    p->call = (struct mrp_shell_call){.shell = &p->shell, .env = s->env, .run_as = run_as};
    p->proc = (struct mrp_proc){.on_exit = on_exit_command, .arg = p};
    struct mrp_spawn spawn = {.capture = &p->capture, .child = mrp_shell_exec, .arg = &p->call};
    return mrp_loop_spawn(&s->loop, &p->proc, &spawn, err);
}

/* ---- the end of a phase ---- */

static bool retry_matches(const struct mrp_phases *p, const char *pattern)
{
    regex_t re;
    if (!pattern)
        return true;
    if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB))
        return false;
    bool yes = p->message && regexec(&re, p->message, 0, NULL, 0) == 0;
    for (size_t i = 0; !yes && i < MRP_TAIL_LINES; i++)
        yes = p->tail.lines[i] && regexec(&re, p->tail.lines[i], 0, NULL, 0) == 0;
    regfree(&re);
    return yes;
}

/* True if the phase begins again. */
static bool try_again(struct mrp_phases *p)
{
    const struct mrp_phase_spec *spec = current(p);
    if (!p->phase_failed || p->stopping || spec->on_failure != MRP_RETRY ||
        p->attempts > spec->retries || !retry_matches(p, spec->retry_pattern))
        return false;
    mrp_note(&p->s->journal, MRP_WARN, "phase %s failed: attempt %d of %d follows", name_of(p),
             p->attempts + 1, spec->retries + 1);
    begin_phase(p);
    return true;
}

/* Ends the current phase; false: the build stops here. */
static bool end_phase(struct mrp_phases *p)
{
    const struct mrp_phase_spec *spec = current(p);
    send_ended(p, p->cut_short ? "cancelled" : p->phase_failed ? "failed" : "succeeded", NULL);
    bool go_on = true;
    if (p->phase_failed) {
        if (!p->failed)
            mrp_session_fail(p->s, "build", MRP_EXIT_FAILED);
        p->failed = true;
        /* A failed build still runs post_build, unless on-failure says ABORT. */
        go_on = spec->on_failure == MRP_CONTINUE ||
                (p->phase >= MRP_BUILD && spec->on_failure != MRP_ABORT);
    }
    p->phase++;
    p->attempts = 0;
    return go_on && !p->stopping;
}

static void advance(struct mrp_phases *p)
{
    while (p->phase < MRP_PHASES) {
        const struct mrp_phase_spec *spec = current(p);
        size_t count = p->in_finally ? spec->finally_count : spec->command_count;
        p->cut_short |= p->stopping && !p->phase_failed && p->index < count;
        if (!p->in_finally && (p->index >= spec->command_count || p->stopping)) {
            p->in_finally = true;
            p->index = 0;
        }
        if (p->in_finally && (p->index >= spec->finally_count || p->stopping)) {
            if (try_again(p))
                continue;
            if (!end_phase(p)) {
                skip_rest(p, NULL);
                return;
            }
            if (p->phase < MRP_PHASES)
                begin_phase(p);
            continue;
        }
        struct mrp_error err = {0};
        if (start_command(p, &err) == 0)
            return;
        p->phase_failed = true;
        fail_card(p, command_of(p)->text, -1, 0, &err);
        p->index = p->in_finally ? spec->finally_count : 0;
        p->in_finally = true;
    }
    end_all(p);
}

void mrp_phases_stop(struct mrp_phases *phases)
{
    if (phases->over)
        return;
    phases->stopping = true;
    phases->failed = true;
    if (phases->begun)
        mrp_proc_stop(&phases->proc);
    else
        skip_rest(phases, NULL);
}
