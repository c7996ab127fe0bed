/* The plan: fan-out of for-each, needs, cycles, order, selection. */
#include "plan.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

static void diag(struct mrp_diags *diags,
                 const struct mrp_spec *spec,
                 struct mrp_mark mark,
                 const char *hint,
                 const char *message)
{
    mrp_spec_stage_problem(diags, spec, false, mark, 1, hint, "%s", message);
}

static void node_done(struct mrp_node *node)
{
    free(node->id);
    free(node->key);
    json_decref(node->each);
    free(node->region);
    free(node->needs);
    json_decref(node->outputs);
    json_decref(node->artifacts);
    free(node->fingerprint);
}

void mrp_plan_done(struct mrp_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        node_done(&plan->nodes[i]);
    free(plan->nodes);
    *plan = (struct mrp_plan){0};
}

/* The region of a node as far as it is known before the run. */
static int set_region(struct mrp_node *node, const struct mrp_names *names, struct mrp_error *err)
{
    json_t *each = json_object_get(node->each, "region");
    const char *text = node->spec->region     ? node->spec->region
                       : json_is_string(each) ? json_string_value(each)
                                              : names->primary;
    if (!text)
        text = "";
    if (!strstr(text, "${{")) {
        node->region = mrp_strdup(text);
        return node->region ? 0 : mrp_fail(err, MRP_E_NOMEM, "out of memory");
    }
    struct mrp_names early = *names;
    early.plan = NULL;
    struct mrp_names_of of = {&early, node};
    struct mrp_scope scope = mrp_names_scope(&of);
    mrp_auto(mrp_free_json) json_t *in = json_string(text), *value = NULL;
    int rc = mrp_expr_fill(&value, in, &scope, NULL, err);
    if (rc == MRP_E_CANCELLED)
        return 0;
    if (rc)
        return mrp_wrap(err, "stage %s: region", node->id);
    if (!json_is_string(value))
        return mrp_fail(err, MRP_E_CONFIG,
                        "stage %s: region must be one region; use for-each for several", node->id);
    node->region = mrp_strdup(json_string_value(value));
    return node->region ? 0 : mrp_fail(err, MRP_E_NOMEM, "out of memory");
}

static int add_node(struct mrp_plan *plan,
                    const struct mrp_stage_spec *stage,
                    const json_t *each,
                    const struct mrp_names *names,
                    struct mrp_error *err)
{
    if (plan->count == MRP_NODES_MAX)
        return mrp_fail(err, MRP_E_CONFIG, "more than %d stages after fan-out", MRP_NODES_MAX);
    struct mrp_node *nodes = realloc(plan->nodes, (plan->count + 1) * sizeof *nodes);
    if (!nodes)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    plan->nodes = nodes;
    struct mrp_node *node = &nodes[plan->count++];
    *node = (struct mrp_node){.spec = stage, .selected = true};
    node->outputs = json_object();
    node->artifacts = json_array();
    node->each = each ? json_deep_copy(each) : NULL;
    struct mrp_buf key = MRP_BUF_INIT(4096);
    const char *name;
    json_t *value;
    json_object_foreach(node->each, name, value)
    {
        mrp_auto(mrp_free_str) char *text = NULL;
        if (!json_is_string(value))
            text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
        mrp_buf_addf(&key, "%s%s", key.len ? "," : "", text ? text : json_string_value(value));
    }
    node->key = mrp_buf_take(&key);
    mrp_buf_done(&key);
    node->id = !node->key ? NULL
               : each     ? mrp_strf("%s[%s]", stage->id, node->key)
                          : mrp_strdup(stage->id);
    if (!node->outputs || !node->artifacts || !node->id || (each && !node->each))
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    return set_region(node, names, err);
}

