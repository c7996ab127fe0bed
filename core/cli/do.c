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

/* The spec as JSON, which is YAML, and the word of the command line that each of its lines stands
 * for. */
struct lines {
    struct mrp_buf text;
    char **words;
};

static void lines_done(struct lines *l)
{
    mrp_buf_done(&l->text);
    mrp_free_strv(&l->words);
}

/* `word`: "" for what was not typed. What follows a `=` may be long or secret: the key will do. */
static int add_line(struct lines *l, const char *word, const char *json)
{
    size_t n = strcspn(word, "=");
    mrp_auto(mrp_free_str) char *shown =
        word[n] && word[n + 1] ? mrp_strf("%.*s=...", (int)n, word) : mrp_strdup(word);
    for (char *c = shown; c && *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            *c = '?';
    if (!shown || mrp_strv_add(&l->words, shown))
        l->text.failed = true;
    /* YAML knows more ends of a line than JSON */
    static const struct {
        const char *raw, *safe;
    } ends[] = {{"\xC2\x85", "\\u0085"}, {"\xE2\x80\xA8", "\\u2028"}, {"\xE2\x80\xA9", "\\u2029"}};
    for (const char *p = json; *p;) {
        size_t i = 0;
        while (i < MRP_COUNT(ends) && !mrp_starts(p, ends[i].raw))
            i++;
        if (i < MRP_COUNT(ends)) {
            mrp_buf_adds(&l->text, ends[i].safe);
            p += strlen(ends[i].raw);
        } else {
            mrp_buf_addc(&l->text, *p++);
        }
    }
    mrp_buf_addc(&l->text, '\n');
    return l->text.failed ? -1 : 0;
}

/* `"key": value` and what follows it. */
static int
add_member(struct lines *l, const char *word, const char *key, const json_t *value, const char *end)
{
    mrp_auto(mrp_free_json) json_t *name = json_string(key);
    mrp_auto(mrp_free_str) char *left = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    mrp_auto(mrp_free_str) char *right = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    mrp_auto(mrp_free_str) char *line =
        left && right ? mrp_strf("%s: %s%s", left, right, end) : NULL;
    return line ? add_line(l, word, line) : -1;
}

static int
add_text(struct lines *l, const char *word, const char *key, const char *text, const char *end)
{
    mrp_auto(mrp_free_json) json_t *value = json_string(text);
    return text ? add_member(l, word, key, value, end) : 0;
}

static int add_regions(struct lines *l, const struct mrp_cli_args *args)
{
    const char *primary = args->region ? args->region : mrp_cli_env_region();
    mrp_auto(mrp_free_json) json_t *others = args->to ? json_array() : NULL;
    for (size_t i = 0; args->to && args->to[i]; i++)
        json_array_append_new(others, json_string(args->to[i]));
    if (!primary && !others)
        return 0;
    int rc = add_line(l, "", "\"regions\": {");
    rc |= add_text(l, args->region ? "--region" : "the region of the environment", "primary",
                   primary, others ? "," : "");
    if (others)
        rc |= add_member(l, "--to", "secondary", others, "");
    return rc | add_line(l, "", "},");
}

static int check_text(const char *text, struct mrp_error *err)
{
    return !text || mrp_is_text(text, strlen(text))
               ? MRP_OK
               : mrp_fail(err, MRP_E_CONFIG, "a word of the command line is not UTF-8 text");
}

/* Each word on a line of its own, so that a problem with the line is one with the word. */
static int make_lines(struct lines *l, const struct mrp_cli_args *args, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *with = json_object();
    for (size_t i = 1; i < args->operand_count; i++) {
        int rc = add_pair(with, args->operands[i], err);
        if (rc)
            return rc;
    }
    const char *uses = args->operands[0], *slash = strchr(uses, '/');
    if (check_text(uses, err) || check_text(args->id, err) || check_text(args->region, err))
        return err->code;
    for (size_t i = 0; args->to && args->to[i]; i++)
        if (check_text(args->to[i], err))
            return err->code;
    int rc = add_line(l, "", "{\"version\": \"0.2\", \"mrpipe\": {");
    rc |= add_regions(l, args);
    rc |= add_line(l, "", "\"stages\": [{");
    rc |= add_text(l, args->id ? "--id" : uses, "id", args->id ? args->id : slash + 1, ",");
    rc |= add_text(l, uses, "uses", uses, json_object_size(with) ? "," : "");
    if (json_object_size(with))
        rc |= add_line(l, "", "\"with\": {");
    size_t word = 1; /* an object keeps the order of its keys */
    for (void *it = json_object_iter(with); it; it = json_object_iter_next(with, it), word++)
        rc |= add_member(l, args->operands[word], json_object_iter_key(it),
                         json_object_iter_value(it), word + 1 < args->operand_count ? "," : "}");
    rc |= add_line(l, "", "}]}}");
    return rc ? mrp_fail(err, MRP_E_NOMEM, "no memory") : MRP_OK;
}

int mrp_cli_do(const struct mrp_cli_args *args)
{
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    mrp_auto(lines_done) struct lines lines = {.text = MRP_BUF_INIT(2u << 20)};
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    if (!strchr(args->operands[0], '/')) {
        mrp_fail(&err, MRP_E_CONFIG, "`%s` is no PLUGIN/ACTION", args->operands[0]);
        mrp_hint(&err, "`mrpipe plugins` lists them, such as ecr/copy");
        (void)mrp_cli_fail(args, &err);
        return MRP_EXIT_USAGE;
    }
    if (make_lines(&lines, args, &err)) {
        (void)mrp_cli_fail(args, &err);
        return MRP_EXIT_USAGE;
    }
    int rc = mrp_spec_parse_words(&spec, &diags, "command line", mrp_buf_str(&lines.text),
                                  lines.text.len, lines.words, &err);
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
