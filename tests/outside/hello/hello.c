/* hello: the smallest useful plugin, built against an installed mrpipe with pkg-config alone. */
#include <mrpipe/plugin.h>
#include <mrpipe/stage.h>
#include <mrpipe/text.h>

#include <stdlib.h>

struct greet {
    char *name;
    bool loud;
    int64_t times;
};

static const struct mrp_option greet_options[] = {
    {"name", MRP_STRING(struct greet, name), .flags = MRP_REQUIRED, .help = "whom to greet"},
    {"loud", MRP_BOOL(struct greet, loud), .fallback = "no", .help = "with an exclamation mark"},
    {"times", MRP_INT(struct greet, times), .fallback = "1", .help = "how often", .min = 1,
     .max = 9},
    {0},
};

static const struct mrp_output_info greet_outputs[] = {
    {"greeting", "string", "what was said"},
    {0},
};

/* Nothing is written, so plan and verify may do the same. */
static int
greet_run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    const struct greet *o = options;
    char *text = mrp_strf("Hello, %s%s", o->name, o->loud ? "!" : "");
    if (!text)
        return mrp_fail(err, MRP_E_NOMEM, "greet %s", o->name);
    for (int64_t i = 0; i < o->times; i++)
        mrp_log(stage, MRP_INFO, "%s", text);
    int rc = mrp_output(stage, "greeting", json_string(text), err);
    free(text);
    *result = MRP_UNCHANGED;
    return rc;
}

static const struct mrp_action actions[] = {
    {.name = "greet",
     .summary = "say hello",
     .options = greet_options,
     .outputs = greet_outputs,
     .options_size = sizeof(struct greet),
     .plan = greet_run,
     .run = greet_run},
};

MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 = {
    MRP_PLUGIN_HEAD,     .name = "hello",    .version = "1.0.0",
    .summary = "greets", .actions = actions, .action_count = MRP_COUNT(actions),
};
