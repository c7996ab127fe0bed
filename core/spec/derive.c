/* Stages for a buildspec that has none: what `--to REGION` means. */
#include "buildspec.h"
#include "emit.h"
#include "source.h"
#include "yaml.h"

#include "keys.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SECTION_MAX (1 << 20)

/* ---- the imagedefinitions files ---- */

static bool is_definitions(const char *path)
{
    const char *name = mrp_basename(path);
    return mrp_starts(name, "imagedefinitions") && mrp_ends(name, ".json");
}

static bool is_glob(const char *path)
{
    return strpbrk(path, "*?[{") != NULL;
}

/* `base-directory` without the slash at its end; NULL if it is not a plain folder. */
static char *plain_base(const struct mrp_spec *spec)
{
    const char *base = mrp_json_str(spec->artifacts, "base-directory");
    if (!base || !*base || !strcmp(base, ".") || strpbrk(base, "*?[{$`"))
        return NULL;
    base += mrp_starts(base, "./") ? 2 : 0;
    size_t n = strlen(base);
    while (n > 1 && base[n - 1] == '/')
        n--;
    return n ? mrp_strndup(base, n) : NULL;
}

/* A path of a command as the artifacts block writes it. */
static const char *below_base(const struct mrp_spec *spec, const char *path)
{
    mrp_auto(mrp_free_str) char *base = plain_base(spec);
    size_t n = base ? strlen(base) : 0;
    return n && mrp_starts(path, base) && path[n] == '/' ? path + n + 1 : path;
}

/* Words like imagedefinitions_x.json in the commands that the pattern takes. */
static int find_in_commands(char ***files,
                            const struct mrp_spec *spec,
                            const char *pattern,
                            struct mrp_error *err)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./";
    for (int p = 0; p < MRP_PHASES; p++)
        for (size_t c = 0; c < spec->phases[p].command_count; c++) {
            const char *text = spec->phases[p].commands[c].text, *at = text;
            while ((at = strstr(at, "imagedefinitions"))) {
                const char *start = at;
                while (start > text && strchr(letters, start[-1]))
                    start--;
                size_t n = strspn(start, letters);
                mrp_auto(mrp_free_str) char *word = mrp_strndup(start, n);
                at = start + n;
                if (!word)
                    return mrp_fail(err, MRP_E_NOMEM, "derive stages");
                const char *path = below_base(spec, mrp_starts(word, "./") ? word + 2 : word);
                if (is_definitions(path) && *path != '/' && mrp_glob_match(pattern, path, true) &&
                    !mrp_strv_has(*files, path) && mrp_strv_add(files, path))
                    return mrp_fail(err, MRP_E_NOMEM, "derive stages");
            }
        }
    return 0;
}

static int definition_files(char ***files, const struct mrp_spec *spec, struct mrp_error *err)
{
    const json_t *list = mrp_json_arr(spec->artifacts, "files");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *path = json_string_value(json_array_get(list, i));
        if (!path)
            continue;
        path += mrp_starts(path, "./") ? 2 : 0;
        int rc = 0;
        if (is_glob(path))
            rc = find_in_commands(files, spec, path, err);
        else if (is_definitions(path) && !mrp_strv_has(*files, path) && mrp_strv_add(files, path))
            rc = mrp_fail(err, MRP_E_NOMEM, "derive stages");
        if (rc)
            return rc;
    }
    return 0;
}

/* NAME_secondary.json beside NAME_primary.json is the sibling that will be written. */
static bool is_sibling(char *const *files, const char *path)
{
    static const char ending[] = "_secondary.json";
    if (!mrp_ends(path, ending))
        return false;
    mrp_auto(mrp_free_str) char *first =
        mrp_strf("%.*s_primary.json", (int)(strlen(path) - strlen(ending)), path);
    return first && mrp_strv_has(files, first);
}

/* The path as the phases' folder sees it: files count from base-directory. */
static char *from_base(const struct mrp_spec *spec, const char *path)
{
    mrp_auto(mrp_free_str) char *base = plain_base(spec);
    return base ? mrp_strf("%s/%s", base, path) : mrp_strdup(path);
}

/* ---- the section ---- */

static json_t *needs_one(const char *id)
{
    return json_pack("[s]", id);
}

/* Text as a literal of an expression. */
static char *quoted(const char *text)
{
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(65536);
    mrp_buf_addc(&buf, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            mrp_buf_addc(&buf, '\'');
        mrp_buf_addc(&buf, *text);
    }
    mrp_buf_addc(&buf, '\'');
    return mrp_buf_take(&buf);
}

