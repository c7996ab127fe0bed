/* Help of commands, plugins and actions, made from the tables that also parse. */
#include "../ui/table.h"
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/options.h>
#include <mrpipe/text.h>

#include <string.h>

static void head(struct mrp_buf *out, bool color, const char *text)
{
    mrp_buf_addf(out, "%s%s%s\n", mrp_ui_sgr(color, MRP_UI_BOLD), text,
                 mrp_ui_sgr(color, MRP_UI_RESET));
}

/* A paragraph as a table of one cell: wrapped at the width. */
static void paragraph(struct mrp_buf *out, const char *text, size_t indent)
{
    struct mrp_ui_table t = {.columns = 1};
    mrp_ui_table_add(&t, MRP_UI_NORMAL, text);
    mrp_ui_table_print(out, &t, false, indent, mrp_cli_width());
    mrp_ui_table_done(&t);
}

/* Text that a plugin wrote in lines of its own. */
static void verbatim(struct mrp_buf *out, const char *text)
{
    struct mrp_view rest = mrp_view_str(text), piece;
    while (rest.n > 0 && rest.p[rest.n - 1] == '\n')
        rest.n--;
    while (mrp_view_next(&piece, &rest, '\n')) {
        mrp_auto(mrp_free_str) char *line = mrp_strndup(piece.p, piece.n);
        if (line && mrp_ui_columns(line, piece.n) + 2 > mrp_cli_width()) {
            paragraph(out, line, 2);
            continue;
        }
        if (line && *line) {
            mrp_buf_adds(out, "  ");
            mrp_ui_clean(out, line);
        }
        mrp_buf_addc(out, '\n');
    }
}

char *mrp_cli_option_form(const struct mrp_cli_option *option)
{
    const char *before = option->kind == MRP_CLI_OPTIONAL ? " [" : " ";
    const char *arg = option->arg ? option->arg : "";
    const char *after = option->kind == MRP_CLI_OPTIONAL ? "]" : "";
    if (!option->arg)
        before = "";
    return option->letter
               ? mrp_strf("-%c, --%s%s%s%s", option->letter, option->name, before, arg, after)
               : mrp_strf("    --%s%s%s%s", option->name, before, arg, after);
}

void mrp_cli_describe_command(struct mrp_buf *out, enum mrp_cli_id id, bool color)
{
    const struct mrp_cli_command *c = &mrp_cli_commands[id];
    struct mrp_ui_table t = {.columns = 2};
    mrp_ui_locale();
    mrp_buf_addf(out, "mrpipe %s: %s\n\n", c->name, c->summary);
    head(out, color, "Usage");
    mrp_buf_addf(out, "  mrpipe %s [options]%s%s\n\n", c->name, *c->operands ? " " : "",
                 c->operands);
    paragraph(out, c->doc, 0);
    mrp_buf_addc(out, '\n');
    head(out, color, "Options");
    for (size_t i = 0; i < mrp_cli_option_count; i++) {
        const struct mrp_cli_option *o = &mrp_cli_options[i];
        if (!(o->commands >> id & 1u))
            continue;
        mrp_auto(mrp_free_str) char *form = mrp_cli_option_form(o);
        mrp_ui_table_add(&t, MRP_UI_NORMAL, form);
        mrp_ui_table_add(&t, MRP_UI_NORMAL, o->help);
    }
    mrp_ui_table_print(out, &t, color, 2, mrp_cli_width());
    mrp_ui_table_done(&t);
}

