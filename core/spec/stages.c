/* The `mrpipe:` section: regions, endpoints, pins and the stages as written. */
#include "buildspec.h"

#include "keys.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define STAGES_MAX 1000
#define PATH_MAX_BYTES 512 /* of a path in the marks */

/* ---- freeing ---- */

static void value_done(struct mrp_value *value)
{
    json_decref(value->json);
    json_decref(value->marks);
}

static void stage_done(struct mrp_stage_spec *s)
{
    free(s->id);
    free(s->uses);
    free(s->plugin);
    free(s->action);
    value_done(&s->with);
    mrp_free_strv(&s->needs);
    value_done(&s->for_each);
    free(s->region);
    free(s->condition);
    free(s->role_arn);
    mrp_pairs_done(&s->env);
}

void mrp_pipeline_done(struct mrp_pipeline *p)
{
    free(p->primary);
    mrp_free_strv(&p->secondaries);
    json_decref(p->endpoints);
    for (size_t i = 0; i < p->pin_count; i++) {
        free(p->pins[i].name);
        free(p->pins[i].version);
        free(p->pins[i].sha256);
    }
    free(p->pins);
    for (size_t i = 0; i < p->stage_count; i++)
        stage_done(&p->stages[i]);
    free(p->stages);
    *p = (struct mrp_pipeline){0};
}

/* ---- forms ---- */

bool mrp_spec_is_region(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz");
    if (n < 2)
        return false;
    size_t words = 0;
    while (s[n] == '-' && islower((unsigned char)s[n + 1])) {
        n += 1 + strspn(s + n + 1, "abcdefghijklmnopqrstuvwxyz");
        words++;
    }
    if (!words || s[n] != '-')
        return false;
    size_t digits = strspn(s + n + 1, "0123456789");
    return digits && digits < 4 && !s[n + 1 + digits];
}

static bool has_expression(const char *text)
{
    return strstr(text, "${{") != NULL;
}

/* A region's name; an expression only where `open`. */
static void check_region(struct mrp_reader *rd, const struct mrp_yaml_node *node, bool open)
{
    const char *text = mrp_yaml_text(node);
    if (!text || (open && has_expression(text)) || mrp_spec_is_region(text))
        return;
    if (has_expression(text))
        mrp_problem(rd, false, node, "write the region itself, as us-east-1",
                    "no expression can stand here");
    else
        mrp_problem(rd, false, node, "as in us-east-1", "`%.100s` is not a region", text);
}

/* ---- regions, endpoints, pins ---- */

static void
read_regions(struct mrp_reader *rd, struct mrp_pipeline *p, const struct mrp_yaml_node *map)
{
    const struct mrp_yaml_node *primary = mrp_yaml_get(map, "primary");
    const struct mrp_yaml_node *secondary = mrp_yaml_get(map, "secondary");
    check_region(rd, primary, false);
    p->primary = mrp_read_copy(rd, mrp_yaml_text(primary));
    p->secondaries = mrp_read_texts(rd, secondary);
    size_t n = mrp_yaml_is(secondary, MRP_YAML_LIST) ? secondary->count : secondary ? 1 : 0;
    for (size_t i = 0; i < n; i++) {
        const struct mrp_yaml_node *item =
            secondary->kind == MRP_YAML_LIST ? secondary->items[i] : secondary;
        const char *text = mrp_yaml_text(item);
        if (!text)
            continue;
        check_region(rd, item, false);
        if (p->primary && !strcmp(text, p->primary))
            mrp_problem(rd, false, item, NULL, "`%.100s` is the primary region", text);
        for (size_t k = 0; k < i && k < 64; k++)
            if (mrp_streq(text, mrp_yaml_text(secondary->items[k])))
                mrp_problem(rd, false, item, NULL, "`%.100s` stands here twice", text);
    }
}

static void
read_endpoints(struct mrp_reader *rd, struct mrp_pipeline *p, const struct mrp_yaml_node *map)
{
    p->endpoints = json_object();
    for (size_t i = 0; mrp_yaml_is(map, MRP_YAML_MAP) && i < map->count; i++) {
        const struct mrp_yaml_node *value = map->items[2 * i + 1];
        const char *text = mrp_yaml_text(value);
        if (!text)
            continue;
        if (!mrp_starts(text, "http://") && !mrp_starts(text, "https://"))
            mrp_problem(rd, false, value, "as in http://127.0.0.1:5000",
                        "an endpoint is an http:// or https:// URL");
        if (json_object_set_new(p->endpoints, map->items[2 * i]->text, json_string(text)))
            rd->nomem = true;
    }
}

