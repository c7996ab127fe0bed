/* JSON Schema of specs, from the tables of keys. */
#include "schema.h"

#include "keys.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

static json_t *set_schema(const struct mrp_keyset *set, const json_t *actions);

/* A scalar is read as its text, whatever YAML makes of it. */
static json_t *text_schema(const char *pattern)
{
    json_t *out = json_pack("{s:[sss]}", "type", "string", "number", "boolean");
    mrp_json_puts(out, "pattern", pattern);
    return out;
}

static json_t *texts_schema(const struct mrp_key *key)
{
    json_t *list =
        json_pack("{s:[ss],s:o}", "type", "array", "null", "items", text_schema(key->pattern));
    if (!(key->flags & (MRP_KEY_ONE_TEXT | MRP_KEY_ONE_WARN)))
        return list;
    return json_pack("{s:[oo]}", "anyOf", list, text_schema(key->pattern));
}

static json_t *enum_schema(const struct mrp_key *key)
{
    json_t *values = json_array();
    for (size_t i = 0; key->values[i]; i++) {
        const char *text = key->values[i];
        json_array_append_new(values, json_string(text));
        /* `version: 0.2` is a number to an editor. */
        char *end = NULL;
        double number = strtod(text, &end);
        if (end != text && !*end)
            json_array_append_new(values, json_real(number));
    }
    return json_pack("{s:o}", "enum", values);
}

static json_t *number_schema(const struct mrp_key *key)
{
    json_t *out = json_pack("{s:s,s:I}", "type", "integer", "minimum", (json_int_t)key->min);
    if (key->max)
        mrp_json_puti(out, "maximum", key->max);
    return out;
}

/* A map from names to values of one schema (taken over). */
static json_t *map_of(json_t *values)
{
    return json_pack("{s:[ss],s:o}", "type", "object", "null", "additionalProperties", values);
}

static json_t *key_schema(const struct mrp_key *key, const json_t *actions)
{
    switch (key->type) {
    case MRP_KEY_BOOL:
        return json_pack("{s:[bbssssss]}", "enum", 1, 0, "yes", "no", "true", "false", "on", "off");
    case MRP_KEY_INT:
        return number_schema(key);
    case MRP_KEY_DURATION:
        return json_pack("{s:[ss],s:s}", "type", "string", "integer", "pattern",
                         "^([0-9]+(ms|s|m|h|d)?)+$");
    case MRP_KEY_ENUM:
        return enum_schema(key);
    case MRP_KEY_TEXTS:
        return texts_schema(key);
    case MRP_KEY_PAIRS:
        return map_of(json_pack("{s:[ssss]}", "type", "string", "number", "boolean", "null"));
    case MRP_KEY_LISTS:
        return map_of(texts_schema(key));
    case MRP_KEY_MAP:
        return set_schema(key->sub, actions);
    case MRP_KEY_NAMED:
        return map_of(set_schema(key->sub, actions));
    case MRP_KEY_LIST:
        return json_pack("{s:[ss],s:o}", "type", "array", "null", "items",
                         set_schema(key->sub, actions));
    case MRP_KEY_ANY_MAP:
        return json_pack("{s:[ss]}", "type", "object", "null");
    case MRP_KEY_ANY:
        return json_object();
    default:
        return text_schema(key->pattern);
    }
}

/* `with:` depends on `uses:`. */
static void add_actions(json_t *stage, const json_t *actions)
{
    json_t *names = json_array(), *rules = json_array();
    json_t *source = (json_t *)(uintptr_t)actions;
    for (void *it = json_object_iter(source); it; it = json_object_iter_next(source, it)) {
        const char *name = json_object_iter_key(it);
        json_array_append_new(names, json_string(name));
        json_array_append_new(rules, json_pack("{s:{s:{s:{s:s}}},s:{s:{s:O}}}", "if", "properties",
                                               "uses", "const", name, "then", "properties", "with",
                                               json_object_iter_value(it)));
    }
    json_t *uses = mrp_json_obj(mrp_json_obj(stage, "properties"), "uses");
    mrp_json_put(uses, "examples", names);
    mrp_json_put(stage, "allOf", rules);
}

static json_t *set_schema(const struct mrp_keyset *set, const json_t *actions)
{
    json_t *properties = json_object(), *required = json_array();
    for (size_t i = 0; i < set->count; i++) {
        const struct mrp_key *key = &set->keys[i];
        json_t *schema = key_schema(key, actions);
        mrp_json_puts(schema, "description", key->help);
        mrp_json_put(properties, key->name, schema);
        if ((key->flags & MRP_KEY_REQUIRED) && set->strict)
            json_array_append_new(required, json_string(key->name));
    }
    json_t *out = json_pack("{s:[ss],s:o}", "type", "object", "null", "properties", properties);
    if (set->strict)
        mrp_json_put(out, "additionalProperties", json_false());
    if (json_array_size(required))
        mrp_json_put(out, "required", required);
    else
        json_decref(required);
    if (set == &mrp_keys_stage && json_object_size(actions))
        add_actions(out, actions);
    return out;
}

int mrp_spec_schema(json_t **out, const json_t *actions, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *body = set_schema(&mrp_keys_file, actions);
    mrp_auto(mrp_free_json) json_t *schema =
        json_pack("{s:s,s:s,s:s}", "$schema", "http://json-schema.org/draft-07/schema#", "title",
                  "mrpipe spec", "description",
                  "A CodeBuild buildspec with the stages that make the application multi-region");
    json_t *parts = json_pack("[{s:[s]},{s:[s]},{s:[s]}]", "required", "phases", "required",
                              "mrpipe", "required", "batch");
    if (!body || !schema || json_object_update(schema, body) ||
        mrp_json_put(schema, "anyOf", parts))
        return mrp_fail(err, MRP_E_NOMEM, "make the schema");
    mrp_json_puts(schema, "type", "object");
    *out = mrp_take_json(&schema);
    return 0;
}
