/* Expressions: lexer and recursive-descent parser, bounded in depth and size. */
#include "expr_tree.h"

#include "problem.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 65536

enum token { T_END, T_WORD, T_STRING, T_NUMBER, T_OP, T_BAD };

struct parser {
    const char *text;
    size_t at; /* next character */
    bool template;
    enum token token;
    size_t start; /* of the token */
    char op[3];
    char *word; /* of T_WORD, T_STRING, T_NUMBER; owned */
    size_t nodes;
    int depth;
    struct mrp_error *err;
};

struct arity {
    size_t min, max;
};
const char *const mrp_expr_functions[] = {"imagedefinitions", "default",  "lower",
                                          "replace",          "basename", "file"};
const size_t mrp_expr_function_count = MRP_COUNT(mrp_expr_functions);
static const struct arity arities[] = {{1, 1}, {2, 2}, {1, 1}, {3, 3}, {1, 1}, {1, 1}};

static int bad(struct parser *p, size_t offset, const char *what)
{
    mrp_fail(p->err, MRP_E_CONFIG, "%s", what);
    if (p->err)
        p->err->upstream = (long)offset + 1;
    return MRP_E_CONFIG;
}

static int lex_string(struct parser *p)
{
    char quote = p->text[p->at++];
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(TEXT_MAX);
    for (;; p->at++) {
        char c = p->text[p->at];
        if (!c)
            return bad(p, p->start, "the quoted text is not closed");
        if (c == quote) {
            if (p->text[p->at + 1] != quote)
                break;
            p->at++; /* a doubled quote is the quote itself */
        }
        mrp_buf_addc(&buf, c);
    }
    p->at++;
    p->token = T_STRING;
    p->word = mrp_buf_take(&buf);
    return p->word ? 0 : mrp_fail(p->err, MRP_E_NOMEM, "read an expression");
}

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static int lex_word(struct parser *p)
{
    bool number = isdigit((unsigned char)p->text[p->at]) || p->text[p->at] == '-';
    size_t n = 1;
    while (word_char(p->text[p->at + n]))
        n++;
    p->token = number ? T_NUMBER : T_WORD;
    p->word = mrp_strndup(p->text + p->at, n);
    p->at += n;
    return p->word ? 0 : mrp_fail(p->err, MRP_E_NOMEM, "read an expression");
}

static int next(struct parser *p)
{
    static const char *const ops[] = {"==", "!=", "&&", "||", "!", "(", ")", "[", "]", ".", ","};
    mrp_free_str(&p->word);
    p->word = NULL;
    while (isspace((unsigned char)p->text[p->at]))
        p->at++;
    p->start = p->at;
    const char *s = p->text + p->at;
    if (!*s || (p->template && s[0] == '}' && s[1] == '}')) {
        p->token = T_END;
        return 0;
    }
    if (*s == '\'' || *s == '"')
        return lex_string(p);
    if (isalpha((unsigned char)*s) || *s == '_' || isdigit((unsigned char)*s) ||
        (*s == '-' && isdigit((unsigned char)s[1])))
        return lex_word(p);
    for (size_t i = 0; i < MRP_COUNT(ops); i++)
        if (mrp_starts(s, ops[i])) {
            p->token = T_OP;
            mrp_copy(p->op, sizeof p->op, ops[i]);
            p->at += strlen(ops[i]);
            return 0;
        }
    if (*s == '=')
        return bad(p, p->start, "write `==` to compare");
    if (*s == '&' || *s == '|')
        return bad(p, p->start, *s == '&' ? "write `&&` for and" : "write `||` for or");
    if (*s == '$')
        return bad(p, p->start, "`$` has no meaning in an expression; a variable is env.NAME");
    return bad(p, p->start, "this character has no meaning in an expression");
}

static bool is_op(const struct parser *p, const char *op)
{
    return p->token == T_OP && !strcmp(p->op, op);
}

void mrp_expr_free(struct mrp_expr **expr)
{
    if (!expr || !*expr)
        return;
    for (size_t i = 0; i < MRP_EXPR_ARGS; i++)
        mrp_expr_free(&(*expr)->arg[i]);
    free((*expr)->text);
    json_decref((*expr)->value);
    free(*expr);
    *expr = NULL;
}

static int new_node(struct mrp_expr **out, struct parser *p, enum mrp_expr_op op, size_t offset)
{
    if (++p->nodes > MRP_EXPR_NODES)
        return bad(p, offset, "the expression is too long");
    struct mrp_expr *e = calloc(1, sizeof *e);
    if (!e)
        return mrp_fail(p->err, MRP_E_NOMEM, "read an expression");
    e->op = op;
    e->offset = offset;
    *out = e;
    return 0;
}

