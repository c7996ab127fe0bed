/* The child of the checks: maps the plugins that are used, tries options and references on them. */
#include "check_child.h"

#include "journal.h"
#include "loader.h"
#include "worker.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/options.h>
#include <mrpipe/text.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct checker {
    const struct mrp_check_job *job;
    char **dirs;
    struct mrp_mapped *mapped;
    size_t count;
    bool stray; /* something is mapped that no worker would have in it */
    /* of the node that is being checked */
    size_t node;
    const struct mrp_action *action;
    char **deferred; /* options whose value is known after run */
    bool problem;
};

static void say(json_t *j)
{
    mrp_auto(mrp_free_json) json_t *owned = j;
    mrp_auto(mrp_free_str) char *text = owned ? mrp_json_text(owned) : NULL;
    mrp_auto(mrp_free_str) char *line = text ? mrp_strf("%s\n", text) : NULL;
    if (line)
        (void)mrp_write_all(MRP_CHECK_FD, line, strlen(line));
}

static json_t *finding(const char *type)
{
    json_t *j = json_object();
    mrp_json_puts(j, "type", type);
    return j;
}

static void put_text(json_t *j, const char *key, const char *text)
{
    if (text && *text)
        mrp_json_put(j, key, mrp_clean_string(text, strlen(text)));
}

static json_t *
problem(struct checker *c, const char *part, const char *at, const char *message, const char *hint)
{
    json_t *j = finding("problem");
    c->problem = true;
    mrp_json_puti(j, "node", (int64_t)c->node);
    put_text(j, "part", part);
    put_text(j, "at", at);
    put_text(j, "message", message);
    put_text(j, "hint", hint);
    return j;
}

static void doing(const char *what, const char *name)
{
    json_t *j = finding("doing");
    mrp_auto(mrp_free_str) char *text = mrp_strf("%s `%s`", what, name);
    put_text(j, "what", text);
    say(j);
}

/* ---- plugins ---- */

static bool version_fits(const struct mrp_plugin_pin *pin, const struct mrp_plugin *plugin)
{
    return !pin || !pin->version || mrp_streq(pin->version, plugin->version);
}

static char *why_not(char *const *causes, char *const *dirs, const char *name)
{
    struct mrp_buf text = MRP_BUF_INIT(4000);
    if (!mrp_strv_len(causes)) {
        mrp_buf_addf(&text, "there is no plugin `%s`; looked for %s.so in", name, name);
        for (char *const *d = dirs; d && *d; d++)
            mrp_buf_addf(&text, "%s %s", d == dirs ? "" : ",", *d);
    } else {
        mrp_buf_addf(&text, "plugin `%s` cannot be used: ", name);
        for (char *const *c = causes; *c; c++)
            mrp_buf_addf(&text, "%s%s", c == causes ? "" : "; ", *c);
    }
    char *all = mrp_buf_take(&text);
    mrp_buf_done(&text);
    return all;
}

static void map_plugin(struct mrp_mapped *out, struct checker *c, const char *name)
{
    const struct mrp_plugin_pin *pin = mrp_plugin_pin_of(c->job->spec, name);
    mrp_auto(mrp_free_strv) char **paths = NULL;
    mrp_auto(mrp_free_strv) char **causes = NULL;
    struct mrp_error err = {0};
    if (mrp_plugin_candidates(&paths, &causes, name, c->dirs, pin, &err))
        mrp_strv_add(&causes, err.msg);
    doing("plugin", name);
    for (char **path = paths; path && *path; path++) {
        const struct mrp_plugin *plugin;
        void *handle;
        struct mrp_error why = {0};
        mrp_auto(mrp_free_str) char *identity = mrp_plugin_identity(*path);
        if (mrp_plugin_open(&plugin, &handle, *path, pin ? pin->sha256 : NULL, &why)) {
            mrp_strv_add(&causes, why.msg);
            c->stray = true;
            continue;
        }
        if (!version_fits(pin, plugin)) {
            mrp_auto(mrp_free_str) char *text = mrp_strf("%s has version %s, the spec pins %s",
                                                         *path, plugin->version, pin->version);
            mrp_strv_add(&causes, text ? text : "version");
            c->stray = true;
            continue;
        }
        json_t *j = finding("plugin");
        mrp_json_puts(j, "name", name);
        mrp_json_puts(j, "path", *path);
        mrp_json_puts(j, "version", plugin->version);
        mrp_json_puts(j, "identity", identity);
        say(j);
        out->path = mrp_strdup(*path);
        out->plugin = plugin;
        return;
    }
    mrp_auto(mrp_free_str) char *text = why_not(causes, c->dirs, name);
    json_t *j = problem(c, "uses", NULL, text ? text : "a plugin cannot be used", NULL);
    mrp_json_put(j, "plugin-failure", json_true());
    mrp_json_puti(j, "width", (int64_t)strlen(name));
    say(j);
}