void mrp_cli_overview(struct mrp_buf *out, bool color)
{
    struct mrp_ui_table t = {.columns = 2};
    mrp_ui_locale();
    mrp_buf_adds(out, "mrpipe runs a CodeBuild buildspec and takes the application to more "
                      "regions in the same run.\n\n");
    head(out, color, "Start here");
    mrp_buf_adds(out, "  mrpipe validate buildspec_prod.yml               check the file\n"
                      "  mrpipe plan --to us-east-1 buildspec_prod.yml    see what would change\n"
                      "  mrpipe run --to us-east-1 buildspec_prod.yml     do it\n\n");
    head(out, color, "Commands");
    for (size_t i = 0; i < MRP_CLI_COMMANDS; i++) {
        mrp_ui_table_add(&t, MRP_UI_NORMAL, mrp_cli_commands[i].name);
        mrp_ui_table_add(&t, MRP_UI_NORMAL, mrp_cli_commands[i].summary);
    }
    mrp_ui_table_print(out, &t, color, 2, mrp_cli_width());
    mrp_ui_table_done(&t);
    mrp_buf_adds(out, "\n`mrpipe help COMMAND` explains a command, `mrpipe help ecr/copy` an "
                      "action.\n");
}

const struct mrp_action *mrp_cli_action(const struct mrp_plugin *plugin, size_t n)
{
    if (n >= plugin->action_count)
        return NULL;
    /* Actions of a newer ABI minor are longer than ours: step by the plugin's own size. */
    const char *base = (const char *)(const void *)plugin->actions;
    return (const struct mrp_action *)(const void *)(base + n * plugin->action_size);
}

#define TYPE_COLUMNS 28 /* a longer list of choices would leave the meaning no room */

static char *choices_text(const struct mrp_option *o, const char *between)
{
    struct mrp_buf text = MRP_BUF_INIT(4096);
    for (size_t i = 0; o->choices[i]; i++)
        mrp_buf_addf(&text, "%s%s", i ? between : "", o->choices[i]);
    return mrp_buf_take(&text);
}

static void add_option(struct mrp_ui_table *t, const struct mrp_option *o)
{
    bool listed = o->type == MRP_OPT_ENUM && o->choices && o->choices[0];
    mrp_auto(mrp_free_str) char *choices = listed ? choices_text(o, "|") : NULL;
    mrp_auto(mrp_free_str) char *many =
        choices && strlen(choices) > TYPE_COLUMNS ? choices_text(o, ", ") : NULL;
    const char *type = choices && !many ? choices : mrp_option_type_name(o->type);
    mrp_auto(mrp_free_str) char *help =
        mrp_strf("%s%s%s%s", o->help ? o->help : "", many ? "; one of: " : "", many ? many : "",
                 o->flags & MRP_DEPRECATED ? " (deprecated)" : "");
    bool secret = o->type == MRP_OPT_SECRET || (o->flags & MRP_SECRET_VALUE);
    mrp_ui_table_add(t, MRP_UI_BOLD, o->name);
    mrp_ui_table_add(t, MRP_UI_NORMAL, type);
    mrp_ui_table_add(t, MRP_UI_DIM,
                     o->flags & MRP_REQUIRED ? "required"
                     : secret                ? ""
                                             : o->fallback);
    mrp_ui_table_add(t, MRP_UI_NORMAL, help);
}

static const char *sample(const struct mrp_option *o)
{
    switch (o->type) {
    case MRP_OPT_BOOL:
        return "true";
    case MRP_OPT_INT:
        return "1";
    case MRP_OPT_SIZE:
        return "10MiB";
    case MRP_OPT_DURATION:
        return "30s";
    case MRP_OPT_ENUM:
        return o->choices && o->choices[0] ? o->choices[0] : "...";
    case MRP_OPT_REGION:
        return "us-east-1";
    case MRP_OPT_ARN:
        return "arn:aws:iam::111122223333:role/deploy";
    case MRP_OPT_IMAGE:
        return "111122223333.dkr.ecr.us-west-2.amazonaws.com/core:1.4";
    case MRP_OPT_URL:
        return "https://example.com/";
    case MRP_OPT_SECRET:
        return "${{ env.TOKEN }}";
    case MRP_OPT_LIST:
        return "[one, two]";
    case MRP_OPT_MAP:
    case MRP_OPT_JSON:
        return "{name: value}";
    default:
        return "...";
    }
}

