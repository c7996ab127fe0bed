/* Writes a spec as JSON with places, for golden files. */
#include "dump.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

static json_t *place(struct mrp_mark m)
{
    return json_sprintf("%d:%d", m.line, m.col);
}

static json_t *texts(char *const *v)
{
    json_t *list = json_array();
    for (; v && *v; v++)
        json_array_append_new(list, json_string(*v));
    return list;
}

static void put_list(json_t *out, const char *key, char *const *v)
{
    if (mrp_strv_len(v))
        mrp_json_put(out, key, texts(v));
}

static void put_pairs(json_t *out, const char *key, const struct mrp_pairs *pairs)
{
    if (!pairs->count)
        return;
    json_t *map = json_object();
    for (size_t i = 0; i < pairs->count; i++)
        mrp_json_puts(map, pairs->list[i].name, pairs->list[i].value);
    mrp_json_put(out, key, map);
}

static void put_commands(json_t *out, const char *key, const struct mrp_command *list, size_t count)
{
    if (!count)
        return;
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            all, json_sprintf("%d:%d %s", list[i].mark.line, list[i].mark.col, list[i].text));
    mrp_json_put(out, key, all);
}

static json_t *phase(const struct mrp_phase_spec *p)
{
    static const char *const flows[] = {"ABORT", "CONTINUE", "RETRY"};
    json_t *out = json_object();
    mrp_json_put(out, "at", place(p->mark));
    mrp_json_puts(out, "run-as", p->run_as);
    if (p->on_failure != MRP_NORMAL_FLOW)
        mrp_json_puts(out, "on-failure", flows[p->on_failure]);
    if (p->retries)
        mrp_json_puti(out, "retries", p->retries);
    mrp_json_puts(out, "pattern", p->retry_pattern);
    put_commands(out, "commands", p->commands, p->command_count);
    put_commands(out, "finally", p->finally, p->finally_count);
    return out;
}

static json_t *stage(const struct mrp_stage_spec *s)
{
    json_t *out = json_object();
    mrp_json_puts(out, "id", s->id);
    mrp_json_put(out, "at", place(s->mark));
    mrp_json_puts(out, "uses", s->uses);
    mrp_json_puts(out, "plugin", s->plugin);
    mrp_json_puts(out, "action", s->action);
    mrp_json_put(out, "needs", texts(s->needs));
    if (s->with.json) {
        mrp_json_put(out, "with", json_incref(s->with.json));
        mrp_json_put(out, "marks", json_incref(s->with.marks));
    }
    if (s->for_each.json)
        mrp_json_put(out, "for-each", json_incref(s->for_each.json));
    mrp_json_puts(out, "region", s->region);
    mrp_json_puts(out, "if", s->condition);
    if (s->timeout_ms)
        mrp_json_puti(out, "timeout-ms", s->timeout_ms);
    if (s->retries)
        mrp_json_puti(out, "retries", s->retries);
    if (s->continue_on_failure)
        mrp_json_puts(out, "on-failure", "continue");
    mrp_json_puts(out, "role-arn", s->role_arn);
    put_pairs(out, "env", &s->env);
    return out;
}

static json_t *pipeline(const struct mrp_pipeline *p)
{
    json_t *out = json_object();
    mrp_json_puts(out, "primary", p->primary);
    put_list(out, "secondary", p->secondaries);
    if (json_object_size(p->endpoints))
        mrp_json_put(out, "endpoints", json_incref(p->endpoints));
    for (size_t i = 0; i < p->pin_count; i++)
        mrp_json_put(out, "pin",
                     json_sprintf("%s %s %s", p->pins[i].name,
                                  p->pins[i].version ? p->pins[i].version : "-",
                                  p->pins[i].sha256 ? p->pins[i].sha256 : "-"));
    if (p->jobs)
        mrp_json_puti(out, "jobs", p->jobs);
    json_t *stages = json_array();
    for (size_t i = 0; i < p->stage_count; i++)
        json_array_append_new(stages, stage(&p->stages[i]));
    mrp_json_put(out, "stages", stages);
    return out;
}

char *dump_spec(const struct mrp_spec *s)
{
    mrp_auto(mrp_free_json) json_t *out = json_object();
    mrp_json_puts(out, "version", s->version);
    mrp_json_puts(out, "run-as", s->run_as);
    mrp_json_puts(out, "shell", s->shell);
    put_pairs(out, "variables", &s->variables);
    put_pairs(out, "parameter-store", &s->parameter_store);
    put_pairs(out, "secrets-manager", &s->secrets_manager);
    put_list(out, "exported", s->exported);
    if (s->git_credential_helper)
        mrp_json_put(out, "git-credential-helper", json_true());
    json_t *phases = json_object();
    for (int i = 0; i < MRP_PHASES; i++)
        if (s->phases[i].present)
            mrp_json_put(phases, mrp_phase_names[i], phase(&s->phases[i]));
    if (s->has_phases)
        mrp_json_put(out, "phases", phases);
    else
        json_decref(phases);
    if (s->artifacts)
        mrp_json_put(out, "artifacts", json_incref(s->artifacts));
    if (s->cache)
        mrp_json_put(out, "cache", json_incref(s->cache));
    if (s->has_batch)
        mrp_json_put(out, "batch", json_true());
    if (s->has_reports)
        mrp_json_put(out, "reports", json_true());
    if (s->pipeline.present)
        mrp_json_put(out, "mrpipe", pipeline(&s->pipeline));
    return json_dumps(out, JSON_INDENT(2));
}