static const struct mrp_plugin *plugin_of(struct checker *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (mrp_streq(c->mapped[i].name, name))
            return c->mapped[i].plugin;
    struct mrp_mapped *mapped = realloc(c->mapped, (c->count + 1) * sizeof *mapped);
    if (!mapped)
        return NULL;
    c->mapped = mapped;
    mapped[c->count] = (struct mrp_mapped){.name = name};
    map_plugin(&mapped[c->count], c, name);
    return c->mapped[c->count++].plugin;
}

static const struct mrp_action *action_of(struct checker *c, const struct mrp_stage_spec *stage)
{
    const struct mrp_plugin *plugin = plugin_of(c, stage->plugin);
    if (!plugin)
        return NULL;
    const struct mrp_action *action = mrp_plugin_action(plugin, stage->action);
    if (action)
        return action;
    const char *names[256];
    size_t n = 0;
    for (; n < plugin->action_count && n < MRP_COUNT(names); n++)
        names[n] =
            ((const struct mrp_action *)((const char *)plugin->actions + n * plugin->action_size))
                ->name;
    const char *near = mrp_nearest(stage->action, names, n);
    struct mrp_buf list = MRP_BUF_INIT(4000);
    for (size_t i = 0; i < n; i++)
        mrp_buf_addf(&list, "%s%s/%s", i ? ", " : "it has ", plugin->name, names[i]);
    mrp_auto(mrp_free_str) char *text =
        mrp_strf("plugin %s has no action `%s`", plugin->name, stage->action);
    mrp_auto(mrp_free_str) char *hint = near ? mrp_strf("did you mean `%s/%s`?", plugin->name, near)
                                             : mrp_strdup(mrp_buf_str(&list));
    mrp_buf_done(&list);
    json_t *j = problem(c, "uses", NULL, text, hint);
    mrp_json_puti(j, "width", (int64_t)strlen(stage->uses));
    say(j);
    return NULL;
}

/* ---- options ---- */

static void on_option(void *arg, const char *option, const char *message, const char *nearest)
{
    struct checker *c = arg;
    if (mrp_strv_has(c->deferred, option))
        return;
    const struct mrp_stage_spec *stage = c->job->plan->nodes[c->node].spec;
    bool written = json_object_get(stage->with.json, option) != NULL;
    mrp_auto(mrp_free_str) char *hint = NULL;
    if (nearest)
        hint = mrp_strf("did you mean `%s`?", nearest);
    else
        hint = mrp_strf("`mrpipe help %s` lists its options", stage->uses);
    say(problem(c, written ? "with" : "uses", option, message, hint));
}

static bool in_table(const struct mrp_option *table, const char *name)
{
    for (; table->name; table++)
        if (mrp_streq(table->name, name))
            return true;
    return false;
}

