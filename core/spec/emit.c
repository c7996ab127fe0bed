/* The `mrpipe:` section as YAML text, for `init` and for derived stages. */
#include "emit.h"

#include "spec.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (1 << 20)
#define DEPTH_MAX 128

/* ---- JSON to YAML ---- */

/* Text that YAML, also another reader's, takes as this very text without quotes. */
static bool plain(const char *s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "~"};
    for (size_t i = 0; i < MRP_COUNT(words); i++)
        if (!strcasecmp(s, words[i]))
            return false;
    size_t n = strlen(s);
    if (!n || strchr("-?:,[]{}#&*!|>'\"%@`=< ", s[0]) || s[n - 1] == ' ' || s[n - 1] == ':')
        return false;
    if (strstr(s, ": ") || strstr(s, " #"))
        return false;
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7F || (unsigned char)*s > 0x7F)
            return false;
    return true;
}

static void emit_text(struct mrp_buf *buf, const json_t *text)
{
    const char *s = json_string_value(text);
    if (plain(s)) {
        mrp_buf_adds(buf, s);
        return;
    }
    bool simple = true;
    for (const char *p = s; *p && simple; p++)
        simple = (unsigned char)*p >= 0x20 && *p != 0x7F;
    if (!simple) {
        /* JSON's escapes are YAML's. */
        mrp_auto(mrp_free_str) char *escaped = mrp_json_escape(s, json_string_length(text));
        mrp_buf_addf(buf, "\"%s\"", escaped ? escaped : "");
        return;
    }
    mrp_buf_addc(buf, '\'');
    for (; *s; s++) {
        if (*s == '\'')
            mrp_buf_addc(buf, '\'');
        mrp_buf_addc(buf, *s);
    }
    mrp_buf_addc(buf, '\'');
}

static bool empty(const json_t *value)
{
    return (json_is_array(value) && !json_array_size(value)) ||
           (json_is_object(value) && !json_object_size(value));
}

static void emit_scalar(struct mrp_buf *buf, const json_t *value)
{
    if (json_is_string(value))
        emit_text(buf, value);
    else if (json_is_integer(value))
        mrp_buf_addf(buf, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        mrp_buf_addf(buf, "%.17g", json_real_value(value));
    else if (json_is_null(value))
        mrp_buf_addc(buf, '~');
    else if (empty(value))
        mrp_buf_adds(buf, json_is_array(value) ? "[]" : "{}");
    else
        mrp_buf_adds(buf, json_is_true(value) ? "true" : "false");
}

static bool nested(const json_t *value)
{
    return (json_is_array(value) || json_is_object(value)) && !empty(value);
}

static void emit(struct mrp_buf *buf, const json_t *value, int indent, bool continues);

static void emit_list(struct mrp_buf *buf, const json_t *list, int indent, bool continues)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        mrp_buf_addf(buf, "%*s- ", continues && !i ? 0 : indent, "");
        if (nested(item)) {
            emit(buf, item, indent + 2, true);
        } else {
            emit_scalar(buf, item);
            mrp_buf_addc(buf, '\n');
        }
    }
}

/* `continues`: the first line already stands behind a "- ". */
static void emit(struct mrp_buf *buf, const json_t *value, int indent, bool continues)
{
    if (indent > 4 * DEPTH_MAX) {
        buf->failed = true;
        return;
    }
    if (json_is_array(value)) {
        emit_list(buf, value, indent, continues);
        return;
    }
    json_t *map = (json_t *)(uintptr_t)value;
    for (void *it = json_object_iter(map); it; it = json_object_iter_next(map, it)) {
        mrp_auto(mrp_free_json) json_t *key = json_string(json_object_iter_key(it));
        const json_t *member = json_object_iter_value(it);
        mrp_buf_addf(buf, "%*s", continues ? 0 : indent, "");
        continues = false;
        if (key)
            emit_text(buf, key);
        mrp_buf_addc(buf, ':');
        if (nested(member)) {
            mrp_buf_addc(buf, '\n');
            emit(buf, member, indent + 2, false);
        } else {
            mrp_buf_addc(buf, ' ');
            emit_scalar(buf, member);
            mrp_buf_addc(buf, '\n');
        }
    }
}