/* *left becomes the first argument of a new node. */
static int wrap(struct mrp_expr **left, struct parser *p, enum mrp_expr_op op, size_t offset)
{
    struct mrp_expr *e = NULL;
    int rc = new_node(&e, p, op, offset);
    if (rc)
        return rc;
    e->arg[e->arg_count++] = *left;
    *left = e;
    return 0;
}

static int parse_or(struct mrp_expr **out, struct parser *p);

static int expect(struct parser *p, const char *op, const char *what)
{
    if (!is_op(p, op))
        return bad(p, p->start, what);
    return next(p);
}

static int parse_call(struct mrp_expr *e, struct parser *p)
{
    size_t which = 0;
    while (which < mrp_expr_function_count && strcmp(e->text, mrp_expr_functions[which]) != 0)
        which++;
    if (which == mrp_expr_function_count) {
        char what[160];
        const char *near = mrp_nearest(e->text, mrp_expr_functions, mrp_expr_function_count);
        snprintf(what, sizeof what,
                 near ? "unknown function `%.60s`; did you mean `%s`?" : "unknown function `%.60s`",
                 e->text, near);
        return bad(p, e->offset, what);
    }
    int rc = next(p);
    while (!rc && !is_op(p, ")")) {
        if (e->arg_count == arities[which].max)
            return bad(p, p->start, "too many arguments");
        rc = parse_or(&e->arg[e->arg_count], p);
        if (rc)
            return rc;
        e->arg_count++;
        if (is_op(p, ",")) {
            rc = next(p);
            if (!rc && is_op(p, ")"))
                return bad(p, p->start, "an argument is missing after the comma");
        } else if (!is_op(p, ")")) {
            return bad(p, p->start, "expected `,` or `)`");
        }
    }
    if (rc)
        return rc;
    if (e->arg_count < arities[which].min)
        return bad(p, p->start, "an argument is missing");
    return next(p);
}

/* How many words, joined by dots, make the name that begins with `first`. */
static size_t name_words(const char *first)
{
    if (!strcmp(first, "env") || !strcmp(first, "regions") || !strcmp(first, "run"))
        return 2;
    return !strcmp(first, "stages") ? 4 : 1;
}

/* env.X, stages.ID.outputs.NAME, ...; what follows are fields of the value. */
static int parse_name(struct mrp_expr *e, struct parser *p)
{
    size_t want = name_words(e->text);
    for (size_t n = 1; n < want; n++) {
        if (!is_op(p, "."))
            return bad(p, p->start,
                       n == 1 ? "expected `.` and a name"
                              : "expected `.outputs.NAME` or `.result`");
        int rc = next(p);
        if (rc)
            return rc;
        if (p->token != T_WORD && p->token != T_NUMBER)
            return bad(p, p->start, "expected a name after `.`");
        if (n == 2 && !strcmp(p->word, "result"))
            want = 3;
        else if (n == 2 && strcmp(p->word, "outputs") != 0)
            return bad(p, p->start, "a stage has `outputs.NAME` and `result`");
        char *longer = mrp_strf("%s.%s", e->text, p->word);
        if (!longer)
            return mrp_fail(p->err, MRP_E_NOMEM, "read an expression");
        free(e->text);
        e->text = longer;
        rc = next(p);
        if (rc)
            return rc;
    }
    return 0;
}

static int parse_word(struct mrp_expr **out, struct parser *p)
{
    bool yes = !strcmp(p->word, "true"), no = !strcmp(p->word, "false");
    int rc = new_node(out, p, yes || no ? MRP_EXPR_LITERAL : MRP_EXPR_NAME, p->start);
    if (rc)
        return rc;
    struct mrp_expr *e = *out;
    if (yes || no) {
        e->value = json_boolean(yes);
        return next(p);
    }
    e->text = mrp_take_str(&p->word);
    rc = next(p);
    if (rc)
        return rc;
    if (!is_op(p, "("))
        return parse_name(e, p);
    e->op = MRP_EXPR_CALL;
    return parse_call(e, p);
}

static int parse_literal(struct mrp_expr **out, struct parser *p)
{
    int rc = new_node(out, p, MRP_EXPR_LITERAL, p->start);
    if (rc)
        return rc;
    int64_t number;
    if (p->token == T_STRING)
        (*out)->value = json_string(p->word);
    else if (!mrp_parse_int(&number, p->word, INT64_MIN, INT64_MAX))
        (*out)->value = json_integer(number);
    else
        return bad(p, p->start, "not a whole number; text needs quotes");
    if (!(*out)->value)
        return mrp_fail(p->err, MRP_E_NOMEM, "read an expression");
    return next(p);
}