static void bad_expression(struct checker *c,
                           const char *part,
                           const char *key,
                           const char *bad,
                           const struct mrp_error *why)
{
    mrp_auto(mrp_free_str) char *at =
        bad && *bad ? mrp_strf(*bad == '[' ? "%s%s" : "%s.%s", key, bad) : mrp_strdup(key);
    json_t *j = problem(c, part, at, why->msg, why->hint);
    mrp_json_puti(j, "column", why->upstream);
    say(j);
}

/* True if a value can be seen to be wrong before it is known. */
static bool wrong_literals(struct checker *c,
                           const char *part,
                           const char *key,
                           const json_t *value,
                           const struct mrp_scope *scope)
{
    mrp_auto(mrp_free_str) char *bad = NULL;
    struct mrp_error why = {0};
    if (mrp_expr_literals(value, scope, &bad, &why) == 0)
        return false;
    bad_expression(c, part, key, bad, &why);
    return true;
}

/* What of `with:` is known now; the rest is remembered as deferred. */
static json_t *fill_known(struct checker *c, const json_t *with, const struct mrp_scope *scope)
{
    json_t *known = json_object();
    void *iter = json_object_iter((json_t *)(uintptr_t)with);
    for (; known && iter; iter = json_object_iter_next((json_t *)(uintptr_t)with, iter)) {
        const char *key = json_object_iter_key(iter);
        mrp_auto(mrp_free_str) char *bad = NULL;
        json_t *value = NULL;
        struct mrp_error why = {0};
        const json_t *in = json_object_iter_value(iter);
        int rc = mrp_expr_fill(&value, in, scope, &bad, &why);
        if (!rc && !wrong_literals(c, "with", key, in, scope)) {
            mrp_json_put(known, key, value);
            continue;
        }
        json_decref(value);
        if (rc == MRP_E_CANCELLED)
            (void)wrong_literals(c, "with", key, in, scope);
        else if (rc)
            bad_expression(c, "with", key, bad, &why);
        if (c->action && !in_table(c->action->options, key))
            json_object_set_new(known, key, json_null()); /* its name is wrong as well */
        else
            mrp_strv_add(&c->deferred, key);
    }
    return known;
}

static void try_options(struct checker *c, const json_t *with)
{
    const struct mrp_action *action = c->action;
    struct mrp_error why = {0};
    mrp_auto(mrp_free_str) char *state = calloc(1, action->options_size + 1);
    if (!state)
        return;
    int rc = mrp_options_parse(state, action->options, with, on_option, c, &why);
    if (!rc && !c->deferred && !c->problem && action->check) {
        const char *option = NULL;
        why = (struct mrp_error){0};
        if (action->check(state, &option, &why)) {
            const struct mrp_stage_spec *stage = c->job->plan->nodes[c->node].spec;
            bool written = option && json_object_get(stage->with.json, option);
            say(problem(c, written ? "with" : "uses", option,
                        why.msg[0] ? why.msg : "the options do not fit", why.hint));
        }
    }
    mrp_options_done(state, action->options);
}

/* ---- references ---- */

struct reference {
    struct checker *c;
    const char *part;
};

/* stages.ID.outputs.NAME must be declared by the action of stage ID. */
static int on_name(void *arg, const char *path, const char *name, int offset, struct mrp_error *err)
{
    (void)err;
    struct reference *r = arg;
    struct checker *c = r->c;
    const char *dot = mrp_starts(name, "stages.") ? strstr(name, ".outputs.") : NULL;
    if (!dot)
        return 0;
    mrp_auto(mrp_free_str) char *id = mrp_strndup(name + 7, (size_t)(dot - (name + 7)));
    const char *output = dot + strlen(".outputs.");
    for (size_t i = 0; id && i < c->job->plan->count; i++) {
        const struct mrp_stage_spec *stage = c->job->plan->nodes[i].spec;
        if (!mrp_streq(stage->id, id))
            continue;
        const struct mrp_plugin *plugin = plugin_of(c, stage->plugin);
        const struct mrp_action *action = plugin ? mrp_plugin_action(plugin, stage->action) : NULL;
        const char *names[64];
        size_t n = 0;
        for (const struct mrp_output_info *o = action ? action->outputs : NULL; o && o->name; o++) {
            if (mrp_streq(o->name, output))
                return 0;
            if (n < MRP_COUNT(names))
                names[n++] = o->name;
        }
        if (!action)
            return 0;
        const char *near = mrp_nearest(output, names, n);
        mrp_auto(mrp_free_str) char *text = mrp_strf("%s has no output `%s`", stage->uses, output);
        mrp_auto(mrp_free_str) char *hint = near ? mrp_strf("did you mean `%s`?", near) : NULL;
        json_t *j = problem(c, r->part, path, text, hint);
        mrp_json_puti(j, "column", offset);
        say(j);
        return 0;
    }
    return 0;
}

