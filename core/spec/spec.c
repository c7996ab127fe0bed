/* Loading a spec: file, sidecar, tree, model. */
#include "spec.h"

#include "buildspec.h"
#include "keys.h"
#include "yaml.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void mrp_spec_free(struct mrp_spec **spec)
{
    if (!spec || !*spec)
        return;
    struct mrp_spec *s = *spec;
    free(s->path);
    free(s->version);
    free(s->run_as);
    free(s->shell);
    mrp_pairs_done(&s->variables);
    mrp_pairs_done(&s->parameter_store);
    mrp_pairs_done(&s->secrets_manager);
    mrp_free_strv(&s->exported);
    for (int i = 0; i < MRP_PHASES; i++)
        mrp_phase_done(&s->phases[i]);
    json_decref(s->artifacts);
    json_decref(s->cache);
    mrp_pipeline_done(&s->pipeline);
    mrp_source_free(&s->source);
    mrp_source_free(&s->sidecar);
    free(s);
    *spec = NULL;
}

/* A tree whose root is a map. */
static int load_tree(struct mrp_yaml **out,
                     const struct mrp_source *src,
                     struct mrp_diags *diags,
                     struct mrp_error *err)
{
    int rc = mrp_yaml_load(out, src, diags, err);
    if (rc)
        return rc;
    struct mrp_reader rd = {.diags = diags, .src = src};
    const struct mrp_yaml_node *root = mrp_yaml_root(*out);
    if (!root || (root->kind == MRP_YAML_SCALAR && root->null))
        mrp_problem_at(&rd, false, (struct mrp_mark){0}, 1,
                       "a buildspec begins with `version: 0.2`", "the file is empty");
    else if (root->kind != MRP_YAML_MAP)
        mrp_problem(&rd, false, root, "a buildspec begins with `version: 0.2`",
                    "the file must be a map, not %s",
                    root->kind == MRP_YAML_LIST ? "a list" : "text");
    else
        return 0;
    return MRP_E_CONFIG;
}

static void
read_main(struct mrp_reader *rd, struct mrp_spec *spec, const struct mrp_yaml_node *root)
{
    mrp_buildspec_read(rd, spec, root);
    const struct mrp_yaml_node *section = mrp_yaml_get(root, "mrpipe");
    if (section && !spec->sidecar)
        mrp_pipeline_read(rd, spec, section);
    else if (section)
        mrp_problem_at(rd, false, section->mark, 1, "keep one of the two",
                       "`mrpipe` stands here and in %s", spec->sidecar->path);
    if (!mrp_yaml_get(root, "phases") && !section && !spec->has_batch && !spec->sidecar)
        mrp_problem_at(rd, false, root->mark, 1,
                       "commands stand under `phases`, stages under `mrpipe`",
                       "the file has neither `phases` nor `mrpipe`");
}

static void
read_sidecar(struct mrp_reader *rd, struct mrp_spec *spec, const struct mrp_yaml_node *root)
{
    const struct mrp_yaml_node *section = mrp_yaml_get(root, "mrpipe");
    mrp_keys_check(rd, section ? section : root, &mrp_keys_pipeline,
                   section ? "`mrpipe`" : "the file");
    for (size_t i = 0; section && i < root->count; i++)
        if (strcmp(root->items[2 * i]->text, "mrpipe") != 0)
            mrp_problem(rd, true, root->items[2 * i], NULL,
                        "only `mrpipe` is read from this file, not `%.100s`",
                        root->items[2 * i]->text);
    mrp_pipeline_read(rd, spec, section ? section : root);
}

/* Takes over both sources. */
static int build(struct mrp_spec **out,
                 struct mrp_diags *diags,
                 const char *path,
                 struct mrp_source **source,
                 struct mrp_source **sidecar,
                 struct mrp_error *err)
{
    size_t before = diags->errors;
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = calloc(1, sizeof *spec);
    if (!spec)
        return mrp_fail(err, MRP_E_NOMEM, "read %s", path);
    spec->source = *source;
    *source = NULL;
    if (sidecar) {
        spec->sidecar = *sidecar;
        *sidecar = NULL;
    }
    spec->path = mrp_strdup(path);
    mrp_auto(mrp_yaml_free) struct mrp_yaml *yaml = NULL;
    mrp_auto(mrp_yaml_free) struct mrp_yaml *extra = NULL;
    int rc = load_tree(&yaml, spec->source, diags, err);
    struct mrp_reader rd = {.diags = diags, .src = spec->source, .nomem = !spec->path};
    if (!rc)
        read_main(&rd, spec, mrp_yaml_root(yaml));
    int side = 0;
    if (spec->sidecar && rc != MRP_E_NOMEM) {
        side = load_tree(&extra, spec->sidecar, diags, err);
        rd.src = spec->sidecar;
        if (!side)
            read_sidecar(&rd, spec, mrp_yaml_root(extra));
    }
    if (rd.nomem || rc == MRP_E_NOMEM || side == MRP_E_NOMEM)
        return mrp_fail(err, MRP_E_NOMEM, "read %s", path);
    size_t errors = diags->errors - before;
    if (errors)
        return mrp_fail(err, MRP_E_CONFIG, "%s: %zu problem%s", path, errors,
                        errors == 1 ? "" : "s");
    *out = spec;
    spec = NULL;
    return 0;
}

