/* An action's option table at work: text and JSON values into typed fields, all problems in one go.
 */
#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/options.h>
#include <mrpipe/text.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 128, MAX_LIST = 100000 };

static const char *const type_names[] = {
    [MRP_OPT_STRING] = "string", [MRP_OPT_BOOL] = "bool",         [MRP_OPT_INT] = "int",
    [MRP_OPT_SIZE] = "size",     [MRP_OPT_DURATION] = "duration", [MRP_OPT_ENUM] = "enum",
    [MRP_OPT_PATH] = "path",     [MRP_OPT_GLOB] = "glob",         [MRP_OPT_REGION] = "region",
    [MRP_OPT_ARN] = "arn",       [MRP_OPT_IMAGE] = "image",       [MRP_OPT_URL] = "url",
    [MRP_OPT_SECRET] = "secret", [MRP_OPT_LIST] = "list",         [MRP_OPT_MAP] = "map",
    [MRP_OPT_JSON] = "json",
};

const char *mrp_option_type_name(enum mrp_option_type type)
{
    return (size_t)type < MRP_COUNT(type_names) ? type_names[type] : "unknown";
}

/* A scalar as text; owned. NULL: not a scalar (or no memory). */
static char *scalar(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return mrp_strdup(json_string_value(value));
    case JSON_INTEGER:
    case JSON_REAL:
    case JSON_TRUE:
    case JSON_FALSE:
        return mrp_json_text(value);
    default:
        return NULL;
    }
}

static bool is_region(const char *s)
{
    size_t parts = 1, n = strlen(s);
    if (n < 6 || n > 32 || s[0] == '-' || s[n - 1] < '0' || s[n - 1] > '9')
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '-'))
            return false;
        parts += s[i] == '-';
    }
    return parts >= 3;
}

static bool is_arn(const char *s)
{
    size_t colons = 0;
    for (const char *p = s; *p; p++)
        colons += *p == ':';
    return mrp_starts(s, "arn:") && colons >= 5;
}

static bool is_image(const char *s)
{
    const char *slash = strchr(s, '/');
    return slash && slash != s && slash[1] && !strpbrk(s, " \t\r\n") && strlen(s) < 1024;
}

static bool is_url(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    return n > 0 && mrp_starts(s + n, "://") && s[n + 3];
}

static int bad(const struct mrp_option *option, const char *text, struct mrp_error *err)
{
    const char *shown = option->type == MRP_OPT_SECRET ? "***" : text;
    static const char *const wanted[] = {
        [MRP_OPT_BOOL] = "true or false",
        [MRP_OPT_INT] = "a whole number",
        [MRP_OPT_SIZE] = "a size such as 10MiB",
        [MRP_OPT_DURATION] = "a duration such as 30s or 5m",
        [MRP_OPT_REGION] = "a region such as us-east-1",
        [MRP_OPT_ARN] = "an ARN (arn:aws:...)",
        [MRP_OPT_IMAGE] = "an image reference (HOST/NAME:TAG)",
        [MRP_OPT_URL] = "a URL (https://...)",
    };
    const char *want = (size_t)option->type < MRP_COUNT(wanted) ? wanted[option->type] : NULL;
    return mrp_fail(err, MRP_E_CONFIG, "`%s`: `%.100s` is not %s", option->name, shown,
                    want ? want : "a valid value");
}

static int bad_choice(const struct mrp_option *option, const char *text, struct mrp_error *err)
{
    char list[200] = "";
    size_t count = 0, len = 0;
    for (; option->choices && option->choices[count]; count++) {
        int n = snprintf(list + len, sizeof list - len, "%s%s", count ? ", " : "",
                         option->choices[count]);
        len = n > 0 && len + (size_t)n < sizeof list ? len + (size_t)n : sizeof list - 1;
    }
    mrp_fail(err, MRP_E_CONFIG, "`%s`: `%.100s` is none of: %s", option->name, text, list);
    const char *near = count ? mrp_nearest(text, option->choices, count) : NULL;
    return near ? mrp_hint(err, "did you mean `%s`?", near) : MRP_E_CONFIG;
}

