/* Checking a tree against the tables of keys. */
#include "keys.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 64 /* of one table */

static const char *const type_names[] = {
    [MRP_KEY_TEXT] = "text",
    [MRP_KEY_BOOL] = "yes or no",
    [MRP_KEY_INT] = "a whole number",
    [MRP_KEY_DURATION] = "a time such as 30s or 5m",
    [MRP_KEY_ENUM] = "one of a few words",
    [MRP_KEY_TEXTS] = "a list of texts",
    [MRP_KEY_PAIRS] = "a map of names and texts",
    [MRP_KEY_LISTS] = "a map of names and lists",
    [MRP_KEY_MAP] = "a map",
    [MRP_KEY_NAMED] = "a map",
    [MRP_KEY_LIST] = "a list of maps",
    [MRP_KEY_ANY_MAP] = "a map",
    [MRP_KEY_ANY] = "a value",
};

static const char *kind_name(const struct mrp_yaml_node *node)
{
    return node->kind == MRP_YAML_LIST ? "a list" : node->kind == MRP_YAML_MAP ? "a map" : "text";
}

static void wrong_type(struct mrp_reader *rd,
                       const struct mrp_yaml_node *node,
                       const char *name,
                       const char *where,
                       const char *expected)
{
    mrp_problem(rd, false, node, NULL, "`%.100s` in %s must be %s, not %s", name, where, expected,
                kind_name(node));
}

/* ` #` ends an unquoted text; `: ` makes a map of it: the usual reason for a map in a list. */
static void wrong_item(struct mrp_reader *rd,
                       const struct mrp_yaml_node *item,
                       size_t index,
                       const char *name,
                       const char *where)
{
    if (item->kind == MRP_YAML_MAP && !item->flow)
        mrp_problem(rd, false, item->count ? item->items[0] : item,
                    "quote the whole text if the `: ` belongs to it: - '...'",
                    "`%s[%zu]` in %s must be text: the `: ` makes YAML read a map here", name,
                    index, where);
    else
        mrp_problem(rd, false, item,
                    item->flow ? "quote the text if the brackets belong to it" : NULL,
                    "`%s[%zu]` in %s must be text, not %s", name, index, where, kind_name(item));
}

static void check_texts(struct mrp_reader *rd,
                        const struct mrp_yaml_node *node,
                        const char *name,
                        unsigned flags,
                        const char *where)
{
    if (node->kind == MRP_YAML_SCALAR && (flags & MRP_KEY_ONE_TEXT))
        return;
    if (node->kind == MRP_YAML_SCALAR && (flags & MRP_KEY_ONE_WARN)) {
        mrp_problem(rd, true, node, "write it as a list: - ...",
                    "`%s` in %s is documented as a list; this one text is taken as its only item",
                    name, where);
        return;
    }
    if (node->kind != MRP_YAML_LIST) {
        wrong_type(rd, node, name, where, type_names[MRP_KEY_TEXTS]);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct mrp_yaml_node *item = node->items[i];
        if (item->kind != MRP_YAML_SCALAR)
            wrong_item(rd, item, i, name, where);
        else if (item->null)
            mrp_problem(rd, false, item, "remove the `-` or write text after it",
                        "`%s[%zu]` in %s is empty", name, i, where);
    }
}

static void check_pairs(struct mrp_reader *rd,
                        const struct mrp_yaml_node *node,
                        const struct mrp_key *key,
                        const char *where)
{
    if (node->kind != MRP_YAML_MAP) {
        wrong_type(rd, node, key->name, where, type_names[key->type]);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct mrp_yaml_node *value = node->items[2 * i + 1];
        const char *name = node->items[2 * i]->text;
        mrp_auto(mrp_free_str) char *inside = mrp_strf("`%s`", key->name);
        if (key->type == MRP_KEY_LISTS)
            check_texts(rd, value, name, MRP_KEY_ONE_TEXT, inside ? inside : where);
        else if (value->kind != MRP_YAML_SCALAR)
            wrong_type(rd, value, name, inside ? inside : where, "text");
    }
}

