/* Runs one callback of one action without the runner, for the plugins' tests: the stage is
 * described on standard input, frames and a last result line go to standard output. */
#include <mrpipe/auto.h>
#include <mrpipe/host.h>
#include <mrpipe/json.h>
#include <mrpipe/options.h>
#include <mrpipe/plugin.h>
#include <mrpipe/text.h>

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t stopped;

static void on_term(int sig)
{
    (void)sig;
    stopped = 1;
}

static void emit(void *arg, const char *json, size_t len)
{
    (void)arg;
    fwrite(json, 1, len, stdout);
    fputc('\n', stdout);
    fflush(stdout);
}

static const struct mrp_action *find(const char *file, const char *name)
{
    void *so = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    const struct mrp_plugin *plugin = so ? dlsym(so, "mrp_plugin_v1") : NULL;
    if (!plugin) {
        fprintf(stderr, "%s\n", dlerror());
        return NULL;
    }
    for (size_t i = 0; i < plugin->action_count; i++)
        if (strcmp(plugin->actions[i].name, name) == 0)
            return &plugin->actions[i];
    return NULL;
}

static int call(const struct mrp_action *a,
                const char *how,
                void *options,
                struct mrp_stage *stage,
                enum mrp_result *result,
                struct mrp_error *err)
{
    const char *bad = NULL;
    int rc = a->check ? a->check(options, &bad, err) : MRP_OK;
    if (rc || strcmp(how, "check") == 0)
        return rc;
    if (strcmp(how, "plan") == 0)
        return a->plan(options, stage, result, err);
    if (strcmp(how, "verify") == 0)
        return a->verify(options, stage, result, err);
    return a->run(options, stage, result, err);
}

static const char * or (const json_t *in, const char *key, const char *otherwise)
{
    const char *text = mrp_json_str(in, key);
    return text ? text : otherwise;
}

static void say_result(int rc, enum mrp_result result, const struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *line = json_object();
    mrp_json_puts(line, "type", "result");
    mrp_json_puts(line, "code", rc ? mrp_code_name(err->code) : "ok");
    mrp_json_puts(line, "result", result == MRP_CHANGED ? "changed" : "unchanged");
    mrp_json_puts(line, "message", err->msg);
    mrp_json_puts(line, "hint", err->hint);
    mrp_json_puts(line, "api", err->api);
    mrp_auto(mrp_free_str) char *text = mrp_json_text(line);
    emit(NULL, text ? text : "{}", text ? strlen(text) : 2);
}

int main(int argc, char **argv)
{
    const struct mrp_action *a = argc == 4 ? find(argv[1], argv[2]) : NULL;
    mrp_auto(mrp_free_json) json_t *in = json_loadf(stdin, 0, NULL);
    mrp_auto(mrp_free_strv) char **secondaries = NULL;
    struct mrp_error err = {0};
    enum mrp_result result = MRP_UNCHANGED;
    size_t i;
    json_t *item;
    if (!a || !in) {
        fprintf(stderr, "usage: act PLUGIN.so ACTION run|plan|verify|check < STAGE.json\n");
        return 2;
    }
    signal(SIGTERM, on_term);
    json_array_foreach(mrp_json_arr(in, "secondaries"), i,
                       item) if (mrp_strv_add(&secondaries, json_string_value(item))) return 2;
    char *none[] = {NULL};
    const struct mrp_stage_init init = {
        .id = or (in, "id", "stage"),
        .run_id = "test",
        .region = or (in, "region", ""),
        .primary = or (in, "primary", ""),
        .secondaries = secondaries ? secondaries : none,
        .workdir = or (in, "workdir", "/nonexistent"),
        .rundir = or (in, "rundir", "/nonexistent"),
        .role_arn = "",
        .endpoints = mrp_json_obj(in, "endpoints"),
        .artifacts = mrp_json_obj(in, "artifacts"),
        .outputs = a->outputs,
        .dry_run = strcmp(argv[3], "plan") == 0,
        .cancelled = &stopped,
        .emit = emit,
    };
    struct mrp_stage *stage = mrp_stage_new(&init);
    void *options = calloc(1, a->options_size);
    if (!stage || !options)
        return 2;
    int rc = mrp_options_parse(options, a->options, mrp_json_obj(in, "with"), NULL, NULL, &err);
    if (rc == MRP_OK)
        rc = call(a, argv[3], options, stage, &result, &err);
    mrp_options_done(options, a->options);
    mrp_stage_free(stage);
    free(options);
    say_result(rc, result, &err);
    return rc ? 1 : 0;
}
