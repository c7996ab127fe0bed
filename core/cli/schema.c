/* mrpipe schema: the spec language and the options of all actions found, as JSON Schema. */
#include "../spec/schema.h"
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

/* The JSON types that stand for an option; text may always be an expression. */
static json_t *types_of(const struct mrp_option *o)
{
    switch (o->type) {
    case MRP_OPT_BOOL:
        return json_pack("[ss]", "boolean", "string");
    case MRP_OPT_INT:
        return json_pack("[ss]", "integer", "string");
    case MRP_OPT_SIZE:
    case MRP_OPT_DURATION:
        return json_pack("[ss]", "integer", "string");
    case MRP_OPT_LIST:
        return json_pack("[ssss]", "array", "string", "number", "boolean");
    case MRP_OPT_MAP:
        return json_pack("[ss]", "object", "string");
    case MRP_OPT_JSON:
        return NULL;
    default:
        return json_pack("[sss]", "string", "number", "boolean");
    }
}

static json_t *option_schema(const struct mrp_option *o)
{
    json_t *schema = json_object();
    mrp_json_puts(schema, "description", o->help);
    if (o->fallback && o->type != MRP_OPT_SECRET)
        mrp_json_puts(schema, "default", o->fallback);
    if (o->flags & MRP_DEPRECATED)
        mrp_json_put(schema, "deprecated", json_true());
    if (o->type == MRP_OPT_ENUM && o->choices) {
        json_t *choices = json_array();
        for (size_t i = 0; o->choices[i]; i++)
            json_array_append_new(choices, json_string(o->choices[i]));
        mrp_json_put(
            schema, "anyOf",
            json_pack("[{so}{ssss}]", "enum", choices, "type", "string", "pattern", "\\$\\{\\{"));
        return schema;
    }
    json_t *types = types_of(o);
    if (types)
        mrp_json_put(schema, "type", types);
    if (o->type == MRP_OPT_INT && o->max > o->min) {
        mrp_json_puti(schema, "minimum", o->min);
        mrp_json_puti(schema, "maximum", o->max);
    }
    return schema;
}

static json_t *action_schema(const struct mrp_action *action)
{
    json_t *properties = json_object(), *required = json_array();
    for (const struct mrp_option *o = action->options; o && o->name; o++) {
        mrp_json_put(properties, o->name, option_schema(o));
        if (o->flags & MRP_REQUIRED)
            json_array_append_new(required, json_string(o->name));
    }
    json_t *schema = json_object();
    mrp_json_puts(schema, "type", "object");
    mrp_json_puts(schema, "description", action->summary);
    mrp_json_put(schema, "properties", properties);
    if (json_array_size(required) > 0)
        mrp_json_put(schema, "required", required);
    else
        json_decref(required);
    mrp_json_put(schema, "additionalProperties", json_false());
    return schema;
}

static void gather(json_t *actions, const struct mrp_plugins *plugins)
{
    for (size_t i = 0; i < plugins->count; i++) {
        const struct mrp_plugin_file *f = &plugins->list[i];
        const struct mrp_action *action = NULL;
        for (size_t k = 0; f->plugin && !f->shadowed; k++) {
            action = mrp_cli_action(f->plugin, k);
            if (!action)
                break;
            mrp_auto(mrp_free_str) char *uses = mrp_strf("%s/%s", f->plugin->name, action->name);
            if (uses)
                mrp_json_put(actions, uses, action_schema(action));
        }
    }
}

int mrp_cli_schema(const struct mrp_cli_args *args)
{
    struct mrp_error err = {0};
    struct mrp_plugins plugins = {0};
    struct mrp_buf out = MRP_BUF_INIT(16u << 20);
    mrp_auto(mrp_free_json) json_t *actions = json_object();
    mrp_auto(mrp_free_json) json_t *schema = NULL;
    if (mrp_plugins_scan(&plugins, args->plugin_dirs, &err))
        return mrp_cli_fail(args, &err);
    gather(actions, &plugins);
    mrp_plugins_done(&plugins);
    if (mrp_spec_schema(&schema, actions, &err))
        return mrp_cli_fail(args, &err);
    mrp_auto(mrp_free_str) char *text =
        json_dumps(schema, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    if (!text) {
        mrp_fail(&err, MRP_E_NOMEM, "no memory for the schema");
        return mrp_cli_fail(args, &err);
    }
    mrp_buf_adds(&out, text);
    mrp_buf_addc(&out, '\n');
    return mrp_cli_put(&out);
}
