/**
 * Expressions `${{ ... }}`: parsed once, evaluated against a scope (spec.md).
 *
 * Names: env.X, regions.primary|secondary|all, region, run.id, run.source-version,
 * stages.ID.outputs.NAME, stages.ID.result and the names of a for-each. Functions:
 * imagedefinitions(file), default(a,b), lower(s), replace(s,a,b), basename(s), file(path); for
 * `if`:
 * == != && || ! and parentheses, string and boolean literals.
 */
#ifndef MRP_SPEC_EXPR_H
#define MRP_SPEC_EXPR_H

#include "spec.h"

/** Where names come from. */
struct mrp_scope {
    /** *out owned JSON value. 0; MRP_E_NOTFOUND unknown name; MRP_E_CANCELLED: known name, value
     * known after run. */
    int (*lookup)(void *arg, json_t **out, const char *name, struct mrp_error *err);
    void *arg;
    const char *workdir; /* for file() and imagedefinitions(); paths stay inside it */
    bool files_ready;    /* false: file functions give MRP_E_CANCELLED ("known after run") */
};

/** Replace all expressions in a JSON value (recursively). A string that is one whole expression
 * becomes the value itself. *out owned. MRP_E_CANCELLED when a value is not known yet; other
 * failures carry the column offset of the culprit in err->upstream (1-based, within the string) and
 * the JSON path in *bad_path (owned, may be NULL). */
int mrp_expr_fill(json_t **out,
                  const json_t *value,
                  const struct mrp_scope *scope,
                  char **bad_path,
                  struct mrp_error *err) MRP_NODISCARD;

/** A condition: "if" text with or without `${{ }}`. */
int mrp_expr_test(bool *out, const char *text, const struct mrp_scope *scope, struct mrp_error *err)
    MRP_NODISCARD;

/** What can be seen before any value is known, in every branch: a literal path that leaves the work
 * directory, a literal that its function refuses. MRP_E_CONFIG as of mrp_expr_fill. Syntax errors
 * too. */
int mrp_expr_literals(const json_t *value,
                      const struct mrp_scope *scope,
                      char **bad_path,
                      struct mrp_error *err) MRP_NODISCARD;
/** The same for a condition. */
int mrp_expr_condition_literals(const char *text,
                                const struct mrp_scope *scope,
                                struct mrp_error *err) MRP_NODISCARD;

/** Call `each` for every name that the value's expressions use ("stages.images.outputs.images",
 * "env.X"), with the offset in its string. Syntax errors: MRP_E_CONFIG. */
int mrp_expr_names(
    const json_t *value,
    int (*each)(void *arg, const char *path, const char *name, int offset, struct mrp_error *err),
    void *arg,
    struct mrp_error *err) MRP_NODISCARD;

#endif