/* ecr/copy and ecs/imagedefinitions for one file. Returns the id of the last. */
static char *add_file(json_t *stages, const char *file, size_t number, const json_t *map)
{
    mrp_auto(mrp_free_str) char *tail = number ? mrp_strf("-%zu", number + 1) : mrp_strdup("");
    mrp_auto(mrp_free_str) char *literal = quoted(file);
    if (!tail || !literal)
        return NULL;
    json_t *with = json_object();
    mrp_json_put(with, "from", json_sprintf("${{ imagedefinitions(%s) }}", literal));
    mrp_json_puts(with, "to-regions", "${{ regions.secondary }}");
    if (json_object_size(map))
        mrp_json_put(with, "map", json_deep_copy(map));
    json_t *stage = json_object();
    mrp_json_put(stage, "id", json_sprintf("images%s", tail));
    mrp_json_puts(stage, "uses", "ecr/copy");
    if (number)
        mrp_json_put(stage, "needs", needs_one("build"));
    mrp_json_put(stage, "with", with);
    json_array_append_new(stages, stage);

    with = json_object();
    mrp_json_put(with, "images", json_sprintf("${{ stages.images%s.outputs.images }}", tail));
    mrp_json_puts(with, "from", file);
    stage = json_object();
    mrp_json_put(stage, "id", json_sprintf("definitions%s", tail));
    mrp_json_puts(stage, "uses", "ecs/imagedefinitions");
    mrp_json_put(stage, "with", with);
    json_array_append_new(stages, stage);
    return mrp_strf("definitions%s", tail);
}

static int make_stages(json_t **out,
                       const struct mrp_spec *spec,
                       char *const *files,
                       const json_t *map,
                       struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *stages = json_array();
    mrp_auto(mrp_free_json) json_t *last = json_array();
    size_t count = 0;
    for (size_t i = 0; files[i]; i++) {
        if (is_sibling(files, files[i]))
            continue;
        mrp_auto(mrp_free_str) char *path = from_base(spec, files[i]);
        mrp_auto(mrp_free_str) char *id = path ? add_file(stages, path, count++, map) : NULL;
        if (!id || json_array_append_new(last, json_string(id)))
            return mrp_fail(err, MRP_E_NOMEM, "derive stages");
    }
    json_t *package = json_object();
    mrp_json_puts(package, "id", "package");
    mrp_json_puts(package, "uses", "s3/package");
    if (count > 1)
        mrp_json_put(package, "needs", json_incref(last));
    json_array_append_new(stages, package);
    *out = mrp_take_json(&stages);
    return 0;
}

static int read_maps(json_t **out, char *const *maps, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *map = json_object();
    for (; maps && *maps; maps++) {
        const char *equal = strchr(*maps, '=');
        if (!equal || equal == *maps || !equal[1]) {
            mrp_fail(err, MRP_E_CONFIG, "--map %.100s is not REPOSITORY=REPOSITORY", *maps);
            return mrp_hint(err, "as in --map core=core-dr");
        }
        mrp_auto(mrp_free_str) char *from = mrp_strndup(*maps, (size_t)(equal - *maps));
        if (!from || mrp_json_puts(map, from, equal + 1))
            return mrp_fail(err, MRP_E_NOMEM, "derive stages");
    }
    *out = mrp_take_json(&map);
    return 0;
}

static json_t *make_regions(const struct mrp_derive *how)
{
    json_t *regions = json_object(), *list = json_array();
    mrp_json_puts(regions, "primary", how->primary && *how->primary ? how->primary : NULL);
    for (char *const *to = how->to; *to; to++)
        json_array_append_new(list, json_string(*to));
    mrp_json_put(regions, "secondary", list);
    return regions;
}

/* `defaults` of a section without stages: the derived stages get them too. */
static int read_defaults(json_t **out, struct mrp_spec *spec, struct mrp_error *err)
{
    const struct mrp_source *source = spec->sidecar ? spec->sidecar : spec->source;
    struct mrp_diags known = {0}; /* told when the file was loaded */
    mrp_auto(mrp_yaml_free) struct mrp_yaml *yaml = NULL;
    *out = NULL;
    if (!spec->pipeline.present || !source)
        return 0;
    int rc = mrp_yaml_load(&yaml, source, &known, err);
    mrp_diags_done(&known);
    if (rc)
        return rc;
    const struct mrp_yaml_node *root = mrp_yaml_root(yaml), *section = mrp_yaml_get(root, "mrpipe");
    if (!section && spec->sidecar)
        section = root;
    const struct mrp_yaml_node *defaults = mrp_yaml_get(section, "defaults");
    struct mrp_reader rd = {.diags = &known, .src = source};
    if (defaults && (!(*out = mrp_read_json(&rd, defaults)) || rd.nomem))
        return mrp_fail(err, MRP_E_NOMEM, "derive stages");
    return 0;
}

/* ---- from the section's text to stages, as if it had been a sidecar ---- */

