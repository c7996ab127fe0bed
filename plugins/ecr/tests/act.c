/* Runs one action of the plugin in this process and prints every frame: act ACTION JSON
 * [run|plan|verify]. */
#include <mrpipe/auto.h>
#include <mrpipe/host.h>
#include <mrpipe/json.h>
#include <mrpipe/options.h>
#include <mrpipe/text.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static void print_frame(void *arg, const char *json, size_t len)
{
    (void)arg;
    printf("%.*s\n", (int)len, json);
    fflush(stdout);
}

static const struct mrp_action *find(const char *name)
{
    for (size_t i = 0; i < mrp_plugin_v1.action_count; i++)
        if (!strcmp(mrp_plugin_v1.actions[i].name, name))
            return &mrp_plugin_v1.actions[i];
    return NULL;
}

static int call(const struct mrp_action *action,
                void *opt,
                const char *how,
                struct mrp_stage *stage,
                enum mrp_result *result,
                struct mrp_error *err)
{
    const char *bad = NULL;
    int rc = action->check ? action->check(opt, &bad, err) : 0;
    if (rc)
        return rc;
    if (!strcmp(how, "plan"))
        return action->plan(opt, stage, result, err);
    if (!strcmp(how, "verify"))
        return action->verify(opt, stage, result, err);
    return action->run(opt, stage, result, err);
}

static int report(int rc, enum mrp_result result, const struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *j = NULL;
    if (rc)
        j = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "failed", "code",
                      mrp_code_name(err->code), "error", err->msg, "hint", err->hint, "api",
                      err->api);
    else
        j = json_pack("{s:s, s:s}", "type", "result", "result",
                      result == MRP_CHANGED ? "changed" : "unchanged");
    mrp_auto(mrp_free_str) char *text = j ? mrp_json_text(j) : NULL;
    printf("%s\n", text ? text : "{\"type\":\"failed\",\"error\":\"not UTF-8\"}");
    return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
    const struct mrp_action *action = argc > 2 ? find(argv[1]) : NULL;
    struct mrp_error err = {0};
    mrp_auto(mrp_free_json) json_t *with = NULL;
    if (!action || mrp_json_parse(&with, argv[2], strlen(argv[2]), "options", &err)) {
        fprintf(stderr, "usage: act ACTION JSON [run|plan|verify] %s\n", err.msg);
        return 2;
    }
    signal(SIGTERM, stop);
    signal(SIGPIPE, SIG_IGN);
    char *const none[] = {NULL};
    char *const seconds[] = {(char *)(uintptr_t) "us-east-1", NULL};
    mrp_auto(mrp_free_str) char *cwd = getcwd(NULL, 0);
    const char *debug = getenv("ACT_DEBUG");
    const struct mrp_stage_init init = {.id = "act",
                                        .run_id = "test",
                                        .region = "us-west-2",
                                        .primary = "us-west-2",
                                        .secondaries = getenv("ACT_ALONE") ? none : seconds,
                                        .workdir = cwd,
                                        .rundir = cwd,
                                        .debug = debug,
                                        .outputs = action->outputs,
                                        .cancelled = &stopped,
                                        .emit = print_frame};
    struct mrp_stage *stage = mrp_stage_new(&init);
    void *opt = calloc(1, action->options_size);
    if (!stage || !opt)
        return 2;
    enum mrp_result result = MRP_UNCHANGED;
    int rc = mrp_options_parse(opt, action->options, with, NULL, NULL, &err);
    if (!rc)
        rc = call(action, opt, argc > 3 ? argv[3] : "run", stage, &result, &err);
    mrp_stage_free(stage);
    mrp_options_done(opt, action->options);
    free(opt);
    return report(rc, result, &err);
}
