/* Runs one action of a plugin as a worker would and prints its frames, one JSON object per line. */
#include <mrpipe/auto.h>
#include <mrpipe/host.h>
#include <mrpipe/json.h>
#include <mrpipe/options.h>
#include <mrpipe/text.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void emit(void *arg, const char *json, size_t len)
{
    (void)arg;
    fwrite(json, 1, len, stdout);
    fputc('\n', stdout);
    fflush(stdout);
}

static const struct mrp_action *find(const struct mrp_plugin *plugin, const char *name)
{
    for (size_t i = 0; i < plugin->action_count; i++)
        if (strcmp(plugin->actions[i].name, name) == 0)
            return &plugin->actions[i];
    return NULL;
}

static int problem(const struct mrp_error *err)
{
    json_t *j = json_pack("{s:s,s:s,s:s,s:s}", "type", "error", "code", mrp_code_name(err->code),
                          "message", err->msg, "hint", err->hint);
    char *text = json_dumps(j, JSON_COMPACT);
    puts(text ? text : "{\"type\":\"error\",\"message\":\"(unprintable)\"}");
    free(text);
    json_decref(j);
    return 1;
}

static int perform(const struct mrp_action *action,
                   const char *mode,
                   json_t *with,
                   const struct mrp_stage_init *init,
                   enum mrp_result *result,
                   struct mrp_error *err)
{
    void *options = calloc(1, action->options_size);
    struct mrp_stage *stage = mrp_stage_new(init);
    const char *bad = NULL;
    if (!options || !stage)
        return mrp_fail(err, MRP_E_NOMEM, "no memory");
    int rc = mrp_options_parse(options, action->options, with, NULL, NULL, err);
    if (!rc && action->check)
        rc = action->check(options, &bad, err);
    if (!rc && strcmp(mode, "plan") == 0)
        rc = action->plan(options, stage, result, err);
    else if (!rc && strcmp(mode, "verify") == 0)
        rc = action->verify(options, stage, result, err);
    else if (!rc)
        rc = action->run(options, stage, result, err);
    mrp_options_done(options, action->options);
    free(options);
    mrp_stage_free(stage);
    return rc;
}

/* action PLUGIN.so ACTION run|plan|verify WITH_JSON WORKDIR [PRIMARY SECONDARY...] */
int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    struct mrp_error err = {0};
    void *so = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    const struct mrp_plugin *plugin = so ? dlsym(so, "mrp_plugin_v1") : NULL;
    if (!plugin) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    const struct mrp_action *action = find(plugin, argv[2]);
    mrp_auto(mrp_free_json) json_t *with = NULL;
    if (!action || mrp_json_parse(&with, argv[4], strlen(argv[4]), "with", &err))
        return 2;
    char *none[] = {NULL};
    struct mrp_stage_init init = {.id = "test",
                                  .run_id = "test",
                                  .region = argc > 6 ? argv[6] : "",
                                  .primary = argc > 6 ? argv[6] : "",
                                  .secondaries = argc > 7 ? argv + 7 : none,
                                  .workdir = argv[5],
                                  .rundir = argv[5],
                                  .role_arn = "",
                                  .debug = getenv("TEST_DEBUG"),
                                  .outputs = action->outputs,
                                  .dry_run = strcmp(argv[3], "plan") == 0,
                                  .emit = emit};
    enum mrp_result result = MRP_UNCHANGED;
    int rc = perform(action, argv[3], with, &init, &result, &err);
    if (rc)
        return problem(&err);
    /* Not ru_maxrss: that begins with the size of the process that started this one. */
    mrp_auto(mrp_close_file) FILE *f = fopen("/proc/self/status", "re");
    char line[256], *peak = NULL;
    uint64_t kib = 0;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmHWM:", 6) == 0 &&
            (peak = line + strspn(line + 6, " \t") + 6) != NULL &&
            mrp_parse_uint(&kib, peak, strspn(peak, "0123456789"), UINT32_MAX))
            kib = 0;
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("{\"type\":\"result\",\"result\":\"%s\",\"max-rss-kib\":%llu,\"cpu-ms\":%ld}\n",
           result == MRP_CHANGED ? "changed" : "unchanged", (unsigned long long)kib,
           (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000 +
               (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1000);
    return 0;
}