static int
set_number(void *field, const struct mrp_option *o, const char *text, struct mrp_error *err)
{
    int64_t min = o->max > o->min ? o->min : INT64_MIN, max = o->max > o->min ? o->max : INT64_MAX;
    switch (o->type) {
    case MRP_OPT_BOOL:
        return mrp_parse_bool(field, text) ? bad(o, text, err) : MRP_OK;
    case MRP_OPT_SIZE:
        return mrp_parse_size(field, text) ? bad(o, text, err) : MRP_OK;
    case MRP_OPT_DURATION:
        return mrp_parse_duration(field, text) ? bad(o, text, err) : MRP_OK;
    case MRP_OPT_ENUM:
        for (int i = 0; o->choices && o->choices[i]; i++)
            if (strcmp(o->choices[i], text) == 0) {
                *(int *)field = i;
                return MRP_OK;
            }
        return bad_choice(o, text, err);
    default:
        if (mrp_parse_int(field, text, INT64_MIN, INT64_MAX))
            return bad(o, text, err);
        if (*(int64_t *)field < min || *(int64_t *)field > max)
            return mrp_fail(err, MRP_E_CONFIG, "`%s`: %s is not within %lld and %lld", o->name,
                            text, (long long)min, (long long)max);
        return MRP_OK;
    }
}

static int set_string(void *field, const struct mrp_option *o, char *text, struct mrp_error *err)
{
    bool ok = true;
    if (o->type == MRP_OPT_REGION)
        ok = is_region(text);
    else if (o->type == MRP_OPT_ARN)
        ok = is_arn(text);
    else if (o->type == MRP_OPT_IMAGE)
        ok = is_image(text);
    else if (o->type == MRP_OPT_URL)
        ok = is_url(text);
    if (!ok || ((o->flags & MRP_REQUIRED) && !*text)) {
        bad(o, text, err);
        free(text);
        return MRP_E_CONFIG;
    }
    free(*(char **)field);
    *(char **)field = text;
    return MRP_OK;
}

static int
set_list(char ***field, const struct mrp_option *o, const json_t *value, struct mrp_error *err)
{
    mrp_auto(mrp_free_strv) char **list = calloc(2, sizeof *list);
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    if (count > MAX_LIST)
        return mrp_fail(err, MRP_E_CONFIG, "`%s`: more than %d entries", o->name, MAX_LIST);
    /* Built as one block: mrp_strv_add counts on each call. */
    char **all = list ? realloc(list, (count + 1) * sizeof *all) : NULL;
    if (!all)
        return mrp_fail(err, MRP_E_NOMEM, "`%s`", o->name);
    list = all;
    list[0] = NULL;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        list[i] = scalar(item);
        list[i + 1] = NULL;
        if (!list[i])
            return mrp_fail(err, MRP_E_CONFIG, "`%s`: entry %zu is not plain text", o->name, i + 1);
    }
    mrp_free_strv(field);
    *field = mrp_take_strv(&list);
    return MRP_OK;
}

static int
set_value(void *state, const struct mrp_option *o, const json_t *value, struct mrp_error *err)
{
    void *field = (char *)state + o->offset;
    if (o->type == MRP_OPT_LIST)
        return set_list(field, o, value, err);
    if (o->type == MRP_OPT_MAP && !json_is_object(value))
        return mrp_fail(err, MRP_E_CONFIG, "`%s`: a map is needed here", o->name);
    if (o->type == MRP_OPT_MAP || o->type == MRP_OPT_JSON) {
        json_decref(*(json_t **)field);
        *(json_t **)field = json_deep_copy(value);
        return *(json_t **)field ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "`%s`", o->name);
    }
    char *text = scalar(value);
    if (!text)
        return mrp_fail(err, MRP_E_CONFIG, "`%s`: a %s is needed here, not a %s", o->name,
                        mrp_option_type_name(o->type), json_is_array(value) ? "list" : "map");
    if (o->type == MRP_OPT_BOOL || o->type == MRP_OPT_INT || o->type == MRP_OPT_SIZE ||
        o->type == MRP_OPT_DURATION || o->type == MRP_OPT_ENUM) {
        int rc = set_number(field, o, text, err);
        free(text);
        return rc;
    }
    return set_string(field, o, text, err);
}

