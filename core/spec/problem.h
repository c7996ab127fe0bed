/** What the readers of a spec share: where problems go and which file they are about. */
#ifndef MRP_SPEC_PROBLEM_H
#define MRP_SPEC_PROBLEM_H

#include "source.h"
#include "yaml.h"

struct mrp_reader {
    struct mrp_diags *diags;
    const struct mrp_source *src;
    bool old;   /* version 0.1 */
    bool nomem; /* an allocation failed; checked once at the end */
};

/** A problem at a place of the file. */
void mrp_problem_at(struct mrp_reader *rd,
                    bool warning,
                    struct mrp_mark mark,
                    int width,
                    const char *hint,
                    const char *fmt,
                    ...) MRP_PRINTF(6, 7);
/** A problem with a node; it is underlined as far as its line goes. */
void mrp_problem(struct mrp_reader *rd,
                 bool warning,
                 const struct mrp_yaml_node *node,
                 const char *hint,
                 const char *fmt,
                 ...) MRP_PRINTF(5, 6);
/** "did you mean `X`?" for the nearest of the words, or NULL. Owned. */
char *mrp_did_you_mean(const char *word, const char *const *words, size_t count);

/** An owned copy; a failure is remembered in rd->nomem. NULL stays NULL. */
char *mrp_read_copy(struct mrp_reader *rd, const char *text);
/** An owned NULL-terminated vector of the list's texts (or of one text); never NULL unless memory
 * is exhausted. */
char **mrp_read_texts(struct mrp_reader *rd, const struct mrp_yaml_node *node);
/** A map of text; entries that are not text are left out. */
void mrp_read_pairs(struct mrp_reader *rd, struct mrp_pairs *out, const struct mrp_yaml_node *map);
/** Frees the entries. */
void mrp_pairs_done(struct mrp_pairs *pairs);
/** The node as JSON of text (null stays null). Owned. */
json_t *mrp_read_json(struct mrp_reader *rd, const struct mrp_yaml_node *node);

#endif
