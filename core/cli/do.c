/* mrpipe do: one action without a spec, by way of a spec of one stage. */
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* KEY=VALUE or KEY:=JSON into `with`. A key given twice is an error. */
static int add_pair(json_t *with, const char *word, struct mrp_error *err)
{
    size_t n = strcspn(word, "=");
    if (n == 0 || word[n] != '=') {
        mrp_fail(err, MRP_E_CONFIG, "`%s` is no KEY=VALUE", word);
        return mrp_hint(err, "lists and maps are written KEY:=JSON");
    }
    bool as_json = n > 1 && word[n - 1] == ':';
    mrp_auto(mrp_free_str) char *key = mrp_strndup(word, as_json ? n - 1 : n);
    const char *text = word + n + 1;
    if (!key)
        return mrp_fail(err, MRP_E_NOMEM, "no memory");
    if (!mrp_is_text(word, strlen(word)))
        return mrp_fail(err, MRP_E_CONFIG, "%s: the value is not UTF-8 text", key);
    if (json_object_get(with, key))
        return mrp_fail(err, MRP_E_CONFIG, "%s is given twice", key);
    json_t *value = NULL;
    if (as_json) {
        json_error_t problem;
        value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &problem);
        if (!value) {
            mrp_fail(err, MRP_E_CONFIG, "%s: not JSON: %s", key, problem.text);
            return mrp_hint(err, "for plain text write %s=VALUE", key);
        }
    } else {
        value = json_string(text);
    }
    return mrp_json_put(with, key, value) ? mrp_fail(err, MRP_E_NOMEM, "no memory") : MRP_OK;
}

static json_t *regions_of(const struct mrp_cli_args *args)
{
    json_t *regions = json_object();
    mrp_json_puts(regions, "primary", args->region ? args->region : mrp_cli_env_region());
    json_t *others = args->to ? json_array() : NULL;
    for (size_t i = 0; args->to && args->to[i]; i++)
        json_array_append_new(others, json_string(args->to[i]));
    if (others)
        mrp_json_put(regions, "secondary", others);
    return regions;
}

/* The spec as JSON, which is YAML: problems found in it carry the place of the value. */
static int make_text(char **out, const struct mrp_cli_args *args, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *with = json_object();
    for (size_t i = 1; i < args->operand_count; i++) {
        int rc = add_pair(with, args->operands[i], err);
        if (rc)
            return rc;
    }
    const char *uses = args->operands[0], *slash = strchr(uses, '/');
    mrp_auto(mrp_free_json) json_t *stage = json_object();
    mrp_json_puts(stage, "id", args->id ? args->id : slash ? slash + 1 : uses);
    mrp_json_puts(stage, "uses", uses);
    mrp_json_puts(stage, "region", args->region);
    if (json_object_size(with) > 0)
        mrp_json_put(stage, "with", mrp_take_json(&with));
    json_t *stages = json_array();
    json_array_append_new(stages, mrp_take_json(&stage));
    json_t *section = json_object();
    json_t *regions = regions_of(args);
    if (json_object_size(regions) > 0)
        mrp_json_put(section, "regions", regions);
    else
        json_decref(regions);
    mrp_json_put(section, "stages", stages);
    mrp_auto(mrp_free_json) json_t *whole = json_object();
    mrp_json_puts(whole, "version", "0.2");
    mrp_json_put(whole, "mrpipe", section);
    char *text = json_dumps(whole, JSON_INDENT(1));
    if (!text)
        return mrp_fail(err, MRP_E_NOMEM, "no memory");
    *out = text;
    return MRP_OK;
}

int mrp_cli_do(const struct mrp_cli_args *args)
{
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    mrp_auto(mrp_free_str) char *text = NULL;
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    if (!strchr(args->operands[0], '/')) {
        mrp_fail(&err, MRP_E_CONFIG, "`%s` is no PLUGIN/ACTION", args->operands[0]);
        mrp_hint(&err, "`mrpipe plugins` lists them, such as ecr/copy");
        (void)mrp_cli_fail(args, &err);
        return MRP_EXIT_USAGE;
    }
    if (make_text(&text, args, &err)) {
        (void)mrp_cli_fail(args, &err);
        return MRP_EXIT_USAGE;
    }
    int rc = mrp_spec_parse(&spec, &diags, "command line", text, strlen(text), &err);
    mrp_cli_diags(args, &diags);
    if (rc && diags.errors == 0)
        (void)mrp_cli_fail(args, &err);
    mrp_diags_done(&diags);
    if (rc)
        return mrp_cli_exit(rc);
    /* One stage, so nobody else reads it. A terminal would stop a worker that reads it, since
     * workers are no foreground processes. */
    struct mrp_cli_args own = *args;
    own.with_stdin = fcntl(STDIN_FILENO, F_GETFD) >= 0 && !isatty(STDIN_FILENO);
    return mrp_cli_carry_out(spec, args->dry_run ? MRP_MODE_PLAN : MRP_MODE_RUN, &own);
}
