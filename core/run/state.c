/* The state of a run on disk: what is finished, with which inputs and outputs. No secret is in it.
 */
#include "state.h"

#include "buildenv.h"
#include "phases.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <sha256.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_MAX ((size_t)32 << 20)

char *mrp_fingerprint(const json_t *value)
{
    mrp_auto(mrp_free_str) char *text =
        json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    SHA2_CTX ctx;
    unsigned char sum[32];
    if (!text)
        return NULL;
    SHA256Init(&ctx);
    SHA256Update(&ctx, (const unsigned char *)text, strlen(text));
    SHA256Final(sum, &ctx);
    return mrp_hex(sum, sizeof sum);
}

int mrp_state_load(struct mrp_session *s, const char *id, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *dir = NULL;
    int rc = mrp_run_folder(&dir, s->options->workdir, id, err);
    mrp_auto(mrp_free_str) char *path = rc ? NULL : mrp_path_join(dir, "state.json");
    if (rc || !path)
        return rc ? rc : mrp_fail(err, MRP_E_NOMEM, "out of memory");
    rc = mrp_json_read(&s->old, path, STATE_MAX, err);
    if (!rc && !json_is_object(s->old)) {
        json_decref(s->old);
        s->old = NULL;
        rc = mrp_fail(err, MRP_E_CONFIG, "%s is damaged", path);
    }
    return rc;
}

static bool has_secret(const struct mrp_session *s, const json_t *value)
{
    mrp_auto(mrp_free_json) json_t *copy = json_deep_copy(value);
    json_t *masked = mrp_mask_json(s->masker, copy);
    bool differs = !json_equal(masked, value);
    if (masked != copy)
        json_decref(masked);
    return differs;
}

/* ---- phases ---- */

/* The inputs of the phases: commands, variables, source version, directory. */
static char *phases_print(const struct mrp_session *s)
{
    mrp_auto(mrp_free_json) json_t *in = json_object(), *commands = json_array(),
                                   *vars = json_object();
    for (int i = 0; i < MRP_PHASES; i++) {
        const struct mrp_phase_spec *p = &s->spec->phases[i];
        for (size_t k = 0; k < p->command_count; k++)
            json_array_append_new(commands, json_string(p->commands[k].text));
        for (size_t k = 0; k < p->finally_count; k++)
            json_array_append_new(commands, json_string(p->finally[k].text));
        json_array_append_new(commands, json_string(mrp_phase_names[i]));
    }
    const struct mrp_pairs *pairs[] = {&s->spec->variables, &s->spec->parameter_store,
                                       &s->spec->secrets_manager};
    for (size_t i = 0; i < MRP_COUNT(pairs); i++)
        for (size_t k = 0; k < pairs[i]->count; k++)
            mrp_json_puts(vars, pairs[i]->list[k].name, pairs[i]->list[k].value);
    for (char *const *e = s->options->env; e && *e; e++)
        mrp_json_puts(vars, *e, "");
    mrp_json_put(in, "commands", mrp_take_json(&commands));
    mrp_json_put(in, "vars", mrp_take_json(&vars));
    mrp_json_puts(in, "shell", s->spec->shell ? s->spec->shell : "");
    mrp_json_puts(in, "source", s->names.source_version ? s->names.source_version : "");
    mrp_json_puts(in, "dir", s->options->workdir);
    return mrp_fingerprint(in);
}

/* Variables that belong to one run or one shell and are made anew. */
static bool own_variable(const char *name)
{
    static const char *const own[] = {"PATH",
                                      "MRPIPE_RUN_ID",
                                      "MRPIPE_SECRETS",
                                      "PWD",
                                      "OLDPWD",
                                      "SHLVL",
                                      "_",
                                      "CODEBUILD_BUILD_ID",
                                      "CODEBUILD_BUILD_ARN",
                                      "CODEBUILD_LOG_PATH",
                                      "CODEBUILD_START_TIME",
                                      "CODEBUILD_LAST_EXIT",
                                      "CODEBUILD_BUILD_SUCCEEDING"};
    for (size_t i = 0; i < MRP_COUNT(own); i++)
        if (mrp_streq(own[i], name))
            return true;
    return false;
}