static void check_enum(struct mrp_reader *rd,
                       const struct mrp_yaml_node *node,
                       const struct mrp_key *key,
                       const char *where)
{
    size_t n = 0;
    for (; key->values[n]; n++)
        if (!strcmp(key->values[n], node->text))
            return;
    mrp_auto(mrp_free_str) char *all = mrp_strdup("");
    for (size_t i = 0; i < n && all; i++) {
        char *more = mrp_strf("%s%s%s", all, i ? ", " : "", key->values[i]);
        free(all);
        all = more;
    }
    bool version = key->values[0][0] == '0'; /* no number is a slip for another */
    mrp_auto(mrp_free_str) char *hint =
        version ? NULL : mrp_did_you_mean(node->text, key->values, n);
    mrp_problem(rd, false, node, hint, "`%s` in %s is one of %s, not `%.60s`", key->name, where,
                all ? all : "a few words", node->text);
}

static void check_number(struct mrp_reader *rd,
                         const struct mrp_yaml_node *node,
                         const struct mrp_key *key,
                         const char *where)
{
    int64_t number, max = key->max ? key->max : INT64_MAX;
    if (!mrp_parse_int(&number, node->text, key->min, max))
        return;
    if (key->max)
        mrp_problem(rd, false, node, NULL,
                    "`%s` in %s is a whole number from %lld to %lld, not `%.60s`", key->name, where,
                    (long long)key->min, (long long)key->max, node->text);
    else
        mrp_problem(rd, false, node, NULL, "`%s` in %s is a whole number from %lld up, not `%.60s`",
                    key->name, where, (long long)key->min, node->text);
}

static void check_scalar(struct mrp_reader *rd,
                         const struct mrp_yaml_node *node,
                         const struct mrp_key *key,
                         const char *where)
{
    bool yes;
    int64_t ms;
    if (node->kind != MRP_YAML_SCALAR) {
        wrong_type(rd, node, key->name, where, type_names[key->type]);
    } else if (key->type == MRP_KEY_BOOL) {
        if (mrp_parse_bool(&yes, node->text))
            mrp_problem(rd, false, node, NULL, "`%s` in %s is yes or no, not `%.60s`", key->name,
                        where, node->text);
    } else if (key->type == MRP_KEY_INT) {
        check_number(rd, node, key, where);
    } else if (key->type == MRP_KEY_DURATION) {
        if (mrp_parse_duration(&ms, node->text) || ms <= 0)
            mrp_problem(rd, false, node, "as in 30s, 5m, 1h30m",
                        "`%s` in %s is a time, not `%.60s`", key->name, where, node->text);
    } else if (key->type == MRP_KEY_ENUM) {
        check_enum(rd, node, key, where);
    }
}

static void check_named(struct mrp_reader *rd,
                        const struct mrp_yaml_node *node,
                        const struct mrp_key *key,
                        const char *where)
{
    if (node->kind != MRP_YAML_MAP) {
        wrong_type(rd, node, key->name, where, type_names[key->type]);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct mrp_yaml_node *value = node->items[2 * i + 1];
        mrp_auto(mrp_free_str) char *name =
            mrp_strf("%s `%.100s`", key->sub->what, node->items[2 * i]->text);
        if (value->kind == MRP_YAML_SCALAR && value->null)
            continue;
        mrp_keys_check(rd, value, key->sub, name ? name : where);
    }
}

static void check_list(struct mrp_reader *rd,
                       const struct mrp_yaml_node *node,
                       const struct mrp_key *key,
                       const char *where)
{
    if (node->kind != MRP_YAML_LIST) {
        wrong_type(rd, node, key->name, where, type_names[key->type]);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct mrp_yaml_node *id = mrp_yaml_get(node->items[i], "id");
        const char *text = mrp_yaml_text(id);
        mrp_auto(mrp_free_str) char *name = text ? mrp_strf("%s `%.100s`", key->sub->what, text)
                                                 : mrp_strf("%s %zu", key->sub->what, i + 1);
        mrp_keys_check(rd, node->items[i], key->sub, name ? name : where);
    }
}

