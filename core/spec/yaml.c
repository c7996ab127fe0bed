/* YAML events to a tree: anchors, aliases, merge keys, limits, duplicate keys. */
#include "yaml.h"

#include "problem.h"
#include "yaml_trap.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>
#include <yaml.h> /* NOLINT(readability-duplicate-include): libyaml's, not ours */

struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(16) char data[];
};

struct mrp_yaml {
    struct chunk *chunks;
    struct mrp_yaml_node *root;
};

struct anchor {
    const char *name;
    struct mrp_yaml_node *node;
    bool open; /* its end has not been read yet */
};

struct frame {
    struct mrp_yaml_node *node;
    size_t cap;
    size_t anchor; /* index + 1; 0: none */
};

struct loader {
    struct mrp_yaml *yaml;
    struct mrp_reader rd;
    struct frame stack[MRP_YAML_DEPTH];
    size_t depth;
    struct anchor *anchors;
    size_t anchor_count;
    size_t weight, bytes;
    bool ended; /* the document's end was seen */
};

static void *take(struct mrp_yaml *yaml, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    struct chunk *c = yaml->chunks;
    if (!c || c->size - c->used < size) {
        size_t room = size > 16000 ? size : 16000;
        c = malloc(sizeof *c + room);
        if (!c)
            return NULL;
        *c = (struct chunk){.next = yaml->chunks, .size = room};
        yaml->chunks = c;
    }
    void *p = c->data + c->used;
    c->used += size;
    return memset(p, 0, size);
}

static int fail(struct loader *l)
{
    return l->rd.nomem ? MRP_E_NOMEM : MRP_E_CONFIG;
}

static int no_memory(struct loader *l)
{
    l->rd.nomem = true;
    return MRP_E_NOMEM;
}

static struct mrp_mark mark_of(const yaml_mark_t *m)
{
    return (struct mrp_mark){(int)m->line + 1, (int)m->column + 1};
}

static struct mrp_yaml_node *
new_node(struct loader *l, enum mrp_yaml_kind kind, const yaml_event_t *event)
{
    struct mrp_yaml_node *node = take(l->yaml, sizeof *node);
    if (!node) {
        l->rd.nomem = true;
        return NULL;
    }
    node->kind = kind;
    node->weight = 1;
    node->mark = mark_of(&event->start_mark);
    node->end = mark_of(&event->end_mark);
    return node;
}

static int grow(struct loader *l, const struct mrp_yaml_node *by, struct mrp_mark at)
{
    l->weight += by->weight;
    l->bytes += by->bytes;
    if (l->bytes > MRP_YAML_BYTES) {
        mrp_problem_at(&l->rd, false, at, 1, "write less, or use fewer aliases",
                       "more than 8 MiB of text after alias expansion");
        return fail(l);
    }
    if (l->weight <= MRP_YAML_NODES)
        return 0;
    mrp_problem_at(&l->rd, false, at, 1, "write less, or use fewer aliases",
                   "more than 100,000 values after alias expansion");
    return fail(l);
}

static int push_item(struct loader *l, struct frame *f, struct mrp_yaml_node *item)
{
    struct mrp_yaml_node *node = f->node;
    if (node->count == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 8;
        struct mrp_yaml_node **more = take(l->yaml, cap * sizeof(struct mrp_yaml_node *));
        if (!more)
            return no_memory(l);
        if (node->count)
            memcpy(more, node->items, node->count * sizeof *more);
        node->items = more;
        f->cap = cap;
    }
    node->items[node->count++] = item;
    return 0;
}

static bool is_merge(const struct mrp_yaml_node *key)
{
    return key->plain && key->len == 2 && !memcmp(key->text, "<<", 2);
}

/* A key or value arrives in the innermost collection. While a map is open, `count` counts both. */
static int attach(struct loader *l, struct mrp_yaml_node *item)
{
    if (!l->depth) {
        l->yaml->root = item;
        return 0;
    }
    struct frame *f = &l->stack[l->depth - 1];
    if (f->node->kind == MRP_YAML_MAP && f->node->count % 2 == 0) {
        if (item->kind != MRP_YAML_SCALAR) {
            mrp_problem(&l->rd, false, item,
                        item->flow ? "quote the text if the brackets belong to it" : NULL,
                        "a key must be text, not a %s",
                        item->kind == MRP_YAML_LIST ? "list" : "map");
            return fail(l);
        }
        if (f->node->count / 2 >= MRP_YAML_KEYS) {
            mrp_problem(&l->rd, false, item, NULL, "a map of more than %d keys", MRP_YAML_KEYS);
            return fail(l);
        }
        for (size_t i = 0; i < f->node->count; i += 2) {
            const struct mrp_yaml_node *old = f->node->items[i];
            if (old->len == item->len && !memcmp(old->text, item->text, item->len)) {
                mrp_problem(&l->rd, false, item, NULL,
                            "duplicate key `%.100s`; the first one is on line %d", item->text,
                            old->mark.line);
                break;
            }
        }
    }
    return push_item(l, f, item);
}