static void
read_pins(struct mrp_reader *rd, struct mrp_pipeline *p, const struct mrp_yaml_node *map)
{
    if (!mrp_yaml_is(map, MRP_YAML_MAP) || !map->count)
        return;
    p->pins = calloc(map->count, sizeof *p->pins);
    if (!p->pins) {
        rd->nomem = true;
        return;
    }
    for (size_t i = 0; i < map->count; i++) {
        const struct mrp_yaml_node *name = map->items[2 * i], *pin = map->items[2 * i + 1];
        const struct mrp_yaml_node *digest = mrp_yaml_get(pin, "sha256");
        const char *sha256 = mrp_yaml_text(digest);
        if (sha256 && (strlen(sha256) != 64 || sha256[strspn(sha256, "0123456789abcdef")]))
            mrp_problem(rd, false, digest,
                        "as `sha256sum` prints it; `mrpipe plugins` names the file",
                        "`sha256` is 64 lower-case hex digits");
        if (!sha256 && !mrp_yaml_text(mrp_yaml_get(pin, "version")))
            mrp_problem(rd, false, name, "add `version:` or `sha256:`",
                        "the pin of plugin `%.100s` says nothing", name->text);
        p->pins[p->pin_count++] = (struct mrp_plugin_pin){
            .name = mrp_read_copy(rd, name->text),
            .version = mrp_read_copy(rd, mrp_yaml_text(mrp_yaml_get(pin, "version"))),
            .sha256 = mrp_read_copy(rd, sha256),
            .mark = name->mark,
        };
    }
}

/* ---- values with marks ---- */

static void
add_marks(struct mrp_reader *rd, json_t *marks, const struct mrp_yaml_node *node, const char *path)
{
    if (strlen(path) > PATH_MAX_BYTES)
        return;
    struct mrp_mark at = mrp_yaml_place(node, rd->src, 0);
    if (*path && json_object_set_new(marks, path, json_pack("[ii]", at.line, at.col)))
        rd->nomem = true;
    for (size_t i = 0; node->kind != MRP_YAML_SCALAR && i < node->count; i++) {
        bool map = node->kind == MRP_YAML_MAP;
        mrp_auto(mrp_free_str) char *below =
            map ? mrp_strf("%s%s%s", path, *path ? "." : "", node->items[2 * i]->text)
                : mrp_strf("%s[%zu]", path, i);
        if (below)
            add_marks(rd, marks, node->items[map ? 2 * i + 1 : i], below);
        else
            rd->nomem = true;
    }
}

static void
read_value(struct mrp_reader *rd, struct mrp_value *out, const struct mrp_yaml_node *node)
{
    if (!mrp_yaml_is(node, MRP_YAML_MAP))
        return;
    out->json = mrp_read_json(rd, node);
    out->mark = node->mark;
    out->marks = json_object();
    if (out->marks)
        add_marks(rd, out->marks, node, "");
}

/* ---- stages ---- */

static void
read_uses(struct mrp_reader *rd, struct mrp_stage_spec *s, const struct mrp_yaml_node *stage)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    const struct mrp_yaml_node *node = mrp_yaml_get(stage, "uses");
    const char *text = mrp_yaml_text(node);
    if (!text) {
        if (!node)
            mrp_problem_at(rd, false, stage->mark, 1, "as in `uses: ecr/copy`",
                           "the stage has no `uses`");
        return;
    }
    s->uses = mrp_read_copy(rd, text);
    s->uses_mark = mrp_yaml_place(node, rd->src, 0);
    size_t n = strspn(text, letters);
    size_t m = text[n] == '/' ? strspn(text + n + 1, letters) : 0;
    if (!islower((unsigned char)*text) || !m || !islower((unsigned char)text[n + 1]) ||
        text[n + 1 + m]) {
        mrp_problem(rd, false, node, "as in `uses: ecr/copy`",
                    "`uses` is plugin/action, not `%.100s`", text);
        return;
    }
    s->plugin = mrp_strndup(text, n);
    s->action = mrp_read_copy(rd, text + n + 1);
    if (!s->plugin)
        rd->nomem = true;
}

