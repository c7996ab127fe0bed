/* Expressions inside values: templates, conditions, and the names they use. */
#include "expr.h"

#include "expr_eval.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (1 << 20)
#define DEPTH_MAX 200

/* err->upstream counts bytes while a text is worked on; the caller wants characters. */
static void bytes_to_chars(const char *text, struct mrp_error *err)
{
    if (!err || err->upstream < 1)
        return;
    long chars = 0;
    for (long i = 0; i + 1 < err->upstream && text[i]; i++)
        chars += (text[i] & 0xC0) != 0x80;
    err->upstream = chars + 1;
}

static size_t skip_blanks(const char *text, size_t at)
{
    return at + strspn(text + at, " \t\r\n");
}

/* ---- templates ---- */

static int
fill_mixed(json_t **out, const char *text, const struct mrp_scope *scope, struct mrp_error *err)
{
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(TEXT_MAX);
    size_t at = 0;
    for (const char *open; (open = strstr(text + at, "${{"));) {
        mrp_buf_add(&buf, text + at, (size_t)(open - text) - at);
        mrp_auto(mrp_expr_free) struct mrp_expr *e = NULL;
        mrp_auto(mrp_free_json) json_t *value = NULL;
        at = (size_t)(open - text) + 3;
        int rc = mrp_expr_parse(&e, text, &at, true, err);
        if (rc)
            return rc;
        rc = mrp_expr_eval(&value, e, scope, err);
        if (rc)
            return rc;
        rc = mrp_expr_add_text(&buf, value, err);
        if (rc) {
            if (err)
                err->upstream = (long)e->offset + 1;
            return rc;
        }
    }
    mrp_buf_adds(&buf, text + at);
    int rc = mrp_buf_check(&buf, "expression", err);
    if (rc)
        return rc;
    *out = json_stringn(mrp_buf_str(&buf), buf.len);
    return *out ? 0 : mrp_fail(err, MRP_E_CONFIG, "the value is not UTF-8 text");
}

static int
fill_text(json_t **out, const char *text, const struct mrp_scope *scope, struct mrp_error *err)
{
    size_t at = skip_blanks(text, 0);
    if (!mrp_starts(text + at, "${{"))
        return fill_mixed(out, text, scope, err);
    at += 3;
    mrp_auto(mrp_expr_free) struct mrp_expr *e = NULL;
    int rc = mrp_expr_parse(&e, text, &at, true, err);
    if (rc)
        return rc;
    if (text[skip_blanks(text, at)])
        return fill_mixed(out, text, scope, err);
    return mrp_expr_eval(out, e, scope, err);
}

static void cut(struct mrp_buf *path, size_t len)
{
    if (path->failed || !path->data)
        return;
    path->len = len;
    path->data[len] = '\0';
}

struct walk {
    const struct mrp_scope *scope;
    struct mrp_buf path;
    struct mrp_error *err;
    int depth;
};

static void enter_key(struct walk *w, const char *key)
{
    mrp_buf_addf(&w->path, w->path.len ? ".%s" : "%s", key);
}

static int fill(json_t **out, const json_t *value, struct walk *w);

static int fill_list(json_t **out, const json_t *value, struct walk *w)
{
    mrp_auto(mrp_free_json) json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(value); i++) {
        size_t len = w->path.len;
        json_t *item = NULL;
        mrp_buf_addf(&w->path, "[%zu]", i);
        int rc = fill(&item, json_array_get(value, i), w);
        if (rc)
            return rc;
        if (json_array_append_new(list, item))
            return mrp_fail(w->err, MRP_E_NOMEM, "evaluate an expression");
        cut(&w->path, len);
    }
    *out = mrp_take_json(&list);
    return 0;
}

static int fill_map(json_t **out, const json_t *value, struct walk *w)
{
    mrp_auto(mrp_free_json) json_t *map = json_object();
    json_t *source = (json_t *)(uintptr_t)value; /* jansson's iterators want it mutable */
    for (void *it = json_object_iter(source); it; it = json_object_iter_next(source, it)) {
        const char *key = json_object_iter_key(it);
        size_t len = w->path.len;
        json_t *member = NULL;
        enter_key(w, key);
        int rc = fill(&member, json_object_iter_value(it), w);
        if (rc)
            return rc;
        if (json_object_set_new(map, key, member))
            return mrp_fail(w->err, MRP_E_NOMEM, "evaluate an expression");
        cut(&w->path, len);
    }
    *out = mrp_take_json(&map);
    return 0;
}

