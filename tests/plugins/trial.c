/* trial: actions that behave badly (and one that behaves well), for the tests of the runner. */
#include <mrpipe/plugin.h>
#include <mrpipe/stage.h>
#include <mrpipe/text.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct note {
    char *text;
    char **list;
    char *secret;
    char *file;
    bool changed;
    int64_t times;
};

static const struct mrp_option note_options[] = {
    {"text", MRP_STRING(struct note, text), .flags = MRP_REQUIRED, .help = "what to say"},
    {"list", MRP_LIST(struct note, list), .help = "several values"},
    {"secret", MRP_SECRET(struct note, secret), .help = "a value that must not show"},
    {"file", MRP_PATH(struct note, file), .help = "a file to write and to add to the artifacts"},
    {"changed", MRP_BOOL(struct note, changed), .fallback = "no", .help = "report a change"},
    {"times", MRP_INT(struct note, times), .fallback = "1", .help = "how often to fail (fail)",
     .min = 0, .max = 1000},
    {0},
};
static const struct mrp_output_info note_outputs[] = {
    {"text", "string", "the text"},
    {"region", "string", "the region of the stage"},
    {"env", "string", "the variable TRIAL"},
    {0},
};

static int note_check(const void *options, const char **bad, struct mrp_error *err)
{
    const struct note *o = options;
    if (strcmp(o->text, "refused") != 0)
        return 0;
    *bad = "text";
    return mrp_fail(err, MRP_E_CONFIG, "this text is refused");
}

static int
note_plan(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    const struct note *o = options;
    mrp_change(stage, "would say %s", o->text);
    *result = MRP_CHANGED;
    return mrp_output(stage, "text", json_string(o->text), err);
}

static int
note_run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    const struct note *o = options;
    const char *env = mrp_stage_env(stage, "TRIAL");
    mrp_log(stage, MRP_INFO, "saying %s", o->text);
    printf("text %s\n", o->text);
    for (char **item = o->list; item && *item; item++)
        printf("item %s\n", *item);
    if (o->secret)
        printf("secret %s\n", o->secret);
    if (o->changed)
        mrp_change(stage, "said %s", o->text);
    mrp_count(stage, "bytes", (int64_t)strlen(o->text));
    *result = o->changed ? MRP_CHANGED : MRP_UNCHANGED;
    if (o->file) {
        char *path = NULL;
        int rc = mrp_stage_path(&path, stage, o->file, err);
        FILE *f = rc ? NULL : fopen(path, "we");
        free(path);
        if (!f)
            return rc ? rc : mrp_fail_errno(err, "create %s", o->file);
        fprintf(f, "%s\n", o->text);
        fclose(f);
        mrp_add_artifact(stage, o->file);
    }
    int rc = mrp_output(stage, "text", json_string(o->text), err);
    if (!rc)
        rc = mrp_output(stage, "region", json_string(mrp_stage_region(stage)), err);
    if (!rc && env)
        rc = mrp_output(stage, "env", json_string(env), err);
    return rc;
}

/* The sides are equal when the file is there. */
static int
note_verify(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    const struct note *o = options;
    char *path = NULL;
    int rc = o->file ? mrp_stage_path(&path, stage, o->file, err) : 0;
    *result = path && access(path, F_OK) != 0 ? MRP_CHANGED : MRP_UNCHANGED;
    free(path);
    return rc;
}

static int
crash_run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    (void)options, (void)result, (void)err;
    mrp_log(stage, MRP_INFO, "about to crash");
    raise(SIGSEGV);
    return 0;
}

/* Ignores every polite request. */
static int
hang_run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    (void)result;
    const struct note *o = options;
    if (strcmp(o->text, "stubborn") == 0)
        signal(SIGTERM, SIG_IGN);
    mrp_log(stage, MRP_INFO, "hanging");
    pid_t child = fork(); /* a grandchild that must go too */
    for (;;) {
        if (child && strcmp(o->text, "polite") == 0 && mrp_stage_cancelled(stage))
            return mrp_fail(err, MRP_E_CANCELLED, "stopped");
        pause();
    }
}

