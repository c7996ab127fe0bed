/* mrpipe help: a command, a plugin or an action. */
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <string.h>

static const struct mrp_plugin_file *find_plugin(const struct mrp_plugins *plugins,
                                                 struct mrp_view name)
{
    for (size_t i = 0; i < plugins->count; i++) {
        const struct mrp_plugin_file *f = &plugins->list[i];
        if (f->plugin && !f->shadowed && mrp_view_is(name, f->plugin->name))
            return f;
    }
    return NULL;
}

/* Every name that help knows: commands, plugins, actions. */
static char **all_words(const struct mrp_plugins *plugins)
{
    char **words = NULL;
    int rc = 0;
    for (size_t i = 0; i < MRP_CLI_COMMANDS; i++)
        rc |= mrp_strv_add(&words, mrp_cli_commands[i].name);
    for (size_t i = 0; i < plugins->count; i++) {
        const struct mrp_plugin *plugin = plugins->list[i].plugin;
        if (!plugin)
            continue;
        rc |= mrp_strv_add(&words, plugin->name);
        const struct mrp_action *action = NULL;
        for (size_t k = 0; (action = mrp_cli_action(plugin, k)); k++) {
            mrp_auto(mrp_free_str) char *uses = mrp_strf("%s/%s", plugin->name, action->name);
            rc |= uses ? mrp_strv_add(&words, uses) : MRP_E_NOMEM;
        }
    }
    if (rc)
        mrp_free_strv(&words);
    return words;
}

static int unknown(const struct mrp_cli_args *args,
                   const struct mrp_plugins *plugins,
                   const struct mrp_plugin_file *file,
                   const char *word)
{
    struct mrp_error err = {0};
    mrp_auto(mrp_free_strv) char **words = all_words(plugins);
    const char *near =
        words ? mrp_nearest(word, (const char *const *)words, mrp_strv_len(words)) : NULL;
    mrp_fail(&err, MRP_E_CONFIG, "no command, plugin or action is called `%s`", word);
    if (near)
        mrp_hint(&err, "did you mean `mrpipe help %s`?", near);
    else if (file)
        mrp_hint(&err, "`mrpipe help %s` lists the actions of this plugin", file->plugin->name);
    else
        mrp_hint(&err, "`mrpipe plugins` lists the plugins and why one failed to load");
    (void)mrp_cli_fail(args, &err);
    return MRP_EXIT_USAGE;
}

static int of_plugins(const struct mrp_cli_args *args, const char *word)
{
    struct mrp_error err = {0};
    struct mrp_plugins plugins = {0};
    if (mrp_plugins_scan(&plugins, args->plugin_dirs, &err))
        return mrp_cli_fail(args, &err);
    bool color = mrp_cli_color(args, stdout);
    struct mrp_buf out = MRP_BUF_INIT(1 << 20);
    struct mrp_view name = {word, strcspn(word, "/")};
    const struct mrp_plugin_file *file = find_plugin(&plugins, name);
    const struct mrp_action *action = mrp_plugins_action(&plugins, word);
    int rc = MRP_EXIT_OK;
    if (file && action)
        mrp_cli_describe_action(&out, file->plugin, action, color);
    else if (file && word[name.n] == '\0')
        mrp_cli_describe_plugin(&out, file, color);
    else
        rc = unknown(args, &plugins, file, word);
    if (rc == MRP_EXIT_OK)
        rc = mrp_cli_put(&out);
    mrp_buf_done(&out);
    mrp_plugins_done(&plugins);
    return rc;
}

int mrp_cli_help(const struct mrp_cli_args *args)
{
    struct mrp_buf out = MRP_BUF_INIT(1 << 20);
    if (args->man) {
        mrp_cli_manual(&out);
        return mrp_cli_put(&out);
    }
    if (args->operand_count == 0) {
        mrp_cli_overview(&out, mrp_cli_color(args, stdout));
        return mrp_cli_put(&out);
    }
    const char *word = args->operands[0];
    for (size_t i = 0; i < MRP_CLI_COMMANDS; i++) {
        if (strcmp(word, mrp_cli_commands[i].name) == 0) {
            mrp_cli_describe_command(&out, (enum mrp_cli_id)i, mrp_cli_color(args, stdout));
            return mrp_cli_put(&out);
        }
    }
    return of_plugins(args, word);
}
