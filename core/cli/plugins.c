/* mrpipe plugins: what was found, where, and why something was not loaded. */
#include "../ui/table.h"
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

static void add_actions(struct mrp_buf *out, const struct mrp_plugin *plugin)
{
    const struct mrp_action *action = NULL;
    for (size_t i = 0; (action = mrp_cli_action(plugin, i)); i++)
        mrp_buf_addf(out, "%s%s", i ? ", " : "", action->name);
}

int mrp_cli_plugins(const struct mrp_cli_args *args)
{
    static const char *const heads[] = {"Plugin", "Version", "Actions", "Path", "Problem"};
    struct mrp_error err = {0};
    struct mrp_plugins plugins = {0};
    struct mrp_ui_table t = {.columns = MRP_COUNT(heads), .heads = heads};
    struct mrp_buf out = MRP_BUF_INIT(1 << 20);
    if (mrp_plugins_scan(&plugins, args->plugin_dirs, &err))
        return mrp_cli_fail(args, &err);
    mrp_ui_locale();
    for (size_t i = 0; i < plugins.count; i++) {
        const struct mrp_plugin_file *f = &plugins.list[i];
        struct mrp_buf actions = MRP_BUF_INIT(16 * 1024);
        if (f->plugin)
            add_actions(&actions, f->plugin);
        mrp_ui_table_add(&t, MRP_UI_BOLD, f->plugin ? f->plugin->name : "-");
        mrp_ui_table_add(&t, MRP_UI_NORMAL, f->plugin ? f->plugin->version : NULL);
        mrp_ui_table_add(&t, MRP_UI_NORMAL, mrp_buf_str(&actions));
        mrp_ui_table_add(&t, MRP_UI_NORMAL, f->path);
        mrp_ui_table_add(&t, f->shadowed ? MRP_UI_YELLOW : MRP_UI_RED,
                         f->cause      ? f->cause
                         : f->shadowed ? "not used: one of this name was found before"
                                       : NULL);
        mrp_buf_done(&actions);
    }
    mrp_auto(mrp_free_str) char *home = plugins.count ? NULL : mrp_plugins_home();
    if (home)
        mrp_buf_addf(&out,
                     "No plugin was found. Looked in --plugin-dir, MRPIPE_PLUGIN_PATH and %s.\n",
                     home);
    else
        mrp_ui_table_print(&out, &t, mrp_cli_color(args, stdout), 0, 0);
    mrp_ui_table_done(&t);
    mrp_plugins_done(&plugins);
    return mrp_cli_put(&out);
}
