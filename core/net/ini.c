/* Reads ~/.aws/config and ~/.aws/credentials. */
#include "ini.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define MAX_LINES 100000u

static char *section_name(struct mrp_view v)
{
    v = mrp_view_trim(v);
    if (v.n > 8 && strncmp(v.p, "profile", 7) == 0 && (v.p[7] == ' ' || v.p[7] == '\t'))
        v = mrp_view_trim((struct mrp_view){v.p + 8, v.n - 8});
    if (v.n >= 2 && (v.p[0] == '"' || v.p[0] == '\'') && v.p[v.n - 1] == v.p[0])
        v = (struct mrp_view){v.p + 1, v.n - 2};
    return mrp_strndup(v.p, v.n);
}

static struct mrp_view without_comment(struct mrp_view v)
{
    for (size_t i = 1; i < v.n; i++)
        if ((v.p[i] == '#' || v.p[i] == ';') && (v.p[i - 1] == ' ' || v.p[i - 1] == '\t'))
            return mrp_view_trim((struct mrp_view){v.p, i});
    return v;
}

struct state {
    json_t *section; /* borrowed; NULL before the first */
    char *key;       /* of the last line that was not indented */
};

static void state_done(struct state *s)
{
    free(s->key);
}

static int add_pair(struct state *s, struct mrp_view line, bool nested)
{
    const char *eq = memchr(line.p, '=', line.n);
    if (!eq || !s->section)
        return 0; /* the CLI ignores such lines too */
    struct mrp_view left = mrp_view_trim((struct mrp_view){line.p, (size_t)(eq - line.p)});
    struct mrp_view right = without_comment(
        mrp_view_trim((struct mrp_view){eq + 1, line.n - (size_t)(eq + 1 - line.p)}));
    mrp_auto(mrp_free_str) char *name = mrp_strndup(left.p, left.n);
    mrp_auto(mrp_free_str) char *value = mrp_strndup(right.p, right.n);
    for (char *p = name; p && *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    mrp_auto(mrp_free_str) char *full =
        nested && s->key && name ? mrp_strf("%s.%s", s->key, name) : mrp_strdup(name);
    if (!full || !value)
        return MRP_E_NOMEM;
    if (!nested) {
        free(s->key);
        s->key = mrp_take_str(&name);
    }
    mrp_json_puts(s->section, full, value); /* text that is not UTF-8 is left out */
    return 0;
}

static int add_line(json_t *out, struct state *s, struct mrp_view raw)
{
    struct mrp_view line = mrp_view_trim(raw);
    bool nested = raw.n && (raw.p[0] == ' ' || raw.p[0] == '\t');
    if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';')
        return 0;
    if (line.p[0] != '[')
        return add_pair(s, line, nested);
    const char *close = memchr(line.p, ']', line.n);
    if (!close)
        return MRP_E_CONFIG;
    mrp_auto(mrp_free_str) char *name =
        section_name((struct mrp_view){line.p + 1, (size_t)(close - line.p - 1)});
    if (!name)
        return MRP_E_NOMEM;
    if (!json_object_get(out, name) && mrp_json_put(out, name, json_object()) != 0)
        return MRP_E_NOMEM;
    s->section = json_object_get(out, name);
    free(s->key);
    s->key = NULL;
    return 0;
}

int ini_parse(json_t **out, const char *text, size_t len, const char *what, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *all = json_object();
    mrp_auto(state_done) struct state s = {0};
    struct mrp_view rest = {text, len};
    struct mrp_view line;
    for (unsigned n = 1; all && n < MAX_LINES && mrp_view_next(&line, &rest, '\n'); n++) {
        int rc = add_line(all, &s, line);
        if (rc == MRP_E_CONFIG)
            return mrp_fail(err, MRP_E_CONFIG, "%s, line %u: a section without `]`", what, n);
        if (rc)
            return mrp_fail(err, MRP_E_NOMEM, "read %s", what);
    }
    *out = mrp_take_json(&all);
    return *out ? 0 : mrp_fail(err, MRP_E_NOMEM, "read %s", what);
}
