/* The names that expressions use: env, regions, run, stages and the values of a for-each. */
#include "plan.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

const char *mrp_env_get(char *const *env, const char *name)
{
    size_t n = strlen(name);
    for (; env && *env; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return *env + n + 1;
    return NULL;
}

static int give(json_t **out, json_t *value, struct mrp_error *err)
{
    if (!value)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    *out = value;
    return 0;
}

static int give_text(json_t **out, const char *text, const char *name, struct mrp_error *err)
{
    if (!text)
        return mrp_fail(err, MRP_E_CANCELLED, "%s (known after run)", name);
    json_t *value = json_string(text);
    if (!value)
        return mrp_fail(err, MRP_E_CONFIG, "the value of %s is not valid UTF-8", name);
    return give(out, value, err);
}

static int
region_name(json_t **out, const struct mrp_names *n, const char *name, struct mrp_error *err)
{
    const struct mrp_pipeline *p = &n->spec->pipeline;
    char *const *others = p->present ? p->secondaries : NULL;
    if (mrp_streq(name, "primary")) {
        if (n->primary)
            return give_text(out, n->primary, "regions.primary", err);
        mrp_fail(err, MRP_E_NOTFOUND, "regions.primary is not set");
        return mrp_hint(err, "set `regions: primary:` or AWS_REGION");
    }
    bool all = mrp_streq(name, "all");
    if (!all && !mrp_streq(name, "secondary")) {
        mrp_fail(err, MRP_E_NOTFOUND, "unknown name `regions.%s`", name);
        return mrp_hint(err, "there are regions.primary, regions.secondary and regions.all");
    }
    /* A single secondary region is a text, so that it can stand inside one. */
    if (!all && mrp_strv_len(others) == 1)
        return give_text(out, others[0], "regions.secondary", err);
    json_t *list = json_array();
    if (all && n->primary)
        json_array_append_new(list, json_string(n->primary));
    for (; others && *others; others++)
        json_array_append_new(list, json_string(*others));
    return give(out, list, err);
}

static int rank_of(const char *result)
{
    static const char *const order[] = {"unchanged", "changed", "skipped", "cancelled", "failed"};
    for (size_t i = 0; i < MRP_COUNT(order); i++)
        if (mrp_streq(order[i], result))
            return (int)i;
    return -1;
}

static int unknown_stage(const struct mrp_plan *plan, const char *id, struct mrp_error *err)
{
    const char *ids[MRP_NODES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < plan->count && n < MRP_NODES_MAX; i++)
        ids[n++] = plan->nodes[i].spec->id;
    const char *near = mrp_nearest(id, ids, n);
    mrp_fail(err, MRP_E_NOTFOUND, "unknown stage `%s`", id);
    return near ? mrp_hint(err, "did you mean `%s`?", near) : err->code;
}

/* What of a stage: "result" or an output's name. */
static int stage_value(json_t **out,
                       const struct mrp_names *names,
                       const char *id,
                       const char *output,
                       struct mrp_error *err)
{
    const struct mrp_plan *plan = names->plan;
    bool found = false, fanned = false, unknown = false;
    const char *result = NULL;
    json_t *only = NULL;
    mrp_auto(mrp_free_json) json_t *map = json_object();
    for (size_t i = 0; i < plan->count; i++) {
        const struct mrp_node *node = &plan->nodes[i];
        if (!mrp_streq(node->spec->id, id))
            continue;
        found = true;
        fanned = fanned || node->each;
        if (output && json_object_get(node->outputs, output)) {
            only = json_object_get(node->outputs, output);
            json_object_set(map, node->key, only);
        } else if (node->state != MRP_NODE_DONE) {
            return mrp_fail(err, MRP_E_CANCELLED, "stages.%s (known after run)", id);
        }
        /* A plan leaves out what only a run sets: the outputs, and the result of a stage it passed
         * over. */
        unknown = unknown || (names->planning && (output ? !json_object_get(node->outputs, output)
                                                         : mrp_streq(node->result, "skipped")));
        if (!result || rank_of(node->result) > rank_of(result))
            result = node->result;
    }
    if (!found)
        return unknown_stage(plan, id, err);
    if (unknown)
        return mrp_fail(err, MRP_E_CANCELLED, "stages.%s.%s%s (known after run)", id,
                        output ? "outputs." : "result", output ? output : "");
    if (!output)
        return give_text(out, result, id, err);
    if (fanned)
        return give(out, mrp_take_json(&map), err);
    if (!only) {
        mrp_fail(err, MRP_E_NOTFOUND, "stage `%s` (%s) has set no output `%s`", id, result, output);
        return mrp_hint(err, "use default(stages.%s.outputs.%s, ...) if it may be missing", id,
                        output);
    }
    return give(out, json_incref(only), err);
}

static int
stage_name(json_t **out, const struct mrp_names *n, const char *name, struct mrp_error *err)
{
    const char *dot = strchr(name, '.');
    if (!dot)
        return mrp_fail(err, MRP_E_NOTFOUND, "unknown name `stages.%s`", name);
    mrp_auto(mrp_free_str) char *id = mrp_strndup(name, (size_t)(dot - name));
    if (!id)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    if (!n->plan)
        return mrp_fail(err, MRP_E_CANCELLED, "stages.%s (known after run)", name);
    if (mrp_streq(dot, ".result"))
        return stage_value(out, n, id, NULL, err);
    if (mrp_starts(dot, ".outputs."))
        return stage_value(out, n, id, dot + strlen(".outputs."), err);
    mrp_fail(err, MRP_E_NOTFOUND, "unknown name `stages.%s`", name);
    return mrp_hint(err, "there are stages.%s.outputs.NAME and stages.%s.result", id, id);
}

static int lookup(void *arg, json_t **out, const char *name, struct mrp_error *err)
{
    const struct mrp_names_of *of = arg;
    const struct mrp_names *n = of->names;
    const json_t *each = of->node ? of->node->each : NULL;
    json_t *own = json_object_get(each, name);
    if (own)
        return give(out, json_incref(own), err);
    if (mrp_streq(name, "region"))
        return give_text(out, of->node ? of->node->region : NULL, name, err);
    if (mrp_starts(name, "regions."))
        return region_name(out, n, name + strlen("regions."), err);
    if (mrp_starts(name, "stages."))
        return stage_name(out, n, name + strlen("stages."), err);
    if (mrp_streq(name, "run.id"))
        return give_text(out, n->run_id, name, err);
    if (mrp_streq(name, "run.source-version"))
        return give_text(out, n->source_version, name, err);
    if (mrp_starts(name, "env.")) {
        if (!n->env)
            return mrp_fail(err, MRP_E_CANCELLED, "%s (known after run)", name);
        const char *value = mrp_env_get(n->env, name + 4);
        if (value)
            return give_text(out, value, name, err);
        mrp_fail(err, MRP_E_NOTFOUND, "the variable %s is not set", name + 4);
        return mrp_hint(err, "set it in `env: variables:` or in a phase, or use default(%s, '...')",
                        name);
    }
    static const char *const known[] = {"region",      "regions.primary", "regions.secondary",
                                        "regions.all", "run.id",          "run.source-version"};
    const char *near = mrp_nearest(name, known, MRP_COUNT(known));
    mrp_fail(err, MRP_E_NOTFOUND, "unknown name `%s`", name);
    return near ? mrp_hint(err, "did you mean `%s`?", near) : err->code;
}

struct mrp_scope mrp_names_scope(struct mrp_names_of *of)
{
    return (struct mrp_scope){.lookup = lookup,
                              .arg = of,
                              .workdir = of->names->workdir,
                              .files_ready = of->names->files_ready};
}
