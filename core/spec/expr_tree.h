/** Expressions as a tree: what stands between `${{` and `}}`. */
#ifndef MRP_SPEC_EXPR_TREE_H
#define MRP_SPEC_EXPR_TREE_H

#include <mrpipe/error.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define MRP_EXPR_NODES 256 /* of one expression; bounds every recursion over it */
#define MRP_EXPR_DEPTH 32  /* parentheses, calls, `!` */
#define MRP_EXPR_ARGS 3

enum mrp_expr_op {
    MRP_EXPR_LITERAL,
    MRP_EXPR_NAME,  /* text: "stages.images.outputs.images" */
    MRP_EXPR_FIELD, /* arg[0] . text */
    MRP_EXPR_INDEX, /* arg[0] [ arg[1] ] */
    MRP_EXPR_CALL,  /* text: function; arg[0..] */
    MRP_EXPR_NOT,
    MRP_EXPR_EQUAL,
    MRP_EXPR_DIFFER,
    MRP_EXPR_AND,
    MRP_EXPR_OR
};

struct mrp_expr {
    enum mrp_expr_op op;
    size_t offset; /* bytes from the start of the text it was parsed from */
    char *text;
    json_t *value; /* of a literal */
    struct mrp_expr *arg[MRP_EXPR_ARGS];
    size_t arg_count;
};

/** Parse an expression that begins at text[*at]. Stops at `}}` when `template`, else at the end of
 * the text; *at moves behind it. On failure err->upstream is the culprit's byte offset + 1. */
int mrp_expr_parse(struct mrp_expr **out,
                   const char *text,
                   size_t *at,
                   bool template,
                   struct mrp_error *err) MRP_NODISCARD;
void mrp_expr_free(struct mrp_expr **expr);

/** What an expression or template uses. `name` with parentheses is a function: "file()"; `e` is
 * where it stands. */
typedef int (*mrp_expr_use_fn)(void *arg,
                               const char *name,
                               const struct mrp_expr *e,
                               struct mrp_error *err);
/** Call `use` for every name and function of a text with templates. Syntax errors: MRP_E_CONFIG. */
int mrp_expr_uses(const char *text, mrp_expr_use_fn use, void *arg, struct mrp_error *err);
/** The same for a condition, which may stand without `${{ }}`. */
int mrp_expr_condition_uses(const char *text,
                            mrp_expr_use_fn use,
                            void *arg,
                            struct mrp_error *err);
/** Where the expression of a condition begins, and whether it is closed by `}}`. Fails for a text
 * that mixes. */
int mrp_expr_condition_start(size_t *at, bool *template, const char *text, struct mrp_error *err);

/** Names of the functions, and how many. */
extern const char *const mrp_expr_functions[];
extern const size_t mrp_expr_function_count;

#endif