static void check_text(struct checker *c,
                       const char *part,
                       const char *key,
                       const char *text,
                       const struct mrp_scope *scope)
{
    struct mrp_error why = {0};
    mrp_auto(mrp_free_json) json_t *in = text ? json_string(text) : NULL, *value = NULL;
    int rc = in ? mrp_expr_fill(&value, in, scope, NULL, &why) : 0;
    if (rc && rc != MRP_E_CANCELLED)
        bad_expression(c, part, key, NULL, &why);
    else if (in)
        (void)wrong_literals(c, part, key, in, scope);
}

static void check_condition(struct checker *c, const char *text, const struct mrp_scope *scope)
{
    struct mrp_error why = {0};
    bool yes;
    int rc = text ? mrp_expr_test(&yes, text, scope, &why) : 0;
    if (text && (!rc || rc == MRP_E_CANCELLED))
        rc = mrp_expr_condition_literals(text, scope, &why);
    if (rc)
        bad_expression(c, "if", "if", NULL, &why);
}

static void check_node(struct checker *c, size_t index)
{
    const struct mrp_node *node = &c->job->plan->nodes[index];
    struct mrp_names_of of = {c->job->names, node};
    struct mrp_scope scope = mrp_names_scope(&of);
    struct reference ref = {c, "with"};
    struct mrp_error why = {0};
    c->node = index;
    c->problem = false;
    mrp_free_strv(&c->deferred);
    c->action = action_of(c, node->spec);
    doing("stage", node->id);
    int names_rc = 0;
    if (node->spec->with.json)
        names_rc = mrp_expr_names(node->spec->with.json, on_name, &ref, &why);
    (void)names_rc; /* a syntax error is told by fill_known, with its place */
    mrp_auto(mrp_free_json) json_t *known = fill_known(c, node->spec->with.json, &scope);
    if (c->action)
        try_options(c, known);
    check_condition(c, node->spec->condition, &scope);
    check_text(c, "role-arn", "role-arn", node->spec->role_arn, &scope);
    for (size_t i = 0; i < node->spec->env.count; i++)
        check_text(c, "env", node->spec->env.list[i].name, node->spec->env.list[i].value, &scope);
}

/* Findings end when their descriptor is closed; its number stays taken for the workers. */
static void end_findings(void)
{
    dup3(STDIN_FILENO, MRP_CHECK_FD, O_CLOEXEC);
}

void mrp_check_child(const struct mrp_check_job *job, pid_t runner)
{
    struct checker c = {.job = job};
    struct mrp_error err = {0};
    mrp_worker_limits();
    if (mrp_plugin_dirs(&c.dirs, job->plugin_dirs, &err))
        return;
    c.node = (size_t)-1;
    if (job->env)
        plugin_of(&c, "env");
    for (size_t i = 0; i < job->plan->count; i++)
        check_node(&c, i);
    say(finding("end"));
    end_findings();
    mrp_free_strv(&c.deferred);
    mrp_free_strv(&c.dirs);
    if (runner > 0 && !c.stray)
        mrp_forkserver_serve(runner, c.mapped, c.count);
}