static int
add_anchor(struct loader *l, const yaml_char_t *name, struct mrp_yaml_node *node, bool open)
{
    if (!name)
        return 0;
    if (l->anchor_count >= MRP_YAML_ANCHORS) {
        mrp_problem(&l->rd, false, node, NULL, "more than %d anchors", MRP_YAML_ANCHORS);
        return fail(l);
    }
    struct anchor *more = realloc(l->anchors, (l->anchor_count + 1) * sizeof *more);
    if (!more)
        return no_memory(l);
    l->anchors = more;
    size_t len = strlen((const char *)name);
    char *copy = take(l->yaml, len + 1);
    if (!copy)
        return no_memory(l);
    memcpy(copy, name, len);
    more[l->anchor_count++] = (struct anchor){copy, node, open};
    return 0;
}

static int on_alias(struct loader *l, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    struct mrp_mark at = mark_of(&event->start_mark);
    int width = (int)(event->end_mark.column - event->start_mark.column);
    for (size_t i = l->anchor_count; i-- > 0;) {
        const struct anchor *a = &l->anchors[i];
        if (strcmp(a->name, name) != 0)
            continue;
        if (a->open) {
            mrp_problem_at(&l->rd, false, at, width, NULL,
                           "alias `*%.100s` stands inside its own anchor", name);
            return fail(l);
        }
        int rc = grow(l, a->node, at);
        return rc ? rc : attach(l, a->node);
    }
    mrp_problem_at(&l->rd, false, at, width,
                   "define it before with `&`, or quote the text if the `*` belongs to it",
                   "unknown alias `*%.100s`", name);
    return fail(l);
}

static int on_scalar(struct loader *l, const yaml_event_t *event)
{
    struct mrp_yaml_node *node = new_node(l, MRP_YAML_SCALAR, event);
    if (!node)
        return MRP_E_NOMEM;
    size_t len = event->data.scalar.length;
    char *text = take(l->yaml, len + 1);
    if (!text)
        return no_memory(l);
    memcpy(text, event->data.scalar.value, len);
    node->text = text;
    node->len = len;
    node->bytes = len;
    yaml_scalar_style_t style = event->data.scalar.style;
    node->plain = style == YAML_PLAIN_SCALAR_STYLE;
    node->block = style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE;
    bool tagged = event->data.scalar.tag != NULL;
    node->null = node->plain && !tagged &&
                 (!len || !strcmp(text, "~") || !strcmp(text, "null") || !strcmp(text, "Null") ||
                  !strcmp(text, "NULL"));
    if (memchr(text, 0, len)) {
        mrp_problem(&l->rd, false, node, NULL, "text with a NUL character");
        return fail(l);
    }
    if (mrp_yaml_bad_tag(&l->rd, (const char *)event->data.scalar.tag, node))
        return fail(l);
    int rc = add_anchor(l, event->data.scalar.anchor, node, false);
    if (!rc)
        rc = grow(l, node, node->mark);
    return rc ? rc : attach(l, node);
}

static int on_start(struct loader *l, const yaml_event_t *event)
{
    bool list = event->type == YAML_SEQUENCE_START_EVENT;
    struct mrp_yaml_node *node = new_node(l, list ? MRP_YAML_LIST : MRP_YAML_MAP, event);
    if (!node)
        return MRP_E_NOMEM;
    const yaml_char_t *tag = list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
    const yaml_char_t *anchor =
        list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;
    node->flow = list ? event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE
                      : event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
    if (mrp_yaml_bad_tag(&l->rd, (const char *)tag, node))
        return fail(l);
    if (l->depth == MRP_YAML_DEPTH) {
        mrp_problem(&l->rd, false, node, NULL, "nested more than %d deep", MRP_YAML_DEPTH);
        return fail(l);
    }
    int rc = add_anchor(l, anchor, node, true);
    if (!rc)
        rc = grow(l, node, node->mark);
    if (rc)
        return rc;
    l->stack[l->depth++] = (struct frame){.node = node, .anchor = anchor ? l->anchor_count : 0};
    return 0;
}

/* ---- merge keys ---- */

static bool
has_key(struct mrp_yaml_node *const *items, size_t count, const struct mrp_yaml_node *key)
{
    for (size_t i = 0; i < count; i += 2)
        if (items[i]->len == key->len && !memcmp(items[i]->text, key->text, key->len))
            return true;
    return false;
}

static int merge_map(struct loader *l, struct frame *to, const struct mrp_yaml_node *from)
{
    for (size_t i = 0; i < from->count; i++) {
        struct mrp_yaml_node *key = from->items[2 * i], *value = from->items[2 * i + 1];
        if (has_key(to->node->items, to->node->count, key))
            continue;
        if (to->node->count / 2 >= MRP_YAML_KEYS) {
            mrp_problem(&l->rd, false, key, NULL, "a map of more than %d keys", MRP_YAML_KEYS);
            return fail(l);
        }
        int rc = grow(l, key, key->mark);
        if (!rc)
            rc = grow(l, value, key->mark);
        if (!rc)
            rc = push_item(l, to, key);
        if (!rc)
            rc = push_item(l, to, value);
        if (rc)
            return rc;
    }
    return 0;
}

