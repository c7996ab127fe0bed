/* Evaluating expressions: names, operators, functions. */
#include "expr_eval.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <string.h>

#define TEXT_MAX (1 << 20)

static const char *kind(const json_t *value)
{
    return json_is_array(value) ? "a list" : json_is_object(value) ? "a map" : "a single value";
}

bool mrp_expr_true(const json_t *value)
{
    if (json_is_string(value))
        return *json_string_value(value) && strcmp(json_string_value(value), "false") != 0;
    if (json_is_number(value))
        return json_number_value(value) < 0 || json_number_value(value) > 0;
    return !json_is_null(value) && !json_is_false(value);
}

int mrp_expr_add_text(struct mrp_buf *buf, const json_t *value, struct mrp_error *err)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        mrp_buf_add(buf, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        mrp_buf_addf(buf, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        mrp_buf_addf(buf, "%.17g", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        mrp_buf_adds(buf, json_is_true(value) ? "true" : "false");
        break;
    case JSON_NULL:
        break;
    default:
        mrp_fail(err, MRP_E_CONFIG, "%s cannot stand inside text", kind(value));
        return mrp_hint(err, "let the expression be the whole value, or pick one item with [0]");
    }
    return mrp_buf_check(buf, "expression", err);
}

/* The text of a scalar, owned. */
static int text_of(char **out, const json_t *value, struct mrp_error *err)
{
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(TEXT_MAX);
    int rc = mrp_expr_add_text(&buf, value, err);
    if (rc)
        return rc;
    *out = mrp_buf_take(&buf);
    return *out ? 0 : mrp_fail(err, MRP_E_NOMEM, "evaluate an expression");
}

static int blame(struct mrp_error *err, const struct mrp_expr *e, int rc)
{
    if (err)
        err->upstream = (long)e->offset + 1;
    return rc;
}

static int put_text(json_t **out, struct mrp_buf *buf, struct mrp_error *err)
{
    int rc = mrp_buf_check(buf, "expression", err);
    if (rc)
        return rc;
    *out = json_stringn(mrp_buf_str(buf), buf->len);
    return *out ? 0 : mrp_fail(err, MRP_E_CONFIG, "the result of the expression is not UTF-8 text");
}

/* ---- operators ---- */

static bool same(const json_t *a, const json_t *b)
{
    if (json_is_array(a) || json_is_object(a) || json_is_array(b) || json_is_object(b))
        return json_equal(a, b) != 0;
    mrp_auto(mrp_free_str) char *x = NULL;
    mrp_auto(mrp_free_str) char *y = NULL;
    return !text_of(&x, a, NULL) && !text_of(&y, b, NULL) && !strcmp(x, y);
}

static int eval_logic(json_t **out,
                      const struct mrp_expr *e,
                      const struct mrp_scope *scope,
                      struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *left = NULL;
    mrp_auto(mrp_free_json) json_t *right = NULL;
    int rc = mrp_expr_eval(&left, e->arg[0], scope, err);
    if (rc)
        return rc;
    if (e->op == MRP_EXPR_NOT) {
        *out = json_boolean(!mrp_expr_true(left));
        return 0;
    }
    /* && and || give the deciding value itself, so `env.A || 'x'` works as a fallback. */
    if ((e->op == MRP_EXPR_AND && !mrp_expr_true(left)) ||
        (e->op == MRP_EXPR_OR && mrp_expr_true(left))) {
        *out = mrp_take_json(&left);
        return 0;
    }
    rc = mrp_expr_eval(&right, e->arg[1], scope, err);
    if (rc)
        return rc;
    if (e->op == MRP_EXPR_AND || e->op == MRP_EXPR_OR)
        *out = mrp_take_json(&right);
    else
        *out = json_boolean(same(left, right) == (e->op == MRP_EXPR_EQUAL));
    return 0;
}

/* ---- fields ---- */

static int
no_field(const struct mrp_expr *e, const json_t *value, const char *key, struct mrp_error *err)
{
    if (!json_is_object(value)) {
        mrp_fail(err, MRP_E_CONFIG, "%s has no field `%.100s`", kind(value), key);
        return blame(err, e, MRP_E_CONFIG);
    }
    mrp_fail(err, MRP_E_NOTFOUND, "the map has no key `%.100s`", key);
    const char *names[64], *name;
    size_t count = 0;
    const json_t *unused;
    json_t *map = json_copy((json_t *)(uintptr_t)value);
    json_object_foreach(map, name, unused) if (count < MRP_COUNT(names)) names[count++] = name;
    const char *near = mrp_nearest(key, names, count);
    if (near)
        mrp_hint(err, "did you mean `%s`?", near);
    json_decref(map);
    return blame(err, e, MRP_E_NOTFOUND);
}

static int eval_field(json_t **out,
                      const struct mrp_expr *e,
                      const struct mrp_scope *scope,
                      struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *value = NULL;
    mrp_auto(mrp_free_json) json_t *index = NULL;
    mrp_auto(mrp_free_str) char *key = NULL;
    int rc = mrp_expr_eval(&value, e->arg[0], scope, err);
    if (!rc && e->op == MRP_EXPR_INDEX)
        rc = mrp_expr_eval(&index, e->arg[1], scope, err);
    if (rc)
        return rc;
    if (index)
        rc = text_of(&key, index, err);
    else
        key = mrp_strdup(e->text);
    if (rc || !key)
        return blame(err, e, rc ? rc : mrp_fail(err, MRP_E_NOMEM, "evaluate an expression"));
    json_t *found = NULL;
    uint64_t n;
    if (!json_is_array(value))
        found = json_object_get(value, key);
    else if (!mrp_parse_uint(&n, key, strlen(key), UINT32_MAX))
        found = json_array_get(value, (size_t)n);
    if (found) {
        *out = json_incref(found);
        return 0;
    }
    if (!json_is_array(value))
        return no_field(e, value, key, err);
    mrp_fail(err, MRP_E_NOTFOUND, "the list has no item [%.100s]; it has %zu", key,
             json_array_size(value));
    return blame(err, e, MRP_E_NOTFOUND);
}

/* ---- functions ---- */

static int do_default(json_t **out,
                      const struct mrp_expr *e,
                      const struct mrp_scope *scope,
                      struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *value = NULL;
    int rc = mrp_expr_eval(&value, e->arg[0], scope, err);
    if (rc && rc != MRP_E_NOTFOUND)
        return rc;
    bool empty = rc || json_is_null(value) || (json_is_string(value) && !json_string_length(value));
    if (empty)
        return mrp_expr_eval(out, e->arg[1], scope, err);
    *out = mrp_take_json(&value);
    return 0;
}

static int nothing_to_replace(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_CONFIG, "replace: the text to look for is empty");
}