static int
exit_run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    (void)options, (void)stage, (void)result, (void)err;
    exit(0);
}

static int
garbage_run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    (void)stage, (void)err;
    const struct note *o = options;
    static const char junk[] = "\x01\xff not json\n{\"type\":\"result\",\"result\":\"changed\"}\n";
    *result = MRP_CHANGED;
    if (strcmp(o->text, "flood") != 0) {
        (void)!send(3, junk, sizeof junk - 1, MSG_NOSIGNAL);
        return 0;
    }
    char block[65536]; /* a frame that never ends */
    memset(block, 'x', sizeof block);
    while (send(3, block, sizeof block, MSG_NOSIGNAL) > 0)
        ;
    return 0;
}

/* A secret in many forms, split over writes, on both streams and in every kind of frame. */
static int
leak_run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    const struct note *o = options;
    const char *s = o->text;
    size_t n = strlen(s), half = n / 2;
    mrp_secret(stage, s);
    (void)!write(1, s, half);
    usleep(20000); /* two reads of the runner, not one; nothing depends on it */
    (void)!write(1, s + half, n - half);
    (void)!write(1, "\n", 1);
    char *enc = mrp_base64(s, n), *pct = mrp_percent(s, n, false), *json = mrp_json_escape(s, n);
    fprintf(stderr, "b64 %s\npct %s\njson {\"k\":\"%s\"}\n", enc, pct, json);
    mrp_log(stage, MRP_INFO, "log %s", s);
    mrp_change(stage, "change %s", s);
    mrp_event(stage, "leak", json_pack("{s:s, s:[s]}", s, "as a key", "list", s));
    *result = MRP_CHANGED;
    free(enc);
    free(pct);
    free(json);
    int rc = mrp_output(stage, "text", json_string(s), err);
    return rc ? rc : mrp_fail(err, MRP_E_REMOTE, "refused: %s", s);
}

/* Fails `times` times, counted in a file of the run folder, then succeeds. */
static int
fail_run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    const struct note *o = options;
    char *path = mrp_strf("%s/%s.count", mrp_stage_rundir(stage), mrp_stage_id(stage));
    FILE *f = path ? fopen(path, "ae") : NULL;
    free(path);
    if (!f)
        return mrp_fail_errno(err, "count");
    fputc('x', f);
    long count = ftell(f);
    fclose(f);
    *result = MRP_CHANGED;
    if (count > o->times)
        return mrp_output(stage, "text", json_string(o->text), err);
    fprintf(stderr, "attempt %ld goes wrong\n", count);
    mrp_fail(err, strcmp(o->text, "auth") == 0 ? MRP_E_AUTH : MRP_E_REMOTE, "attempt %ld failed",
             count);
    return mrp_hint(err, "try again");
}

#define ACTION(n, fn)                                                                              \
    {                                                                                              \
        .name = n, .summary = n, .options = note_options, .outputs = note_outputs,                 \
        .options_size = sizeof(struct note), .run = fn                                             \
    }
static const struct mrp_action actions[] = {
    {.name = "note",
     .summary = "say something",
     .options = note_options,
     .outputs = note_outputs,
     .options_size = sizeof(struct note),
     .check = note_check,
     .plan = note_plan,
     .run = note_run,
     .verify = note_verify},
    ACTION("crash", crash_run),
    ACTION("hang", hang_run),
    ACTION("exit", exit_run),
    ACTION("garbage", garbage_run),
    ACTION("leak", leak_run),
    ACTION("fail", fail_run),
};

MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 = {
    MRP_PLUGIN_HEAD,    .name = "trial",
    .version = "1.2.3", .summary = "actions for the tests of the runner",
    .actions = actions, .action_count = MRP_COUNT(actions),
};