static int bad_merge(struct loader *l, const struct mrp_yaml_node *node)
{
    mrp_problem(&l->rd, false, node, "as in `<<: *name`",
                "a merge key takes a map or a list of maps");
    return fail(l);
}

/* `<<: *a` and `<<: [*a, *b]`: keys of the map itself win, then those of the first map. */
static int resolve_merge(struct loader *l, struct frame *f)
{
    struct mrp_yaml_node *node = f->node;
    size_t at = 0;
    while (at < node->count && !is_merge(node->items[at]))
        at += 2;
    if (at >= node->count)
        return 0;
    struct mrp_yaml_node *from = node->items[at + 1];
    memmove(&node->items[at], &node->items[at + 2],
            (node->count - at - 2) * sizeof(struct mrp_yaml_node *));
    node->count -= 2;
    if (from->kind == MRP_YAML_MAP)
        return merge_map(l, f, from);
    if (from->kind != MRP_YAML_LIST)
        return bad_merge(l, from);
    for (size_t i = 0; i < from->count; i++) {
        if (from->items[i]->kind != MRP_YAML_MAP)
            return bad_merge(l, from->items[i]);
        int rc = merge_map(l, f, from->items[i]);
        if (rc)
            return rc;
    }
    return 0;
}

static int on_end(struct loader *l, const yaml_event_t *event)
{
    struct frame *f = &l->stack[l->depth - 1];
    struct mrp_yaml_node *node = f->node;
    node->end = mark_of(&event->end_mark);
    if (node->kind == MRP_YAML_MAP) {
        int rc = resolve_merge(l, f);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < node->count; i++) {
        node->weight += node->items[i]->weight;
        node->bytes += node->items[i]->bytes;
    }
    if (node->kind == MRP_YAML_MAP)
        node->count /= 2;
    if (f->anchor)
        l->anchors[f->anchor - 1].open = false;
    l->depth--;
    return attach(l, node);
}

static int on_event(struct loader *l, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (!l->ended)
            return 0;
        mrp_problem_at(&l->rd, false, mark_of(&event->start_mark), 3, "keep one, or split the file",
                       "a second YAML document in the file");
        return fail(l);
    case YAML_DOCUMENT_END_EVENT:
        l->ended = true;
        return 0;
    case YAML_ALIAS_EVENT:
        return on_alias(l, event);
    case YAML_SCALAR_EVENT:
        return on_scalar(l, event);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return on_start(l, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(l, event);
    default:
        return 0;
    }
}

static int read_events(struct loader *l, yaml_parser_t *parser)
{
    for (bool more = true; more;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            if (parser->error == YAML_MEMORY_ERROR)
                return no_memory(l);
            mrp_yaml_explain(&l->rd, parser);
            return fail(l);
        }
        more = event.type != YAML_STREAM_END_EVENT;
        int rc = on_event(l, &event);
        yaml_event_delete(&event);
        if (rc)
            return rc;
    }
    return 0;
}

int mrp_yaml_load(struct mrp_yaml **out,
                  const struct mrp_source *src,
                  struct mrp_diags *diags,
                  struct mrp_error *err)
{
    size_t before = diags->errors;
    mrp_auto(mrp_yaml_free) struct mrp_yaml *yaml = calloc(1, sizeof *yaml);
    struct loader *l = calloc(1, sizeof *l);
    yaml_parser_t parser;
    if (!yaml || !l || !yaml_parser_initialize(&parser)) {
        free(l);
        return mrp_fail(err, MRP_E_NOMEM, "read %s", src->path);
    }
    l->yaml = yaml;
    l->rd = (struct mrp_reader){.diags = diags, .src = src};
    int rc = mrp_source_check(src, diags);
    if (!rc) {
        yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&parser, (const unsigned char *)src->text, src->len);
        rc = read_events(l, &parser);
    }
    yaml_parser_delete(&parser);
    free(l->anchors);
    free(l);
    if (rc == MRP_E_NOMEM)
        return mrp_fail(err, MRP_E_NOMEM, "read %s", src->path);
    if (rc || diags->errors > before)
        return mrp_fail(err, MRP_E_CONFIG, "%s is not valid YAML", src->path);
    *out = yaml;
    yaml = NULL;
    return 0;
}

void mrp_yaml_free(struct mrp_yaml **yaml)
{
    if (!yaml || !*yaml)
        return;
    for (struct chunk *c = (*yaml)->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(*yaml);
    *yaml = NULL;
}

const struct mrp_yaml_node *mrp_yaml_root(const struct mrp_yaml *yaml)
{
    return yaml->root;
}
