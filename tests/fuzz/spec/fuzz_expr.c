/* Any text as an expression: filled, tested, its names listed. */
#include "expr.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int lookup(void *arg, json_t **out, const char *name, struct mrp_error *err)
{
    (void)arg;
    if (mrp_starts(name, "regions."))
        *out = json_pack("[ss]", "us-east-1", "eu-west-1");
    else if (mrp_starts(name, "stages."))
        *out = json_pack("{s:{s:i},s:[b]}", "a", "b", 1, "c", 1);
    else if (mrp_starts(name, "env."))
        *out = json_string(name);
    else
        return mrp_fail(err, MRP_E_NOTFOUND, "unknown `%s`", name);
    return 0;
}

static int on_name(void *arg, const char *path, const char *name, int offset, struct mrp_error *err)
{
    (void)err;
    *(size_t *)arg += strlen(path) + strlen(name) + (size_t)offset;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrp_scope scope = {.lookup = lookup, .files_ready = false};
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *text = mrp_strndup((const char *)data, size);
    mrp_auto(mrp_free_json) json_t *in = json_string(text);
    if (!in)
        return 0;
    bool yes = false;
    size_t sum = 0;
    mrp_auto(mrp_free_json) json_t *out = NULL;
    mrp_auto(mrp_free_str) char *path = NULL;
    (void)mrp_expr_test(&yes, text, &scope, &err);
    (void)mrp_expr_fill(&out, in, &scope, &path, &err);
    (void)mrp_expr_names(in, on_name, &sum, &err);
    (void)mrp_expr_literals(in, &scope, NULL, &err);
    (void)mrp_expr_condition_literals(text, &scope, &err);
    return 0;
}