void mrp_state_phases(struct mrp_session *s, bool ok)
{
    mrp_auto(mrp_free_json) json_t *env = json_object();
    bool secret = false;
    for (char **e = s->env; env && e && *e; e++) {
        const char *eq = strchr(*e, '=');
        mrp_auto(mrp_free_str) char *name = eq ? mrp_strndup(*e, (size_t)(eq - *e)) : NULL;
        const char *was = name ? getenv(name) : NULL;
        if (!name || own_variable(name) || mrp_strv_has(s->secrets, name) ||
            (was && mrp_streq(was, eq + 1)))
            continue;
        json_t *value = mrp_clean_string(eq + 1, strlen(eq + 1));
        if (!value || has_secret(s, value)) {
            secret = true;
            json_decref(value);
        } else {
            mrp_json_put(env, name, value);
        }
    }
    mrp_auto(mrp_free_str) char *print = phases_print(s);
    json_t *phases = json_object();
    mrp_json_puts(phases, "result", ok ? "succeeded" : "failed");
    /* A variable made from a secret is not kept, so such phases run again. */
    if (ok && !secret)
        mrp_json_puts(phases, "fingerprint", print);
    mrp_json_put(phases, "env", mrp_take_json(&env));
    json_decref(s->kept_phases);
    s->kept_phases = phases;
    mrp_state_save(s);
}

char *mrp_state_reuse_phases(struct mrp_session *s)
{
    const json_t *phases = mrp_json_obj(s->old, "phases");
    mrp_auto(mrp_free_str) char *print = phases_print(s);
    if (!phases || !print || !mrp_streq(mrp_json_str(phases, "fingerprint"), print))
        return NULL;
    void *iter = json_object_iter(mrp_json_obj(phases, "env"));
    for (; iter; iter = json_object_iter_next(mrp_json_obj(phases, "env"), iter)) {
        const char *value = json_string_value(json_object_iter_value(iter));
        if (value && mrp_env_set(&s->env, json_object_iter_key(iter), value))
            return NULL;
    }
    json_decref(s->kept_phases);
    s->kept_phases = json_deep_copy(phases);
    return mrp_strf("done in run %s, inputs unchanged", mrp_json_str(s->old, "run"));
}

/* ---- stages ---- */

static void take_over(struct mrp_node *node, const json_t *old)
{
    json_t *outputs = mrp_json_obj(old, "outputs"), *artifacts = mrp_json_arr(old, "artifacts");
    if (outputs)
        json_object_update(node->outputs, outputs);
    if (artifacts)
        json_array_extend(node->artifacts, artifacts);
}

static const json_t *old_stage(const struct mrp_session *s, const struct mrp_node *node)
{
    return mrp_json_obj(mrp_json_obj(s->old, "stages"), node->id);
}

char *mrp_state_reuse(struct mrp_session *s, struct mrp_node *node)
{
    const json_t *old = old_stage(s, node);
    const char *result = mrp_json_str(old, "result"), *print = mrp_json_str(old, "fingerprint");
    if (!old || node->forced || !node->fingerprint || !mrp_streq(print, node->fingerprint) ||
        !result)
        return NULL;
    take_over(node, old);
    return mrp_strf("done in run %s, inputs unchanged", mrp_json_str(s->old, "run"));
}

void mrp_state_borrow(struct mrp_session *s, struct mrp_node *node)
{
    const json_t *old = old_stage(s, node);
    if (old)
        take_over(node, old);
}

static json_t *stage_json(const struct mrp_session *s, const struct mrp_node *node)
{
    json_t *j = json_object();
    bool ok =
        mrp_streq(node->result, "changed") || mrp_streq(node->result, "unchanged") || node->reused;
    mrp_json_puts(j, "result", node->result);
    if (has_secret(s, node->outputs))
        return j; /* cannot be kept: the stage runs again */
    mrp_json_put(j, "outputs", json_deep_copy(node->outputs));
    mrp_json_put(j, "artifacts", json_deep_copy(node->artifacts));
    if (ok)
        mrp_json_puts(j, "fingerprint", node->fingerprint);
    return j;
}

void mrp_state_save(struct mrp_session *s)
{
    if (!s->folder.path)
        return;
    mrp_auto(mrp_free_json) json_t *state = json_object(), *stages = json_object(),
                                   *outputs = json_object();
    for (size_t i = 0; i < s->plan.count; i++) {
        const struct mrp_node *node = &s->plan.nodes[i];
        if (node->state != MRP_NODE_DONE)
            continue;
        mrp_json_put(stages, node->id, stage_json(s, node));
        mrp_json_put(outputs, node->id, json_deep_copy(node->outputs));
    }
    mrp_json_puts(state, "run", s->folder.id);
    mrp_json_puts(state, "spec", s->spec->path);
    if (s->kept_phases)
        mrp_json_put(state, "phases", json_incref(s->kept_phases));
    mrp_json_put(state, "stages", mrp_take_json(&stages));
    json_t *all = json_object();
    mrp_json_put(all, "stages", mrp_take_json(&outputs));
    mrp_json_put(all, "exported-variables", json_deep_copy(s->exported));
    mrp_mask_json(s->masker, all);
    struct mrp_error err = {0};
    if (mrp_folder_write(&s->folder, "state.json", state, &err) ||
        mrp_folder_write(&s->folder, "outputs.json", all, &err))
        mrp_note(&s->journal, MRP_WARN, "the state of the run could not be kept: %s", err.msg);
    json_decref(all);
}