static int read_section(struct mrp_spec *spec,
                        struct mrp_source **source,
                        struct mrp_diags *diags,
                        struct mrp_error *err)
{
    mrp_auto(mrp_yaml_free) struct mrp_yaml *yaml = NULL;
    int rc = mrp_yaml_load(&yaml, *source, diags, err);
    if (rc)
        return rc;
    size_t before = diags->errors;
    struct mrp_pipeline old = spec->pipeline;
    spec->pipeline = (struct mrp_pipeline){0};
    struct mrp_reader rd = {.diags = diags, .src = *source};
    const struct mrp_yaml_node *root = mrp_yaml_root(yaml);
    mrp_keys_check(&rd, root, &mrp_keys_file, "the derived stages");
    mrp_pipeline_read(&rd, spec, mrp_yaml_get(root, "mrpipe"));
    /* What a section without stages says besides stays in force. */
    if (old.present) {
        struct mrp_pipeline *p = &spec->pipeline;
        json_decref(p->endpoints);
        p->endpoints = json_incref(old.endpoints);
        p->pins = old.pins;
        p->pin_count = old.pin_count;
        p->jobs = old.jobs;
        old.pins = NULL;
        old.pin_count = 0;
        if (!p->primary) {
            p->primary = old.primary;
            old.primary = NULL;
        }
    }
    mrp_pipeline_done(&old);
    if (rd.nomem)
        return mrp_fail(err, MRP_E_NOMEM, "derive stages");
    if (diags->errors > before)
        return mrp_fail(err, MRP_E_CONFIG, "no stages can be derived from %s", spec->path);
    mrp_source_free(&spec->sidecar);
    spec->sidecar = *source;
    *source = NULL;
    return 0;
}

/* A pattern of the artifacts that may take image definitions; NULL: none. */
static const char *definitions_pattern(const struct mrp_spec *spec)
{
    const json_t *list = mrp_json_arr(spec->artifacts, "files");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *path = json_string_value(json_array_get(list, i));
        if (path && is_glob(path) &&
            (mrp_starts(mrp_basename(path), "imagedefinitions") ||
             mrp_glob_match(path, "imagedefinitions.json", true)))
            return path;
    }
    return NULL;
}

static int
nothing_to_derive(const struct mrp_spec *spec, struct mrp_diags *diags, struct mrp_error *err)
{
    static const char hint[] = "list the file that the phases write under `artifacts: files:`, or "
                               "write a `mrpipe:` section";
    int line = spec->artifacts_mark.line;
    const char *pattern = definitions_pattern(spec);
    mrp_auto(mrp_free_str) char *which =
        pattern
            ? mrp_strf("no command names an imagedefinitions*.json that `%.100s` takes", pattern)
            : mrp_strdup("no imagedefinitions*.json in `artifacts`");
    if (!which)
        return mrp_fail(err, MRP_E_NOMEM, "derive stages");
    mrp_diag_add(diags, false, spec->path, spec->artifacts_mark, line ? 9 : 1,
                 line ? mrp_spec_line(spec, line) : NULL, hint, "%s: --to has no image to copy",
                 which);
    return mrp_fail(err, MRP_E_CONFIG, "no stages can be derived from %s", spec->path);
}

int mrp_spec_derive(struct mrp_spec *spec,
                    const struct mrp_derive *how,
                    struct mrp_diags *diags,
                    struct mrp_error *err)
{
    mrp_auto(mrp_free_strv) char **files = NULL;
    mrp_auto(mrp_free_json) json_t *map = NULL;
    mrp_auto(mrp_free_json) json_t *stages = NULL;
    mrp_auto(mrp_free_json) json_t *defaults = NULL;
    int rc = definition_files(&files, spec, err);
    if (!rc && !mrp_strv_len(files))
        rc = nothing_to_derive(spec, diags, err);
    if (!rc)
        rc = read_maps(&map, how->maps, err);
    if (!rc)
        rc = make_stages(&stages, spec, files, map, err);
    if (!rc)
        rc = read_defaults(&defaults, spec, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_json) json_t *section = json_object();
    mrp_auto(mrp_free_json) json_t *file = json_object();
    mrp_json_put(section, "regions", make_regions(how));
    if (defaults)
        mrp_json_put(section, "defaults", mrp_take_json(&defaults));
    mrp_json_put(section, "stages", mrp_take_json(&stages));
    mrp_json_put(file, "mrpipe", mrp_take_json(&section));
    mrp_auto(mrp_buf_done) struct mrp_buf text = MRP_BUF_INIT(SECTION_MAX);
    mrp_emit_yaml(&text, file, 0);
    rc = mrp_buf_check(&text, "derived stages", err);
    mrp_auto(mrp_source_free) struct mrp_source *source = NULL;
    if (!rc)
        rc = mrp_source_new(&source, "(stages of --to)", mrp_buf_str(&text), text.len, err);
    return rc ? rc : read_section(spec, &source, diags, err);
}