static bool is_name(const char *text, size_t max)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t n = strspn(text, letters);
    return n && n <= max && !text[n] && (isalpha((unsigned char)*text) || *text == '_');
}

static void check_for_each(struct mrp_reader *rd, const struct mrp_yaml_node *map)
{
    static const char *const reserved[] = {"env", "regions", "run", "stages", "true", "false"};
    size_t copies = 1;
    for (size_t i = 0; mrp_yaml_is(map, MRP_YAML_MAP) && i < map->count; i++) {
        const struct mrp_yaml_node *name = map->items[2 * i], *value = map->items[2 * i + 1];
        const char *text = mrp_yaml_text(value);
        if (!is_name(name->text, 64))
            mrp_problem(rd, false, name, "letters, digits, - and _", "`%.100s` is not a name",
                        name->text);
        for (size_t k = 0; k < MRP_COUNT(reserved); k++)
            if (!strcmp(name->text, reserved[k]))
                mrp_problem(rd, false, name, "choose another name",
                            "`%s` has a meaning of its own in expressions", name->text);
        if (text ? !has_expression(text) : value->kind != MRP_YAML_LIST)
            mrp_problem(rd, false, value, "as in [us-east-1, eu-west-1]",
                        "`%.100s` in `for-each` must be a list or an expression", name->text);
        else if (!text && !value->count)
            mrp_problem(rd, false, value, NULL, "the list `%.100s` is empty", name->text);
        else if (!text && copies <= STAGES_MAX)
            copies *= value->count;
    }
    if (copies > STAGES_MAX)
        mrp_problem(rd, false, map, NULL, "`for-each` makes more than %d copies", STAGES_MAX);
}

static void check_role(struct mrp_reader *rd, const struct mrp_yaml_node *node)
{
    const char *text = mrp_yaml_text(node);
    if (text && !has_expression(text) &&
        !(mrp_starts(text, "arn:") && strstr(text, ":iam::") && strstr(text, ":role/")))
        mrp_problem(rd, false, node, "as in arn:aws:iam::111122223333:role/deploy",
                    "`%.200s` is not the ARN of a role", text);
}

static void check_env(struct mrp_reader *rd, const struct mrp_yaml_node *env)
{
    for (size_t i = 0; mrp_yaml_is(env, MRP_YAML_MAP) && i < env->count; i++)
        if (!mrp_is_variable(env->items[2 * i]->text))
            mrp_problem(rd, false, env->items[2 * i], "letters, digits and _ only",
                        "`%.100s` cannot be a variable's name", env->items[2 * i]->text);
}

/* The stage's own value, else the default of all stages. */
static const struct mrp_yaml_node *
pick(const struct mrp_yaml_node *stage, const struct mrp_yaml_node *defaults, const char *key)
{
    const struct mrp_yaml_node *own = mrp_yaml_get(stage, key);
    return own ? own : mrp_yaml_get(defaults, key);
}

static void
add_default_env(struct mrp_reader *rd, struct mrp_pairs *env, const struct mrp_yaml_node *defaults)
{
    struct mrp_pairs more = {0};
    mrp_read_pairs(rd, &more, mrp_yaml_get(defaults, "env"));
    struct mrp_pair *list = realloc(env->list, (env->count + more.count + 1) * sizeof *list);
    if (!list) {
        rd->nomem = true;
        mrp_pairs_done(&more);
        return;
    }
    env->list = list;
    size_t own = env->count;
    for (size_t i = 0; i < more.count; i++) {
        bool set = false;
        for (size_t k = 0; k < own && !set; k++)
            set = mrp_streq(list[k].name, more.list[i].name);
        if (set)
            continue;
        list[env->count++] = more.list[i];
        more.list[i] = (struct mrp_pair){0};
    }
    mrp_pairs_done(&more);
}