static int do_replace(json_t **out, char *const *text, struct mrp_error *err)
{
    size_t n = strlen(text[1]);
    if (!n)
        return nothing_to_replace(err);
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(TEXT_MAX);
    const char *p = text[0];
    for (const char *hit; (hit = strstr(p, text[1])) && !buf.failed; p = hit + n) {
        mrp_buf_add(&buf, p, (size_t)(hit - p));
        mrp_buf_adds(&buf, text[2]);
    }
    mrp_buf_adds(&buf, p);
    return put_text(out, &buf, err);
}

static int do_lower(json_t **out, const char *text, struct mrp_error *err)
{
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(TEXT_MAX);
    for (; *text; text++)
        mrp_buf_addc(&buf, (char)((*text & 0x80) ? *text : tolower((unsigned char)*text)));
    return put_text(out, &buf, err);
}

static int do_basename(json_t **out, const char *text, struct mrp_error *err)
{
    size_t n = strlen(text);
    while (n > 1 && text[n - 1] == '/')
        n--;
    size_t from = n;
    while (from && text[from - 1] != '/')
        from--;
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(TEXT_MAX);
    mrp_buf_add(&buf, text + from, n - from);
    return put_text(out, &buf, err);
}

static int call(json_t **out,
                const struct mrp_expr *e,
                char *const *text,
                const struct mrp_scope *scope,
                struct mrp_error *err)
{
    if (!strcmp(e->text, "replace"))
        return do_replace(out, text, err);
    if (!strcmp(e->text, "lower"))
        return do_lower(out, text[0], err);
    if (!strcmp(e->text, "basename"))
        return do_basename(out, text[0], err);
    return mrp_expr_file_function(out, e->text, text[0], scope, err);
}

static int eval_call(json_t **out,
                     const struct mrp_expr *e,
                     const struct mrp_scope *scope,
                     struct mrp_error *err)
{
    if (!strcmp(e->text, "default"))
        return do_default(out, e, scope, err);
    mrp_auto(mrp_free_str) char *a = NULL;
    mrp_auto(mrp_free_str) char *b = NULL;
    mrp_auto(mrp_free_str) char *c = NULL;
    char **slots[MRP_EXPR_ARGS] = {&a, &b, &c};
    for (size_t i = 0; i < e->arg_count && i < MRP_EXPR_ARGS; i++) {
        mrp_auto(mrp_free_json) json_t *value = NULL;
        int rc = mrp_expr_eval(&value, e->arg[i], scope, err);
        if (rc)
            return rc;
        rc = text_of(slots[i], value, err);
        if (rc)
            return blame(err, e->arg[i], rc);
    }
    char *const text[MRP_EXPR_ARGS] = {a, b, c};
    int rc = 0;
    if (mrp_expr_is_file_function(e->text) && (rc = mrp_expr_file_path(e->text, a, scope, err)))
        return blame(err, e->arg[0], rc);
    rc = call(out, e, text, scope, err);
    return rc ? blame(err, e, rc) : 0;
}

int mrp_expr_check_literals(const struct mrp_expr *e,
                            const struct mrp_scope *scope,
                            struct mrp_error *err)
{
    if (e->op != MRP_EXPR_CALL)
        return 0;
    bool file = mrp_expr_is_file_function(e->text), looks = !strcmp(e->text, "replace");
    const struct mrp_expr *arg = file ? e->arg[0] : looks ? e->arg[1] : NULL;
    mrp_auto(mrp_free_str) char *text = NULL;
    if (!arg || arg->op != MRP_EXPR_LITERAL)
        return 0;
    int rc = text_of(&text, arg->value, err);
    if (rc)
        return blame(err, arg, rc);
    if (file)
        return (rc = mrp_expr_file_path(e->text, text, scope, err)) ? blame(err, arg, rc) : 0;
    return *text ? 0 : blame(err, arg, nothing_to_replace(err));
}

int mrp_expr_eval(json_t **out,
                  const struct mrp_expr *e,
                  const struct mrp_scope *scope,
                  struct mrp_error *err)
{
    switch (e->op) {
    case MRP_EXPR_LITERAL:
        *out = json_incref(e->value);
        return 0;
    case MRP_EXPR_NAME: {
        json_t *value = NULL;
        int rc = scope->lookup(scope->arg, &value, e->text, err);
        if (!rc && !value)
            rc = mrp_fail(err, MRP_E_BUG, "no value for `%s`", e->text);
        if (rc)
            return blame(err, e, rc);
        *out = value;
        return 0;
    }
    case MRP_EXPR_FIELD:
    case MRP_EXPR_INDEX:
        return eval_field(out, e, scope, err);
    case MRP_EXPR_CALL:
        return eval_call(out, e, scope, err);
    default:
        return eval_logic(out, e, scope, err);
    }
}
