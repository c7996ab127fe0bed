/** Evaluating a parsed expression. */
#ifndef MRP_SPEC_EXPR_EVAL_H
#define MRP_SPEC_EXPR_EVAL_H

#include "expr.h"
#include "expr_tree.h"

#include <mrpipe/buf.h>

/** *out owned. On failure err->upstream is the culprit's byte offset + 1. */
int mrp_expr_eval(json_t **out,
                  const struct mrp_expr *e,
                  const struct mrp_scope *scope,
                  struct mrp_error *err) MRP_NODISCARD;
/** Append a value as text; a list or map is MRP_E_CONFIG. */
int mrp_expr_add_text(struct mrp_buf *buf, const json_t *value, struct mrp_error *err);
/** What a condition takes as true: all but false, null, 0, "" and "false". */
bool mrp_expr_true(const json_t *value);

/** Whether a call's literal arguments can be right, without evaluating anything. 0 or MRP_E_CONFIG
 * with the culprit's offset. */
int mrp_expr_check_literals(const struct mrp_expr *e,
                            const struct mrp_scope *scope,
                            struct mrp_error *err) MRP_NODISCARD;
/** True for the functions of files. */
bool mrp_expr_is_file_function(const char *name);
/** Whether the path, as text, stays inside the work directory. 0 or MRP_E_CONFIG. */
int mrp_expr_file_path(const char *name,
                       const char *path,
                       const struct mrp_scope *scope,
                       struct mrp_error *err) MRP_NODISCARD;
/** The functions of files: imagedefinitions(path) and file(path). */
int mrp_expr_file_function(json_t **out,
                           const char *name,
                           const char *path,
                           const struct mrp_scope *scope,
                           struct mrp_error *err) MRP_NODISCARD;

#endif