/* The product of the for-each lists: `round` counts through it like an odometer. */
static int fan_out(struct mrp_plan *plan,
                   const struct mrp_stage_spec *stage,
                   json_t *lists,
                   const struct mrp_names *names,
                   struct mrp_error *err)
{
    const char *name;
    json_t *list;
    size_t total = 1;
    json_object_foreach(lists, name, list)
    {
        total *= json_array_size(list);
        if (total > MRP_NODES_MAX)
            return mrp_fail(err, MRP_E_CONFIG, "stage %s: more than %d stages after fan-out",
                            stage->id, MRP_NODES_MAX);
    }
    for (size_t round = 0; round < total; round++) {
        mrp_auto(mrp_free_json) json_t *chosen = json_object();
        size_t rest = round, span = total;
        json_object_foreach(lists, name, list)
        {
            span /= json_array_size(list);
            json_object_set(chosen, name, json_array_get(list, rest / span));
            rest %= span;
        }
        int rc = add_node(plan, stage, chosen, names, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int expand(struct mrp_plan *plan,
                  const struct mrp_stage_spec *stage,
                  const struct mrp_names *names,
                  struct mrp_error *err)
{
    if (!stage->for_each.json)
        return add_node(plan, stage, NULL, names, err);
    struct mrp_names early = *names;
    early.plan = NULL;
    struct mrp_names_of of = {&early, NULL};
    struct mrp_scope scope = mrp_names_scope(&of);
    mrp_auto(mrp_free_json) json_t *lists = NULL;
    int rc = mrp_expr_fill(&lists, stage->for_each.json, &scope, NULL, err);
    if (rc == MRP_E_CANCELLED) {
        mrp_fail(err, MRP_E_CONFIG, "stage %s: the lists of for-each must be known before the run",
                 stage->id);
        return mrp_hint(err,
                        "outputs of stages and files can stand in `with:`, not in `for-each:`");
    }
    if (rc)
        return mrp_wrap(err, "stage %s: for-each", stage->id);
    mrp_auto(mrp_free_strv) char **keys = NULL;
    const char *name;
    json_t *list;
    json_object_foreach(lists, name, list) if (mrp_strv_add(&keys, name)) return mrp_fail(
        err, MRP_E_NOMEM, "out of memory");
    for (char **k = keys; k && *k; k++) {
        list = json_object_get(lists, *k);
        if (!json_is_array(list)) /* one scalar is a list of one */
            json_object_set_new(lists, *k, json_pack("[O]", list));
    }
    return fan_out(plan, stage, lists, names, err);
}

static int add_need(struct mrp_node *node, size_t index, struct mrp_error *err)
{
    for (size_t i = 0; i < node->need_count; i++)
        if (node->needs[i] == index)
            return 0;
    size_t *needs = realloc(node->needs, (node->need_count + 1) * sizeof *needs);
    if (!needs)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    node->needs = needs;
    needs[node->need_count++] = index;
    return 0;
}

static int link_needs(struct mrp_plan *plan,
                      const struct mrp_spec *spec,
                      struct mrp_diags *diags,
                      struct mrp_error *err)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct mrp_node *node = &plan->nodes[i];
        for (char **need = node->spec->needs; need && *need; need++) {
            bool found = mrp_streq(*need, "build");
            int rc = found ? add_need(node, MRP_NEED_PHASES, err) : 0;
            for (size_t k = 0; !rc && k < plan->count; k++) {
                if (!mrp_streq(plan->nodes[k].spec->id, *need))
                    continue;
                found = true;
                rc = add_need(node, k, err);
            }
            if (rc)
                return rc;
            if (!found) {
                mrp_auto(mrp_free_str) char *text =
                    mrp_strf("stage `%s` needs `%s`, which does not exist", node->spec->id, *need);
                diag(diags, spec, node->spec->mark, NULL, text ? text : "unknown need");
            }
        }
    }
    return 0;
}

/* Put needs before their users, keeping the file's order otherwise (Kahn's algorithm). */
static int order(struct mrp_plan *plan,
                 const struct mrp_spec *spec,
                 struct mrp_diags *diags,
                 struct mrp_error *err)
{
    size_t n = plan->count, done = 0;
    size_t *place = calloc(n + 1, sizeof *place); /* old index -> new + 1 */
    struct mrp_node *sorted = calloc(n + 1, sizeof *sorted);
    if (!place || !sorted) {
        free(place);
        free(sorted);
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    }
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < n; i++) {
            struct mrp_node *node = &plan->nodes[i];
            bool ready = !place[i];
            for (size_t k = 0; ready && k < node->need_count; k++)
                ready = node->needs[k] == MRP_NEED_PHASES || place[node->needs[k]];
            if (!ready)
                continue;
            sorted[done] = *node;
            place[i] = ++done;
            moved = true;
        }
    }
    int rc = 0;
    if (done < n) {
        struct mrp_buf ring = MRP_BUF_INIT(2000);
        struct mrp_mark mark = {0};
        for (size_t i = 0; i < n; i++)
            if (!place[i]) {
                mrp_buf_addf(&ring, "%s%s", ring.len ? ", " : "", plan->nodes[i].id);
                mark = mark.line ? mark : plan->nodes[i].spec->mark;
            }
        mrp_auto(mrp_free_str) char *text = mrp_strf("the needs of these stages form a cycle: %s",
                                                     ring.failed ? "many" : mrp_buf_str(&ring));
        mrp_buf_done(&ring);
        diag(diags, spec, mark, "a stage cannot wait for a stage that waits for it",
             text ? text : "cycle");
        free(sorted);
        rc = mrp_fail(err, MRP_E_CONFIG, "%s", text ? text : "cycle");
    } else {
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < sorted[i].need_count; k++)
                if (sorted[i].needs[k] != MRP_NEED_PHASES)
                    sorted[i].needs[k] = place[sorted[i].needs[k]] - 1;
        free(plan->nodes);
        plan->nodes = sorted;
    }
    free(place);
    return rc;
}