static int fill(json_t **out, const json_t *value, struct walk *w)
{
    if (w->depth >= DEPTH_MAX)
        return mrp_fail(w->err, MRP_E_CONFIG, "the value is nested too deep");
    w->depth++;
    int rc = 0;
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        if (strstr(text, "${{")) {
            if (w->err)
                w->err->upstream = 0;
            rc = fill_text(out, text, w->scope, w->err);
            if (rc)
                bytes_to_chars(text, w->err);
        } else {
            *out = json_incref((json_t *)(uintptr_t)value);
        }
    } else if (json_is_array(value)) {
        rc = fill_list(out, value, w);
    } else if (json_is_object(value)) {
        rc = fill_map(out, value, w);
    } else {
        *out = json_incref((json_t *)(uintptr_t)value);
    }
    w->depth--;
    return rc;
}

int mrp_expr_fill(json_t **out,
                  const json_t *value,
                  const struct mrp_scope *scope,
                  char **bad_path,
                  struct mrp_error *err)
{
    struct walk w = {.scope = scope, .path = MRP_BUF_INIT(65536), .err = err};
    int rc = fill(out, value, &w);
    if (rc && bad_path)
        *bad_path = mrp_buf_take(&w.path);
    mrp_buf_done(&w.path);
    return rc;
}

/* ---- conditions ---- */

int mrp_expr_condition_start(size_t *at, bool *template, const char *text, struct mrp_error *err)
{
    size_t start = skip_blanks(text, 0);
    *template = mrp_starts(text + start, "${{");
    *at = start + (*template ? 3 : 0);
    const char *inner = *template ? NULL : strstr(text, "${{");
    if (!inner)
        return 0;
    mrp_fail(err, MRP_E_CONFIG, "a condition is one expression");
    mrp_hint(err, "write all of it inside one ${{ }}, or leave ${{ }} out");
    if (err)
        err->upstream = inner - text + 1;
    return MRP_E_CONFIG;
}

static int parse_condition(struct mrp_expr **out, const char *text, struct mrp_error *err)
{
    size_t at;
    bool template;
    int rc = mrp_expr_condition_start(&at, &template, text, err);
    if (rc)
        return rc;
    mrp_auto(mrp_expr_free) struct mrp_expr *e = NULL;
    rc = mrp_expr_parse(&e, text, &at, template, err);
    if (rc)
        return rc;
    at = skip_blanks(text, at);
    if (text[at]) {
        mrp_fail(err, MRP_E_CONFIG, "a condition is one expression");
        mrp_hint(err, "write all of it inside one ${{ }}, or leave ${{ }} out");
        if (err)
            err->upstream = (long)at + 1;
        return MRP_E_CONFIG;
    }
    *out = e;
    e = NULL;
    return 0;
}

int mrp_expr_test(bool *out, const char *text, const struct mrp_scope *scope, struct mrp_error *err)
{
    mrp_auto(mrp_expr_free) struct mrp_expr *e = NULL;
    mrp_auto(mrp_free_json) json_t *value = NULL;
    if (err)
        err->upstream = 0;
    int rc = parse_condition(&e, text, err);
    if (!rc)
        rc = mrp_expr_eval(&value, e, scope, err);
    if (rc)
        bytes_to_chars(text, err);
    else
        *out = mrp_expr_true(value);
    return rc;
}

/* ---- names ---- */

static int
tree_uses(const struct mrp_expr *e, mrp_expr_use_fn use, void *arg, struct mrp_error *err)
{
    int rc = 0;
    if (e->op == MRP_EXPR_NAME) {
        rc = use(arg, e->text, e, err);
    } else if (e->op == MRP_EXPR_CALL) {
        mrp_auto(mrp_free_str) char *name = mrp_strf("%s()", e->text);
        rc = name ? use(arg, name, e, err) : mrp_fail(err, MRP_E_NOMEM, "read an expression");
    }
    for (size_t i = 0; i < e->arg_count && !rc; i++)
        rc = tree_uses(e->arg[i], use, arg, err);
    return rc;
}