static void check_value(struct mrp_reader *rd,
                        const struct mrp_yaml_node *node,
                        const struct mrp_key *key,
                        const char *where)
{
    if (node->kind == MRP_YAML_SCALAR && node->null)
        return;
    switch (key->type) {
    case MRP_KEY_TEXTS:
        check_texts(rd, node, key->name, key->flags, where);
        break;
    case MRP_KEY_PAIRS:
    case MRP_KEY_LISTS:
        check_pairs(rd, node, key, where);
        break;
    case MRP_KEY_MAP: {
        const char *kind = key->sub == &mrp_keys_phase ? "phase " : "";
        mrp_auto(mrp_free_str) char *name = mrp_strf("%s`%s`", kind, key->name);
        mrp_keys_check(rd, node, key->sub, name ? name : where);
        break;
    }
    case MRP_KEY_NAMED:
        check_named(rd, node, key, where);
        break;
    case MRP_KEY_LIST:
        check_list(rd, node, key, where);
        break;
    case MRP_KEY_ANY_MAP:
        if (node->kind != MRP_YAML_MAP)
            wrong_type(rd, node, key->name, where, "a map");
        break;
    case MRP_KEY_ANY:
        break;
    default:
        check_scalar(rd, node, key, where);
    }
}

static const struct mrp_key *find_key(const struct mrp_keyset *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (!strcmp(set->keys[i].name, name))
            return &set->keys[i];
    return NULL;
}

static void unknown_key(struct mrp_reader *rd,
                        const struct mrp_yaml_node *map,
                        const struct mrp_yaml_node *key,
                        const struct mrp_keyset *set,
                        const char *where)
{
    const char *names[KEYS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < set->count && count < KEYS_MAX; i++)
        if (rd->old || !(set->keys[i].flags & MRP_KEY_OLD))
            names[count++] = set->keys[i].name;
    mrp_auto(mrp_free_str) char *near = mrp_did_you_mean(key->text, names, count);
    const char *hint = near;
    for (const struct mrp_wrong_key *w = set->wrong; w && w->name; w++)
        if (!strcmp(w->name, key->text))
            hint = w->hint;
    /* A misspelt key that the map cannot do without: nothing of it would run. */
    bool lost = false;
    const char *word = near ? mrp_nearest(key->text, names, count) : NULL;
    const struct mrp_key *meant = word ? find_key(set, word) : NULL;
    if (meant && (meant->flags & MRP_KEY_REQUIRED))
        lost = !mrp_yaml_get(map, meant->name);
    if (set == &mrp_keys_phases)
        mrp_problem(rd, false, key,
                    hint ? hint : "the phases are install, pre_build, build and post_build",
                    "unknown phase `%.100s`", key->text);
    else if (set->strict || lost)
        mrp_problem(rd, false, key, hint, "unknown key `%.100s` in %s", key->text, where);
    else
        mrp_problem(rd, true, key, hint, "unknown key `%.100s` in %s; CodeBuild ignores it",
                    key->text, where);
}

void mrp_keys_check(struct mrp_reader *rd,
                    const struct mrp_yaml_node *map,
                    const struct mrp_keyset *set,
                    const char *where)
{
    if (map->kind != MRP_YAML_MAP) {
        mrp_problem(rd, false, map, set == &mrp_keys_phase ? "put `commands:` above them" : NULL,
                    "%s must be a map, not %s", where, kind_name(map));
        return;
    }
    for (size_t i = 0; i < map->count; i++) {
        const struct mrp_yaml_node *name = map->items[2 * i];
        const struct mrp_key *key = find_key(set, name->text);
        if (key && (key->flags & MRP_KEY_OLD) && !rd->old)
            key = NULL;
        if (key)
            check_value(rd, map->items[2 * i + 1], key, where);
        else
            unknown_key(rd, map, name, set, where);
    }
}