void mrp_emit_yaml(struct mrp_buf *buf, const json_t *map, int indent)
{
    emit(buf, map, indent, false);
}

/* ---- pipeline to JSON ---- */

static json_t *texts(char *const *v)
{
    json_t *list = json_array();
    for (; v && *v; v++)
        json_array_append_new(list, json_string(*v));
    return list;
}

static json_t *regions_json(const struct mrp_pipeline *p)
{
    json_t *out = json_object();
    mrp_json_puts(out, "primary", p->primary);
    if (mrp_strv_len(p->secondaries) == 1)
        mrp_json_puts(out, "secondary", p->secondaries[0]);
    else if (mrp_strv_len(p->secondaries))
        mrp_json_put(out, "secondary", texts(p->secondaries));
    return out;
}

static json_t *pins_json(const struct mrp_pipeline *p)
{
    json_t *out = json_object();
    for (size_t i = 0; i < p->pin_count; i++) {
        json_t *pin = json_object();
        mrp_json_puts(pin, "version", p->pins[i].version);
        mrp_json_puts(pin, "sha256", p->pins[i].sha256);
        mrp_json_put(out, p->pins[i].name, pin);
    }
    return out;
}

static void put_copy(json_t *out, const char *key, const json_t *value)
{
    if (value)
        mrp_json_put(out, key, json_deep_copy(value));
}

static json_t *stage_json(const struct mrp_stage_spec *s)
{
    json_t *out = json_object();
    mrp_json_puts(out, "id", s->id);
    mrp_json_puts(out, "uses", s->uses);
    if (s->needs_given)
        mrp_json_put(out, "needs", texts(s->needs));
    put_copy(out, "for-each", s->for_each.json);
    mrp_json_puts(out, "if", s->condition);
    mrp_json_puts(out, "region", s->region);
    if (s->timeout_ms)
        mrp_json_put(
            out, "timeout",
            json_sprintf("%lld%s",
                         (long long)(s->timeout_ms % 1000 ? s->timeout_ms : s->timeout_ms / 1000),
                         s->timeout_ms % 1000 ? "ms" : "s"));
    if (s->retries)
        mrp_json_puti(out, "retries", s->retries);
    if (s->continue_on_failure)
        mrp_json_puts(out, "on-failure", "continue");
    mrp_json_puts(out, "role-arn", s->role_arn);
    if (s->env.count) {
        json_t *env = json_object();
        for (size_t i = 0; i < s->env.count; i++)
            mrp_json_puts(env, s->env.list[i].name, s->env.list[i].value);
        mrp_json_put(out, "env", env);
    }
    put_copy(out, "with", s->with.json);
    return out;
}

json_t *mrp_pipeline_json(const struct mrp_pipeline *p)
{
    json_t *section = json_object();
    json_t *regions = regions_json(p);
    if (json_object_size(regions))
        mrp_json_put(section, "regions", regions);
    else
        json_decref(regions);
    if (json_object_size(p->endpoints))
        put_copy(section, "endpoints", p->endpoints);
    if (p->pin_count)
        mrp_json_put(section, "plugins", pins_json(p));
    if (p->jobs)
        mrp_json_puti(section, "jobs", p->jobs);
    json_t *stages = json_array();
    for (size_t i = 0; i < p->stage_count; i++)
        json_array_append_new(stages, stage_json(&p->stages[i]));
    mrp_json_put(section, "stages", stages);
    json_t *out = json_object();
    mrp_json_put(out, "mrpipe", section);
    return out;
}

char *mrp_spec_pipeline_yaml(const struct mrp_spec *spec)
{
    mrp_auto(mrp_free_json) json_t *section = mrp_pipeline_json(&spec->pipeline);
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(TEXT_MAX);
    if (!section)
        return NULL;
    mrp_emit_yaml(&buf, section, 0);
    return mrp_buf_take(&buf);
}