int mrp_expr_uses(const char *text, mrp_expr_use_fn use, void *arg, struct mrp_error *err)
{
    size_t at = 0;
    for (const char *open; (open = strstr(text + at, "${{"));) {
        mrp_auto(mrp_expr_free) struct mrp_expr *e = NULL;
        at = (size_t)(open - text) + 3;
        int rc = mrp_expr_parse(&e, text, &at, true, err);
        if (!rc)
            rc = tree_uses(e, use, arg, err);
        if (rc)
            return rc;
    }
    return 0;
}

int mrp_expr_condition_uses(const char *text, mrp_expr_use_fn use, void *arg, struct mrp_error *err)
{
    mrp_auto(mrp_expr_free) struct mrp_expr *e = NULL;
    int rc = parse_condition(&e, text, err);
    return rc ? rc : tree_uses(e, use, arg, err);
}

struct names {
    int (*each)(void *arg, const char *path, const char *name, int offset, struct mrp_error *err);
    void *arg;
    const struct mrp_scope *scope; /* of mrp_expr_literals */
    mrp_expr_use_fn use;
    const char *text;
    struct mrp_buf path;
    int depth;
};

static int on_use(void *arg, const char *name, const struct mrp_expr *e, struct mrp_error *err)
{
    struct names *n = arg;
    if (e->op == MRP_EXPR_CALL)
        return 0;
    struct mrp_error where = {.upstream = (long)e->offset + 1};
    bytes_to_chars(n->text, &where);
    return n->each(n->arg, mrp_buf_str(&n->path), name, (int)where.upstream, err);
}

static int value_names(const json_t *value, struct names *n, struct mrp_error *err)
{
    if (n->depth >= DEPTH_MAX)
        return mrp_fail(err, MRP_E_CONFIG, "the value is nested too deep");
    int rc = 0;
    size_t len = n->path.len;
    n->depth++;
    if (json_is_string(value)) {
        n->text = json_string_value(value);
        rc = mrp_expr_uses(n->text, n->use, n, err);
        if (rc)
            bytes_to_chars(n->text, err);
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value) && !rc; i++) {
            mrp_buf_addf(&n->path, "[%zu]", i);
            rc = value_names(json_array_get(value, i), n, err);
            if (!rc) /* else it says where */
                cut(&n->path, len);
        }
    } else if (json_is_object(value)) {
        json_t *source = (json_t *)(uintptr_t)value;
        for (void *it = json_object_iter(source); it && !rc;
             it = json_object_iter_next(source, it)) {
            mrp_buf_addf(&n->path, len ? ".%s" : "%s", json_object_iter_key(it));
            rc = value_names(json_object_iter_value(it), n, err);
            if (!rc)
                cut(&n->path, len);
        }
    }
    n->depth--;
    return rc;
}

int mrp_expr_names(
    const json_t *value,
    int (*each)(void *arg, const char *path, const char *name, int offset, struct mrp_error *err),
    void *arg,
    struct mrp_error *err)
{
    struct names n = {.each = each, .arg = arg, .use = on_use, .path = MRP_BUF_INIT(65536)};
    if (err)
        err->upstream = 0;
    int rc = value_names(value, &n, err);
    mrp_buf_done(&n.path);
    return rc;
}

/* ---- literals ---- */

static int
on_literal_use(void *arg, const char *name, const struct mrp_expr *e, struct mrp_error *err)
{
    const struct names *n = arg;
    (void)name;
    return mrp_expr_check_literals(e, n->scope, err);
}

int mrp_expr_literals(const json_t *value,
                      const struct mrp_scope *scope,
                      char **bad_path,
                      struct mrp_error *err)
{
    struct names n = {.scope = scope, .use = on_literal_use, .path = MRP_BUF_INIT(65536)};
    if (err)
        err->upstream = 0;
    int rc = value_names(value, &n, err);
    if (rc && bad_path)
        *bad_path = mrp_buf_take(&n.path);
    mrp_buf_done(&n.path);
    return rc;
}

int mrp_expr_condition_literals(const char *text,
                                const struct mrp_scope *scope,
                                struct mrp_error *err)
{
    struct names n = {.scope = scope};
    if (err)
        err->upstream = 0;
    int rc = mrp_expr_condition_uses(text, on_literal_use, &n, err);
    if (rc)
        bytes_to_chars(text, err);
    return rc;
}