int mrp_plan_build(struct mrp_plan *out,
                   const struct mrp_spec *spec,
                   const struct mrp_names *names,
                   struct mrp_diags *diags,
                   struct mrp_error *err)
{
    *out = (struct mrp_plan){0};
    const struct mrp_pipeline *p = &spec->pipeline;
    size_t before = diags->errors;
    for (size_t i = 0; p->present && i < p->stage_count; i++) {
        int rc = expand(out, &p->stages[i], names, err);
        if (rc == MRP_E_NOMEM)
            return rc;
        if (rc)
            diag(diags, spec,
                 p->stages[i].for_each.json ? p->stages[i].for_each.mark : p->stages[i].mark,
                 err->hint[0] ? err->hint : NULL, err->msg);
    }
    int rc = link_needs(out, spec, diags, err);
    if (!rc && diags->errors == before)
        rc = order(out, spec, diags, err);
    if (!rc && diags->errors > before)
        rc = mrp_fail(err, MRP_E_CONFIG, "%s: the stages do not fit together", spec->path);
    return rc;
}

static bool known_id(const struct mrp_plan *plan, const char *id, struct mrp_error *err)
{
    const char *ids[MRP_NODES_MAX];
    for (size_t i = 0; i < plan->count; i++) {
        if (mrp_streq(plan->nodes[i].id, id) || mrp_streq(plan->nodes[i].spec->id, id))
            return true;
        ids[i] = plan->nodes[i].id;
    }
    const char *near = mrp_nearest(id, ids, plan->count);
    mrp_fail(err, MRP_E_CONFIG, "there is no stage `%s`", id);
    if (near)
        mrp_hint(err, "did you mean `%s`?", near);
    return false;
}

int mrp_plan_select(struct mrp_plan *plan,
                    char *const *only,
                    const char *from,
                    struct mrp_error *err)
{
    for (char *const *id = only; id && *id; id++)
        if (!known_id(plan, *id, err))
            return MRP_E_CONFIG;
    if (from && !known_id(plan, from, err))
        return MRP_E_CONFIG;
    for (size_t i = 0; i < plan->count; i++) {
        struct mrp_node *node = &plan->nodes[i];
        node->selected =
            !only || mrp_strv_has(only, node->id) || mrp_strv_has(only, node->spec->id);
        node->forced = from && (mrp_streq(node->id, from) || mrp_streq(node->spec->id, from));
        for (size_t k = 0; from && k < node->need_count; k++)
            if (node->needs[k] != MRP_NEED_PHASES && plan->nodes[node->needs[k]].forced)
                node->forced = true;
    }
    return 0;
}

json_t *mrp_plan_json(const struct mrp_plan *plan)
{
    json_t *list = json_array();
    for (size_t i = 0; i < plan->count; i++) {
        const struct mrp_node *node = &plan->nodes[i];
        json_t *needs = json_array(), *item = json_object();
        for (size_t k = 0; k < node->need_count; k++)
            json_array_append_new(needs, json_string(node->needs[k] == MRP_NEED_PHASES
                                                         ? "build"
                                                         : plan->nodes[node->needs[k]].id));
        mrp_json_puts(item, "id", node->id);
        mrp_json_puts(item, "uses", node->spec->uses);
        mrp_json_puts(item, "region", node->region);
        mrp_json_put(item, "needs", needs);
        json_array_append_new(list, item);
    }
    return list;
}