static void
put_example(struct mrp_buf *out, const struct mrp_plugin *plugin, const struct mrp_action *action)
{
    mrp_buf_addf(out, "  - id: %s\n    uses: %s/%s\n", action->name, plugin->name, action->name);
    bool any = false;
    for (const struct mrp_option *o = action->options; o && o->name; o++) {
        if (!(o->flags & MRP_REQUIRED))
            continue;
        if (!any)
            mrp_buf_adds(out, "    with:\n");
        any = true;
        mrp_buf_addf(out, "      %s: %s\n", o->name, sample(o));
    }
}

void mrp_cli_describe_action(struct mrp_buf *out,
                             const struct mrp_plugin *plugin,
                             const struct mrp_action *action,
                             bool color)
{
    static const char *const heads[] = {"Option", "Type", "Default", "Meaning"};
    struct mrp_ui_table t = {.columns = 4, .heads = heads};
    mrp_ui_locale();
    mrp_buf_addf(out, "%s%s/%s%s: %s\n\n", mrp_ui_sgr(color, MRP_UI_BOLD), plugin->name,
                 action->name, mrp_ui_sgr(color, MRP_UI_RESET),
                 action->summary ? action->summary : "");
    for (const struct mrp_option *o = action->options; o && o->name; o++)
        add_option(&t, o);
    if (t.count > 0)
        mrp_ui_table_print(out, &t, color, 0, mrp_cli_width());
    else
        mrp_buf_adds(out, "It has no options.\n");
    mrp_ui_table_done(&t);

    struct mrp_ui_table outputs = {.columns = 3,
                                   .heads = (const char *const[]){"Output", "Type", "Meaning"}};
    for (const struct mrp_output_info *o = action->outputs; o && o->name; o++) {
        mrp_ui_table_add(&outputs, MRP_UI_BOLD, o->name);
        mrp_ui_table_add(&outputs, MRP_UI_NORMAL, o->type);
        mrp_ui_table_add(&outputs, MRP_UI_NORMAL, o->help);
    }
    if (outputs.count > 0) {
        mrp_buf_addc(out, '\n');
        mrp_ui_table_print(out, &outputs, color, 0, mrp_cli_width());
    }
    mrp_ui_table_done(&outputs);
    /* A plugin's own example is better than one made from the table. */
    bool has_example = action->doc && strstr(action->doc, "uses:");
    if (!has_example) {
        mrp_buf_addc(out, '\n');
        head(out, color, "Example");
        put_example(out, plugin, action);
    }
    if (action->doc && *action->doc) {
        mrp_buf_addc(out, '\n');
        head(out, color, has_example ? "Example" : "More");
        verbatim(out, action->doc);
    }
    mrp_buf_addf(out, "\nCan be run%s%s.\n", action->plan ? ", planned" : "",
                 action->verify ? ", verified" : "");
}

void mrp_cli_describe_plugin(struct mrp_buf *out, const struct mrp_plugin_file *file, bool color)
{
    const struct mrp_plugin *plugin = file->plugin;
    struct mrp_ui_table t = {.columns = 2};
    mrp_ui_locale();
    mrp_buf_addf(out, "%s%s%s %s: %s\n%s\n\n", mrp_ui_sgr(color, MRP_UI_BOLD), plugin->name,
                 mrp_ui_sgr(color, MRP_UI_RESET), plugin->version ? plugin->version : "",
                 plugin->summary ? plugin->summary : "", file->path);
    const struct mrp_action *action = NULL;
    for (size_t i = 0; (action = mrp_cli_action(plugin, i)); i++) {
        mrp_auto(mrp_free_str) char *uses = mrp_strf("%s/%s", plugin->name, action->name);
        mrp_ui_table_add(&t, MRP_UI_BOLD, uses);
        mrp_ui_table_add(&t, MRP_UI_NORMAL, action->summary);
    }
    mrp_ui_table_print(out, &t, color, 2, mrp_cli_width());
    mrp_ui_table_done(&t);
    mrp_buf_addf(out, "\n`mrpipe help %s/ACTION` lists the options of an action.\n", plugin->name);
}
