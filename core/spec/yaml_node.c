/* Looking into the tree: keys, texts, places. */
#include "yaml.h"

#include <limits.h>
#include <string.h>

const struct mrp_yaml_node *mrp_yaml_get(const struct mrp_yaml_node *map, const char *key)
{
    if (!mrp_yaml_is(map, MRP_YAML_MAP))
        return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (!strcmp(map->items[2 * i]->text, key)) {
            const struct mrp_yaml_node *value = map->items[2 * i + 1];
            return value->kind == MRP_YAML_SCALAR && value->null ? NULL : value;
        }
    return NULL;
}

const char *mrp_yaml_text(const struct mrp_yaml_node *node)
{
    return mrp_yaml_is(node, MRP_YAML_SCALAR) && !node->null ? node->text : NULL;
}

static size_t chars(const char *s, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += (s[i] & 0xC0) != 0x80;
    return n;
}

int mrp_yaml_width(const struct mrp_yaml_node *node, const struct mrp_source *src)
{
    if (node->block)
        return 1;
    if (node->end.line == node->mark.line)
        return node->end.col > node->mark.col ? node->end.col - node->mark.col : 1;
    if (node->kind != MRP_YAML_SCALAR && !node->flow)
        return 1;
    const char *line = mrp_source_line(src, node->mark.line);
    size_t all = line ? chars(line, strlen(line)) : 1;
    return all >= (size_t)node->mark.col && all < INT_MAX ? (int)all - node->mark.col + 1 : 1;
}

struct mrp_mark
mrp_yaml_place(const struct mrp_yaml_node *node, const struct mrp_source *src, size_t offset)
{
    struct mrp_mark at = node->mark;
    if (node->kind != MRP_YAML_SCALAR)
        return at;
    if (offset > node->len)
        offset = node->len;
    if (!node->block) {
        at.col += (node->plain ? 0 : 1) + (int)chars(node->text, offset);
        return at;
    }
    size_t start = 0;
    for (size_t i = 0; i < offset; i++)
        if (node->text[i] == '\n') {
            at.line++;
            start = i + 1;
        }
    at.line++;
    const char *line = mrp_source_line(src, at.line);
    size_t indent = line ? strspn(line, " ") : 0;
    size_t own = strspn(node->text + start, " ");
    at.col =
        (int)(indent > own ? indent - own : 0) + 1 + (int)chars(node->text + start, offset - start);
    return at;
}
