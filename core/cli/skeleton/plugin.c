/* @NAME@ - a plugin of mrpipe: greets somebody by way of a file. */
#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/plugin.h>
#include <mrpipe/text.h>

#include <string.h>

struct greet {
    char *name;
    char *file;
};

static const struct mrp_option greet_options[] = {
    {.name = "name", .flags = MRP_REQUIRED, .help = "whom to greet", MRP_STRING(struct greet, name)},
    {.name = "file", .fallback = "greeting.txt", .help = "the file that holds the greeting",
     MRP_PATH(struct greet, file)},
    {0},
};

static const struct mrp_output_info greet_outputs[] = {
    {"file", "string", "the file that holds the greeting"},
    {0},
};

/* Read, decide: does the file say it already? */
static int look(bool *same, char **path, char **text, const struct greet *o,
                struct mrp_stage *stage, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *old = NULL;
    struct mrp_error missing;
    int rc = mrp_stage_path(path, stage, o->file, err);
    if (rc)
        return rc;
    *text = mrp_strf("Hello, %s!\n", o->name);
    if (!*text)
        return mrp_fail(err, MRP_E_NOMEM, "no memory for the greeting");
    *same = mrp_exists(*path) && mrp_file_read(&old, NULL, *path, 65536, &missing) == 0 &&
            strcmp(old, *text) == 0;
    return MRP_OK;
}

static int greet_plan(void *options, struct mrp_stage *stage, enum mrp_result *result,
                      struct mrp_error *err)
{
    const struct greet *o = options;
    mrp_auto(mrp_free_str) char *path = NULL;
    mrp_auto(mrp_free_str) char *text = NULL;
    bool same = false;
    int rc = look(&same, &path, &text, o, stage, err);
    if (rc)
        return rc;
    if (!same)
        mrp_change(stage, "write %s", o->file);
    *result = same ? MRP_UNCHANGED : MRP_CHANGED;
    return MRP_OK;
}

static int greet_run(void *options, struct mrp_stage *stage, enum mrp_result *result,
                     struct mrp_error *err)
{
    const struct greet *o = options;
    mrp_auto(mrp_free_str) char *path = NULL;
    mrp_auto(mrp_free_str) char *text = NULL;
    bool same = false;
    int rc = look(&same, &path, &text, o, stage, err);
    if (!rc && !same)
        rc = mrp_file_write(path, text, strlen(text), 0644, false, err);
    if (rc)
        return rc;
    if (!same)
        mrp_change(stage, "write %s", o->file);
    *result = same ? MRP_UNCHANGED : MRP_CHANGED;
    return mrp_output(stage, "file", json_string(o->file), err);
}

static const struct mrp_action actions[] = {
    {
        .name = "greet",
        .summary = "write a greeting into a file",
        .options = greet_options,
        .outputs = greet_outputs,
        .options_size = sizeof(struct greet),
        .plan = greet_plan,
        .run = greet_run,
    },
};

MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 = {
    MRP_PLUGIN_HEAD,
    .name = "@NAME@",
    .version = "0.1.0",
    .summary = "greets",
    .actions = actions,
    .action_count = MRP_COUNT(actions),
};