static int parse_primary(struct mrp_expr **out, struct parser *p)
{
    if (p->token == T_WORD)
        return parse_word(out, p);
    if (p->token == T_STRING || p->token == T_NUMBER)
        return parse_literal(out, p);
    if (is_op(p, "(")) {
        int rc = next(p);
        if (!rc)
            rc = parse_or(out, p);
        return rc ? rc : expect(p, ")", "expected `)`");
    }
    return bad(p, p->start, p->token == T_END ? "a value is missing" : "expected a value");
}

static int parse_postfix(struct mrp_expr **out, struct parser *p)
{
    int rc = parse_primary(out, p);
    while (!rc && (is_op(p, ".") || is_op(p, "["))) {
        bool field = is_op(p, ".");
        rc = next(p);
        if (!rc)
            rc = wrap(out, p, field ? MRP_EXPR_FIELD : MRP_EXPR_INDEX, p->start);
        if (rc)
            return rc;
        struct mrp_expr *e = *out;
        if (!field) {
            rc = parse_or(&e->arg[1], p);
            if (rc)
                return rc;
            e->arg_count = 2;
            rc = expect(p, "]", "expected `]`");
            continue;
        }
        if (p->token != T_WORD && p->token != T_NUMBER)
            return bad(p, p->start, "expected a name after `.`");
        e->text = mrp_take_str(&p->word);
        rc = next(p);
    }
    return rc;
}

static int parse_not(struct mrp_expr **out, struct parser *p)
{
    if (p->depth >= MRP_EXPR_DEPTH)
        return bad(p, p->start, "the expression is nested too deep");
    p->depth++;
    int rc;
    if (is_op(p, "!")) {
        rc = new_node(out, p, MRP_EXPR_NOT, p->start);
        if (!rc)
            rc = next(p);
        if (!rc)
            rc = parse_not(&(*out)->arg[0], p);
        if (!rc)
            (*out)->arg_count = 1;
    } else {
        rc = parse_postfix(out, p);
    }
    p->depth--;
    return rc;
}

static int parse_compare(struct mrp_expr **out, struct parser *p)
{
    int rc = parse_not(out, p);
    if (rc || (!is_op(p, "==") && !is_op(p, "!=")))
        return rc;
    rc = wrap(out, p, is_op(p, "==") ? MRP_EXPR_EQUAL : MRP_EXPR_DIFFER, p->start);
    if (!rc)
        rc = next(p);
    if (!rc)
        rc = parse_not(&(*out)->arg[1], p);
    if (!rc)
        (*out)->arg_count = 2;
    return rc;
}

static int parse_and(struct mrp_expr **out, struct parser *p)
{
    int rc = parse_compare(out, p);
    while (!rc && is_op(p, "&&")) {
        rc = wrap(out, p, MRP_EXPR_AND, p->start);
        if (!rc)
            rc = next(p);
        if (!rc)
            rc = parse_compare(&(*out)->arg[1], p);
        if (!rc)
            (*out)->arg_count = 2;
    }
    return rc;
}

static int parse_or(struct mrp_expr **out, struct parser *p)
{
    int rc = parse_and(out, p);
    while (!rc && is_op(p, "||")) {
        rc = wrap(out, p, MRP_EXPR_OR, p->start);
        if (!rc)
            rc = next(p);
        if (!rc)
            rc = parse_and(&(*out)->arg[1], p);
        if (!rc)
            (*out)->arg_count = 2;
    }
    return rc;
}

int mrp_expr_parse(struct mrp_expr **out,
                   const char *text,
                   size_t *at,
                   bool template,
                   struct mrp_error *err)
{
    struct parser p = {.text = text, .at = *at, .template = template, .err = err};
    mrp_auto(mrp_expr_free) struct mrp_expr *e = NULL;
    int rc = next(&p);
    if (!rc)
        rc = parse_or(&e, &p);
    if (!rc && p.token != T_END)
        rc = bad(&p, p.start, template ? "expected `}}`" : "expected the end of the expression");
    if (!rc && template && !text[p.at])
        rc = bad(&p, *at < 3 ? 0 : *at - 3, "`${{` without `}}`");
    mrp_free_str(&p.word);
    if (rc)
        return rc;
    *at = p.at + (template ? 2 : 0);
    *out = e;
    e = NULL;
    return 0;
}