static int set_fallback(void *state, const struct mrp_option *o, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *value = NULL;
    if (o->type == MRP_OPT_LIST) {
        mrp_auto(mrp_free_strv) char **parts = mrp_split(o->fallback, ',');
        value = json_array();
        for (char **p = parts; p && *p; p++)
            json_array_append_new(value, json_string(*p));
    } else if (o->type == MRP_OPT_MAP || o->type == MRP_OPT_JSON) {
        int rc = mrp_json_parse(&value, o->fallback, strlen(o->fallback), o->name, err);
        if (rc)
            return rc;
    } else {
        value = json_string(o->fallback);
    }
    return value ? set_value(state, o, value, err) : mrp_fail(err, MRP_E_NOMEM, "`%s`", o->name);
}

int mrp_option_check(const struct mrp_option *option, const json_t *value, struct mrp_error *err)
{
    struct mrp_option alone[2] = {*option, {0}};
    union {
        void *pointer;
        int64_t number;
    } field = {0};
    alone[0].offset = 0;
    if (!value || json_is_null(value))
        return option->flags & MRP_REQUIRED
                   ? mrp_fail(err, MRP_E_CONFIG, "`%s` is required", option->name)
                   : MRP_OK;
    int rc = set_value(&field, alone, value, err);
    mrp_options_done(&field, alone);
    return rc;
}

struct report {
    mrp_option_problem_fn fn;
    void *arg;
    struct mrp_error *first;
    int rc;
};

static void
tell(struct report *r, const char *option, const struct mrp_error *e, const char *nearest)
{
    if (r->fn)
        r->fn(r->arg, option, e->msg, nearest);
    if (!r->rc && r->first)
        *r->first = *e;
    if (!r->rc)
        r->rc = e->code;
}

static void unknown(struct report *r, const struct mrp_option *table, const char *key)
{
    const char *known[MAX_OPTIONS];
    size_t count = 0;
    struct mrp_error e;
    for (; count < MAX_OPTIONS && table[count].name; count++)
        known[count] = table[count].name;
    const char *near = mrp_nearest(key, known, count);
    mrp_fail(&e, MRP_E_CONFIG, "unknown option `%.100s`", key);
    if (near)
        mrp_hint(&e, "did you mean `%s`?", near);
    tell(r, key, &e, near);
}

static const struct mrp_option *find(const struct mrp_option *table, const char *name)
{
    for (; table && table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

int mrp_options_parse(void *state,
                      const struct mrp_option *table,
                      const json_t *with,
                      mrp_option_problem_fn problem,
                      void *arg,
                      struct mrp_error *err)
{
    static const struct mrp_option none[] = {{0}};
    struct report report = {.fn = problem, .arg = arg, .first = err};
    struct mrp_error e;
    const char *key;
    json_t *value;
    if (!table)
        table = none;
    /* A copy, because json_object_foreach needs it without const. */
    mrp_auto(mrp_free_json) json_t *given = json_deep_copy(with);
    json_object_foreach(given, key, value)
    {
        if (!find(table, key))
            unknown(&report, table, key);
    }
    for (const struct mrp_option *o = table; o->name; o++) {
        value = json_object_get(given, o->name);
        bool present = value && !json_is_null(value);
        int rc = MRP_OK;
        if (present)
            rc = set_value(state, o, value, &e);
        else if (o->flags & MRP_REQUIRED)
            rc = mrp_fail(&e, MRP_E_CONFIG, "`%s` is required", o->name);
        else if (o->fallback)
            rc = set_fallback(state, o, &e);
        if (rc)
            tell(&report, o->name, &e, NULL);
    }
    return report.rc;
}

void mrp_options_done(void *state, const struct mrp_option *table)
{
    for (const struct mrp_option *o = table; o && o->name; o++) {
        void *field = (char *)state + o->offset;
        switch (o->type) {
        case MRP_OPT_LIST:
            mrp_free_strv(field);
            break;
        case MRP_OPT_MAP:
        case MRP_OPT_JSON:
            mrp_free_json(field);
            break;
        case MRP_OPT_BOOL:
        case MRP_OPT_INT:
        case MRP_OPT_SIZE:
        case MRP_OPT_DURATION:
        case MRP_OPT_ENUM:
            break;
        default:
            if (o->type == MRP_OPT_SECRET && *(char **)field)
                explicit_bzero(*(char **)field, strlen(*(char **)field));
            mrp_free_str(field);
        }
    }
}