static void read_stage(struct mrp_reader *rd,
                       struct mrp_stage_spec *s,
                       const struct mrp_yaml_node *stage,
                       const struct mrp_yaml_node *defaults)
{
    s->mark = stage->mark;
    if (stage->kind != MRP_YAML_MAP)
        return;
    const struct mrp_yaml_node *id = mrp_yaml_get(stage, "id");
    s->id = mrp_read_copy(rd, mrp_yaml_text(id));
    if (s->id && !is_name(s->id, 64))
        mrp_problem(rd, false, id, "letters, digits, - and _; at most 64",
                    "`%.100s` cannot be a stage's id", s->id);
    if (s->id && !strcmp(s->id, "build"))
        mrp_problem(rd, false, id, "choose another id", "the id `build` stands for the phases");
    read_uses(rd, s, stage);
    read_value(rd, &s->with, mrp_yaml_get(stage, "with"));
    s->with.mark = s->with.json ? s->with.mark : s->uses_mark;
    const struct mrp_yaml_node *for_each = mrp_yaml_get(stage, "for-each");
    check_for_each(rd, for_each);
    if (mrp_yaml_is(for_each, MRP_YAML_MAP) && for_each->count)
        read_value(rd, &s->for_each, for_each);
    const struct mrp_yaml_node *node = pick(stage, defaults, "region");
    check_region(rd, mrp_yaml_get(stage, "region"), true);
    s->region = mrp_read_copy(rd, mrp_yaml_text(node));
    node = mrp_yaml_get(stage, "if");
    s->condition = mrp_read_copy(rd, mrp_yaml_text(node));
    if (node)
        s->condition_mark = mrp_yaml_place(node, rd->src, 0);
    const char *text = mrp_yaml_text(pick(stage, defaults, "timeout"));
    if (text && mrp_parse_duration(&s->timeout_ms, text))
        s->timeout_ms = 0;
    int64_t retries;
    text = mrp_yaml_text(pick(stage, defaults, "retries"));
    if (text && !mrp_parse_int(&retries, text, 0, 100))
        s->retries = (int)retries;
    s->continue_on_failure =
        mrp_streq(mrp_yaml_text(pick(stage, defaults, "on-failure")), "continue");
    check_role(rd, mrp_yaml_get(stage, "role-arn"));
    s->role_arn = mrp_read_copy(rd, mrp_yaml_text(pick(stage, defaults, "role-arn")));
    check_env(rd, mrp_yaml_get(stage, "env"));
    mrp_read_pairs(rd, &s->env, mrp_yaml_get(stage, "env"));
    if (mrp_yaml_get(defaults, "env"))
        add_default_env(rd, &s->env, defaults);
}

void mrp_pipeline_read(struct mrp_reader *rd,
                       struct mrp_spec *spec,
                       const struct mrp_yaml_node *section)
{
    struct mrp_pipeline *p = &spec->pipeline;
    p->present = true;
    read_regions(rd, p, mrp_yaml_get(section, "regions"));
    read_endpoints(rd, p, mrp_yaml_get(section, "endpoints"));
    read_pins(rd, p, mrp_yaml_get(section, "plugins"));
    int64_t jobs;
    const char *text = mrp_yaml_text(mrp_yaml_get(section, "jobs"));
    if (text && !mrp_parse_int(&jobs, text, 1, 1000))
        p->jobs = (int)jobs;
    const struct mrp_yaml_node *defaults = mrp_yaml_get(section, "defaults");
    check_region(rd, mrp_yaml_get(defaults, "region"), true);
    check_role(rd, mrp_yaml_get(defaults, "role-arn"));
    check_env(rd, mrp_yaml_get(defaults, "env"));
    const struct mrp_yaml_node *stages = mrp_yaml_get(section, "stages");
    if (!mrp_yaml_is(stages, MRP_YAML_LIST))
        return;
    if (stages->count > STAGES_MAX) {
        mrp_problem(rd, false, stages->items[STAGES_MAX], NULL, "more than %d stages", STAGES_MAX);
        return;
    }
    p->stages = calloc(stages->count + 1, sizeof *p->stages);
    if (!p->stages) {
        rd->nomem = true;
        return;
    }
    p->stage_count = stages->count;
    for (size_t i = 0; i < stages->count; i++)
        read_stage(rd, &p->stages[i], stages->items[i], defaults);
    mrp_needs_resolve(rd, spec, section);
}
