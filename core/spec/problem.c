/* Reporting problems with nodes of the tree, and copying parts of it out. */
#include "problem.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void add(struct mrp_reader *rd,
                bool warning,
                struct mrp_mark mark,
                int width,
                const char *hint,
                const char *fmt,
                va_list args) MRP_PRINTF(6, 0);
static void add(struct mrp_reader *rd,
                bool warning,
                struct mrp_mark mark,
                int width,
                const char *hint,
                const char *fmt,
                va_list args)
{
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(8192);
    mrp_buf_addv(&buf, fmt, args);
    mrp_source_problem(rd->src, rd->diags, warning, mark, width, hint,
                       buf.failed ? "(the message is too long)" : mrp_buf_str(&buf));
}

void mrp_problem_at(struct mrp_reader *rd,
                    bool warning,
                    struct mrp_mark mark,
                    int width,
                    const char *hint,
                    const char *fmt,
                    ...)
{
    va_list args;
    va_start(args, fmt);
    add(rd, warning, mark, width, hint, fmt, args);
    va_end(args);
}

void mrp_problem(struct mrp_reader *rd,
                 bool warning,
                 const struct mrp_yaml_node *node,
                 const char *hint,
                 const char *fmt,
                 ...)
{
    va_list args;
    va_start(args, fmt);
    add(rd, warning, node->mark, mrp_yaml_width(node, rd->src), hint, fmt, args);
    va_end(args);
}

char *mrp_did_you_mean(const char *word, const char *const *words, size_t count)
{
    const char *near = strlen(word) > 100 ? NULL : mrp_nearest(word, words, count);
    return near ? mrp_strf("did you mean `%s`?", near) : NULL;
}

char *mrp_read_copy(struct mrp_reader *rd, const char *text)
{
    char *copy = mrp_strdup(text);
    if (text && !copy)
        rd->nomem = true;
    return copy;
}

char **mrp_read_texts(struct mrp_reader *rd, const struct mrp_yaml_node *node)
{
    size_t n = mrp_yaml_is(node, MRP_YAML_LIST) ? node->count : 1;
    char **v = calloc(n + 1, sizeof *v);
    if (!v) {
        rd->nomem = true;
        return NULL;
    }
    if (!mrp_yaml_is(node, MRP_YAML_LIST)) {
        v[0] = mrp_read_copy(rd, mrp_yaml_text(node));
        return v;
    }
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        if (mrp_yaml_text(node->items[i]))
            v[used++] = mrp_read_copy(rd, mrp_yaml_text(node->items[i]));
    return v;
}

void mrp_read_pairs(struct mrp_reader *rd, struct mrp_pairs *out, const struct mrp_yaml_node *map)
{
    if (!mrp_yaml_is(map, MRP_YAML_MAP) || !map->count)
        return;
    out->list = calloc(map->count, sizeof *out->list);
    if (!out->list) {
        rd->nomem = true;
        return;
    }
    for (size_t i = 0; i < map->count; i++) {
        const struct mrp_yaml_node *key = map->items[2 * i], *value = map->items[2 * i + 1];
        if (value->kind != MRP_YAML_SCALAR)
            continue;
        out->list[out->count++] = (struct mrp_pair){
            .name = mrp_read_copy(rd, key->text),
            .value = mrp_read_copy(rd, value->null ? "" : value->text),
            .mark = key->mark,
        };
    }
}

void mrp_pairs_done(struct mrp_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        free(pairs->list[i].name);
        free(pairs->list[i].value);
    }
    free(pairs->list);
    *pairs = (struct mrp_pairs){0};
}

json_t *mrp_read_json(struct mrp_reader *rd, const struct mrp_yaml_node *node)
{
    json_t *out = NULL;
    if (!node || (node->kind == MRP_YAML_SCALAR && node->null)) {
        out = json_null();
    } else if (node->kind == MRP_YAML_SCALAR) {
        out = json_stringn(node->text, node->len);
    } else if (node->kind == MRP_YAML_LIST) {
        out = json_array();
        for (size_t i = 0; i < node->count; i++)
            if (json_array_append_new(out, mrp_read_json(rd, node->items[i])))
                rd->nomem = true;
    } else {
        out = json_object();
        for (size_t i = 0; i < node->count; i++)
            if (json_object_set_new(out, node->items[2 * i]->text,
                                    mrp_read_json(rd, node->items[2 * i + 1])))
                rd->nomem = true;
    }
    if (!out)
        rd->nomem = true;
    return out;
}
