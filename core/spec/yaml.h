/**
 * YAML as a tree of nodes with marks, on libyaml's events.
 *
 * Scalars stay text. Aliases share their node; merge keys are resolved; duplicate keys, several
 * documents, tags that change meaning and everything beyond the limits are errors.
 */
#ifndef MRP_SPEC_YAML_H
#define MRP_SPEC_YAML_H

#include "source.h"

#include <mrpipe/error.h>

#define MRP_YAML_DEPTH 64        /* nesting */
#define MRP_YAML_NODES 100000    /* after alias expansion */
#define MRP_YAML_BYTES (8 << 20) /* of text after alias expansion */
#define MRP_YAML_KEYS 4096       /* of one map */
#define MRP_YAML_ANCHORS 1000

enum mrp_yaml_kind { MRP_YAML_SCALAR, MRP_YAML_LIST, MRP_YAML_MAP };

struct mrp_yaml_node {
    enum mrp_yaml_kind kind;
    struct mrp_mark mark, end;
    bool null;  /* plain and empty, `~` or `null` */
    bool plain; /* without quotes */
    bool block; /* `|` or `>` */
    bool flow;  /* list or map in brackets */
    const char *text;
    size_t len;
    struct mrp_yaml_node **items; /* of a list; of a map: key, value, key, value */
    size_t count;                 /* items; pairs of a map */
    size_t weight;                /* nodes when every alias is expanded */
    size_t bytes;                 /* their text */
};

struct mrp_yaml; /* owns the nodes */

/** Problems go to `diags`. 0, MRP_E_CONFIG or MRP_E_NOMEM. */
int mrp_yaml_load(struct mrp_yaml **out,
                  const struct mrp_source *src,
                  struct mrp_diags *diags,
                  struct mrp_error *err) MRP_NODISCARD;
void mrp_yaml_free(struct mrp_yaml **yaml);
/** The document; NULL when the file is empty. */
const struct mrp_yaml_node *mrp_yaml_root(const struct mrp_yaml *yaml);

/** The value of a key; NULL if `map` is no map or has no such key. A null value counts as absent.
 */
const struct mrp_yaml_node *mrp_yaml_get(const struct mrp_yaml_node *map, const char *key);
/** The text of a scalar that is not null; else NULL. */
const char *mrp_yaml_text(const struct mrp_yaml_node *node);
/** Characters to underline. */
int mrp_yaml_width(const struct mrp_yaml_node *node, const struct mrp_source *src);
/** Where the character at byte `offset` of a scalar's text stands (exact for texts of one line and
 * literal blocks). */
struct mrp_mark
mrp_yaml_place(const struct mrp_yaml_node *node, const struct mrp_source *src, size_t offset);
static inline bool mrp_yaml_is(const struct mrp_yaml_node *node, enum mrp_yaml_kind kind)
{
    return node && node->kind == kind;
}

#endif
