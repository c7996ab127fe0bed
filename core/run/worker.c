/* The worker: loads a plugin, runs one action, ends with the mandatory result frame. */
#include "worker.h"

#include "journal.h"
#include "loader.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/options.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME_FD = 3 };

/* The signal handler can only reach a global; a worker carries out one action in its life. */
static volatile sig_atomic_t stop_asked; /* NOLINT: written by the handler */

struct speaker {
    void (*emit)(void *arg, const char *json, size_t len);
    void *arg;
};

static void on_term(int sig)
{
    (void)sig;
    stop_asked = 1;
}

void mrp_worker_limits(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0L); /* the process holds credentials */
}

static void speak(struct speaker *to, json_t *frame)
{
    mrp_auto(mrp_free_json) json_t *owned = frame;
    mrp_auto(mrp_free_str) char *text = owned ? mrp_json_text(owned) : NULL;
    if (text)
        to->emit(to->arg, text, strlen(text));
}

static json_t *frame_of(const char *type)
{
    json_t *frame = json_object();
    mrp_json_puts(frame, "type", type);
    return frame;
}

/* Values of secret options are masked from the start, also those inside a list or a map. */
static void tell_secret(struct speaker *to, const json_t *value)
{
    size_t i;
    const char *key;
    json_t *item;
    if (json_is_string(value)) {
        json_t *frame = frame_of("secret");
        mrp_json_put(frame, "value", json_deep_copy(value));
        speak(to, frame);
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, item) tell_secret(to, item);
    } else if (json_is_object(value)) {
        void *iter = json_object_iter((json_t *)(uintptr_t)value);
        for (; iter; iter = json_object_iter_next((json_t *)(uintptr_t)value, iter)) {
            key = json_object_iter_key(iter);
            (void)key;
            tell_secret(to, json_object_iter_value(iter));
        }
    }
}

static void tell_secrets(struct speaker *to, const struct mrp_option *table, const json_t *with)
{
    for (const struct mrp_option *o = table; o->name; o++)
        if (o->type == MRP_OPT_SECRET || (o->flags & MRP_SECRET_VALUE))
            tell_secret(to, json_object_get(with, o->name));
}

typedef int (*action_fn)(void *, struct mrp_stage *, enum mrp_result *, struct mrp_error *);

static int call(enum mrp_result *result,
                const struct mrp_work *work,
                const struct mrp_action *action,
                struct mrp_stage *stage,
                struct mrp_error *err)
{
    action_fn fn = work->mode == MRP_MODE_PLAN     ? action->plan
                   : work->mode == MRP_MODE_VERIFY ? action->verify
                                                   : action->run;
    if (!fn)
        return mrp_fail(err, MRP_E_CANCELLED, "%s has no %s", action->name,
                        work->mode == MRP_MODE_PLAN ? "plan" : "verify");
    mrp_auto(mrp_free_str) char *options = calloc(1, action->options_size + 1);
    if (!options)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    const char *bad = NULL;
    int rc = mrp_options_parse(options, action->options, work->with, NULL, NULL, err);
    if (!rc && action->check && (rc = action->check(options, &bad, err)) && bad)
        mrp_wrap(err, "%s", bad);
    if (!rc)
        rc = fn(options, stage, result, err);
    mrp_options_done(options, action->options);
    return rc;
}

static int carry_out(enum mrp_result *result,
                     const struct mrp_work *work,
                     struct speaker *to,
                     bool *loaded,
                     struct mrp_error *err)
{
    const struct mrp_plugin *plugin = work->plugin;
    void *handle;
    int rc = plugin ? 0 : mrp_plugin_open(&plugin, &handle, work->path, work->sha256, err);
    if (rc)
        return rc;
    *loaded = true;
    const struct mrp_action *action = mrp_plugin_action(plugin, work->action);
    if (!action)
        return mrp_fail(err, MRP_E_CONFIG, "plugin %s has no action `%s`", plugin->name,
                        work->action);
    tell_secrets(to, action->options, work->with);
    struct mrp_stage_init init = work->stage;
    init.outputs = action->outputs;
    init.cancelled = &stop_asked;
    init.emit = to->emit;
    init.arg = to->arg;
    struct mrp_stage *stage = mrp_stage_new(&init);
    if (!stage)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    rc = call(result, work, action, stage, err);
    mrp_stage_free(stage);
    return rc;
}

void mrp_worker_do(const struct mrp_work *work,
                   void (*emit)(void *arg, const char *json, size_t len),
                   void *arg)
{
    struct speaker to = {emit, arg};
    struct mrp_error err = {0};
    enum mrp_result result = MRP_UNCHANGED;
    bool loaded = false;
    int rc = carry_out(&result, work, &to, &loaded, &err);
    fflush(stdout);
    fflush(stderr);
    json_t *frame = frame_of("result");
    if (!rc) {
        mrp_json_puts(frame, "result", result == MRP_CHANGED ? "changed" : "unchanged");
    } else {
        if (!err.code) { /* the action returned a failure without words */
            mrp_fail(&err, rc < 0 ? (enum mrp_code)rc : MRP_E_BUG,
                     "the action failed without a message");
        }
        mrp_json_puts(frame, "result", "failed");
        mrp_json_put(frame, "error", mrp_error_json(&err));
        mrp_json_put(frame, "loaded", json_boolean(loaded));
    }
    speak(&to, frame);
}

static void send_frame(void *arg, const char *json, size_t len)
{
    (void)arg;
    /* One write with the line end, so that frames of a forking plugin do not mix. */
    mrp_auto(mrp_free_str) char *line = malloc(len + 1);
    if (!line)
        _exit(70);
    memcpy(line, json, len);
    line[len] = '\n';
    for (size_t at = 0; at <= len;) {
        ssize_t n = send(FRAME_FD, line + at, len + 1 - at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(70); /* the runner is gone */
        at += (size_t)n;
    }
}

void mrp_worker_main(void *arg)
{
    const struct mrp_work *work = arg;
    struct sigaction term = {.sa_handler = on_term};
    sigemptyset(&term.sa_mask);
    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGINT, &term, NULL);
    signal(SIGPIPE, SIG_IGN);
    mrp_worker_limits();
    if (work->stage.env)
        environ = (char **)(uintptr_t)work->stage.env;
    if (work->stage.workdir && chdir(work->stage.workdir))
        _exit(71);
    setvbuf(stdout, NULL, _IOLBF, 0);
    mrp_worker_do(work, send_frame, NULL);
    _exit(0);
}
