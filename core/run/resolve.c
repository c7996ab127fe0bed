/* Parameter store and secrets manager values of the environment, fetched by plugin `env`. */
#include "resolve.h"

#include "buildenv.h"
#include "loader.h"
#include "task.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

enum { RESOLVE_MS = 120000 };

bool mrp_resolve_needed(const struct mrp_session *s)
{
    return s->spec->parameter_store.count || s->spec->secrets_manager.count;
}

static void
fail(struct mrp_session *s, const struct mrp_error *err, const struct mrp_tail_lines *tail)
{
    const struct mrp_pairs *pairs =
        s->spec->parameter_store.count ? &s->spec->parameter_store : &s->spec->secrets_manager;
    json_t *e = mrp_event_new("failure");
    mrp_json_puts(e, "where", "environment");
    mrp_json_puts(e, "what", "env: parameter-store and secrets-manager");
    mrp_json_put(e, "error", mrp_error_json(err));
    mrp_json_put(e, "tail", tail ? mrp_tail_json(tail) : json_array());
    mrp_json_puts(e, "file", s->spec->path);
    mrp_json_puti(e, "line", pairs->count ? pairs->list[0].mark.line : 0);
    mrp_json_puts(e, "rerun", s->options->command_line);
    mrp_journal_send(&s->journal, e);
    mrp_session_fail(s, "build", MRP_EXIT_AUTH);
}

static void on_output(void *arg, const char *name, const json_t *value)
{
    struct mrp_resolve *r = arg;
    if (!mrp_streq(name, "variables"))
        return;
    void *iter = json_object_iter((json_t *)(uintptr_t)value);
    for (; iter; iter = json_object_iter_next((json_t *)(uintptr_t)value, iter)) {
        const char *text = json_string_value(json_object_iter_value(iter));
        if (!text)
            continue;
        /* Masked here too: the plugin's own word is not relied on. */
        (void)mrp_masker_add(r->s->masker, text, strlen(text));
        (void)mrp_env_set(&r->s->env, json_object_iter_key(iter), text);
        (void)mrp_strv_add(&r->s->secrets, json_object_iter_key(iter));
    }
}

static void on_end(void *arg, const struct mrp_task_end *end)
{
    struct mrp_resolve *r = arg;
    r->task = NULL;
    r->done = true;
    if (mrp_streq(end->result, "failed"))
        fail(r->s, &end->error, end->tail);
}

static json_t *pairs_json(const struct mrp_pairs *pairs, const struct mrp_run_options *options)
{
    json_t *map = json_object();
    for (size_t i = 0; i < pairs->count; i++)
        if (!mrp_env_get(options->env, pairs->list[i].name)) /* --env has priority */
            mrp_json_puts(map, pairs->list[i].name, pairs->list[i].value);
    return map;
}

void mrp_resolve_start(struct mrp_resolve *resolve, struct mrp_session *s)
{
    struct mrp_error err = {0};
    *resolve = (struct mrp_resolve){.s = s, .begun = true};
    mrp_auto(mrp_free_strv) char **env = NULL;
    for (char **e = s->env; e && *e; e++)
        if (mrp_strv_add(&env, *e)) {
            mrp_fail(&err, MRP_E_NOMEM, "out of memory");
            break;
        }
    const char *region = mrp_env_get(s->env, "AWS_REGION");
    const struct mrp_plugin_pin *pin = mrp_plugin_pin_of(s->spec, "env");
    json_t *with = json_object();
    mrp_json_put(with, "parameters", pairs_json(&s->spec->parameter_store, s->options));
    mrp_json_put(with, "secrets", pairs_json(&s->spec->secrets_manager, s->options));
    struct mrp_task_init init = {.s = s,
                                 .id = "environment",
                                 .quiet = true,
                                 .plugin = mrp_used_find(&s->used, "env"),
                                 .sha256 = pin ? pin->sha256 : NULL,
                                 .action = "resolve",
                                 .mode = MRP_MODE_RUN,
                                 .with = with,
                                 .env = mrp_take_strv(&env),
                                 .region = region             ? region
                                           : s->names.primary ? s->names.primary
                                                              : "",
                                 .timeout_ms = RESOLVE_MS,
                                 .on_output = on_output,
                                 .on_end = on_end,
                                 .arg = resolve};
    mrp_note(&s->journal, MRP_INFO, "resolving %zu parameters and secrets",
             s->spec->parameter_store.count + s->spec->secrets_manager.count);
    if (err.code || !init.plugin) {
        if (!err.code)
            mrp_fail(&err, MRP_E_CONFIG, "plugin env is not loaded");
        json_decref(init.with);
        mrp_free_strv(&init.env);
    } else if (mrp_task_start(&resolve->task, &init, &err) == 0) {
        return;
    }
    resolve->done = true;
    fail(s, &err, NULL);
}