int mrp_spec_parse(struct mrp_spec **out,
                   struct mrp_diags *diags,
                   const char *path,
                   const char *text,
                   size_t len,
                   struct mrp_error *err)
{
    return mrp_spec_parse_words(out, diags, path, text, len, NULL, err);
}

int mrp_spec_parse_words(struct mrp_spec **out,
                         struct mrp_diags *diags,
                         const char *path,
                         const char *text,
                         size_t len,
                         char *const *words,
                         struct mrp_error *err)
{
    mrp_auto(mrp_source_free) struct mrp_source *src = NULL;
    int rc = mrp_source_new(&src, path, text, len, err);
    for (size_t i = 0; !rc && words && words[i]; i++)
        if (mrp_strv_add(&src->words, words[i]))
            rc = mrp_fail(err, MRP_E_NOMEM, "read %s", path);
    if (!rc)
        return build(out, diags, path, &src, NULL, err);
    if (rc == MRP_E_CONFIG && err)
        mrp_diag_add(diags, false, path, (struct mrp_mark){0}, 1, NULL, err->hint,
                     "larger than 1 MiB, the limit for a spec");
    return rc;
}

/* A file that is too big is a problem of the spec like any other. */
static int read_source(struct mrp_source **out,
                       struct mrp_diags *diags,
                       const char *path,
                       struct mrp_error *err)
{
    int rc = mrp_source_read(out, path, err);
    if (rc == MRP_E_CONFIG)
        mrp_diag_add(diags, false, path, (struct mrp_mark){0}, 1, NULL,
                     "is this the right file? move long commands into scripts",
                     "larger than 1 MiB, the limit for a spec");
    return rc;
}

int mrp_spec_load(struct mrp_spec **out,
                  struct mrp_diags *diags,
                  const char *path,
                  const char *sidecar,
                  struct mrp_error *err)
{
    mrp_auto(mrp_source_free) struct mrp_source *src = NULL;
    mrp_auto(mrp_source_free) struct mrp_source *side = NULL;
    int rc = read_source(&src, diags, path, err);
    if (!rc && sidecar)
        rc = read_source(&side, diags, sidecar, err);
    if (rc)
        return rc;
    return build(out, diags, path, &src, sidecar ? &side : NULL, err);
}

struct mrp_mark mrp_value_mark(const struct mrp_value *value, const char *path)
{
    mrp_auto(mrp_free_str) char *part = mrp_strdup(path ? path : "");
    while (part && *part) {
        const json_t *place = json_object_get(value->marks, part);
        if (json_is_array(place))
            return (struct mrp_mark){(int)json_integer_value(json_array_get(place, 0)),
                                     (int)json_integer_value(json_array_get(place, 1))};
        /* Not known: the nearest part above it. */
        char *dot = strrchr(part, '.'), *bracket = strrchr(part, '[');
        char *cut = dot && (!bracket || dot > bracket) ? dot : bracket;
        if (!cut)
            break;
        *cut = '\0';
    }
    return value->mark;
}

const char *mrp_spec_line(const struct mrp_spec *spec, int line)
{
    return mrp_source_line(spec->source, line);
}

bool mrp_spec_is_words(const struct mrp_spec *spec)
{
    return spec->source && spec->source->words;
}

const char *mrp_spec_word(const struct mrp_spec *spec, int line)
{
    return mrp_source_word(spec->source, line);
}

const char *mrp_spec_stage_file(const struct mrp_spec *spec)
{
    return spec->sidecar ? spec->sidecar->path : spec->source ? spec->source->path : spec->path;
}

void mrp_spec_stage_problem(struct mrp_diags *diags,
                            const struct mrp_spec *spec,
                            bool warning,
                            struct mrp_mark mark,
                            int width,
                            const char *hint,
                            const char *fmt,
                            ...)
{
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(16384);
    va_list args;
    va_start(args, fmt);
    mrp_buf_addv(&buf, fmt, args);
    va_end(args);
    const struct mrp_source *src = spec->sidecar ? spec->sidecar : spec->source;
    mrp_source_problem(src, diags, warning, mark, width, hint,
                       buf.failed ? "(the message is too long)" : mrp_buf_str(&buf));
}
