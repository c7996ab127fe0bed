/* The buildspec: version, environment, artifacts, cache; the phases are in phases.c. */
#include "buildspec.h"

#include "keys.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool mrp_is_variable(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

/* ---- env ---- */

static const char *const shells[] = {"/bin/sh", "sh", "/bin/bash", "bash"};

static void
read_shell(struct mrp_reader *rd, struct mrp_spec *spec, const struct mrp_yaml_node *env)
{
    const struct mrp_yaml_node *node = mrp_yaml_get(env, "shell");
    const char *text = mrp_yaml_text(node);
    if (!text)
        return;
    spec->shell = mrp_read_copy(rd, text);
    for (size_t i = 0; i < MRP_COUNT(shells); i++)
        if (!strcmp(text, shells[i]))
            return;
    if (mrp_ends(text, ".exe") || !strcmp(text, "pwsh") || !strcmp(text, "powershell"))
        mrp_problem(rd, false, node, "the shells are /bin/sh and bash",
                    "the Windows shell `%.60s` cannot be used here", text);
    else
        mrp_problem(rd, false, node, "the shells are /bin/sh and bash", "unknown shell `%.60s`",
                    text);
}

static const char *const blocks[] = {"variables", "parameter-store", "secrets-manager"};

/* Names of one block: fit for a shell, not CodeBuild's own, not in a block before. */
static void check_names(struct mrp_reader *rd, const struct mrp_yaml_node *env, size_t block)
{
    const struct mrp_yaml_node *map = mrp_yaml_get(env, blocks[block]);
    for (size_t i = 0; mrp_yaml_is(map, MRP_YAML_MAP) && i < map->count; i++) {
        const struct mrp_yaml_node *key = map->items[2 * i], *value = map->items[2 * i + 1];
        if (!mrp_is_variable(key->text))
            mrp_problem(rd, true, key, "letters, digits and _ only",
                        "the shell cannot read a variable named `%.100s`", key->text);
        else if (mrp_starts(key->text, "CODEBUILD_"))
            mrp_problem(rd, true, key, "choose another name",
                        "`%.100s`: names that begin with CODEBUILD_ are reserved", key->text);
        for (size_t b = 0; b < block; b++)
            if (mrp_yaml_get(mrp_yaml_get(env, blocks[b]), key->text))
                mrp_problem(rd, true, key, NULL, "`%.100s` is also in `%s`", key->text, blocks[b]);
        const char *text = mrp_yaml_text(value);
        const char *dollar = text && block == 0 ? strchr(text, '$') : NULL;
        if (dollar && (isalpha((unsigned char)dollar[1]) || dollar[1] == '{' || dollar[1] == '('))
            mrp_problem(rd, true, value, "set it in a command if it is to be expanded",
                        "`$` in `variables` is literal: CodeBuild does not expand it");
        if (block > 0 && value->kind == MRP_YAML_SCALAR && (!text || !*text))
            mrp_problem(rd, false, key, NULL, "`%.100s` names no %s", key->text,
                        block == 1 ? "parameter" : "secret");
    }
}

/* secret-id[:json-key[:version-stage[:version-id]]]; an ARN has seven fields of its own. */
static void check_secret(struct mrp_reader *rd, const struct mrp_yaml_node *value)
{
    const char *text = mrp_yaml_text(value);
    if (!text)
        return;
    const char *rest = text;
    size_t own = mrp_starts(text, "arn:") ? 7 : 1;
    for (size_t i = 0; i < own; i++) {
        const char *colon = strchr(rest, ':');
        if (!colon && i + 1 < own) {
            mrp_problem(rd, false, value, NULL, "`%.200s` is not the full ARN of a secret", text);
            return;
        }
        rest = colon ? colon + 1 : rest + strlen(rest);
    }
    size_t field = 0;
    bool stage = false, id = false;
    for (const char *p = rest; *p; field++) {
        size_t n = strcspn(p, ":");
        stage |= field == 1 && n;
        id |= field == 2 && n;
        p += n + (p[n] == ':');
    }
    static const char form[] = "secret-id[:json-key[:version-stage[:version-id]]]";
    if (*text == ':')
        mrp_problem(rd, false, value, form, "`%.200s` has no secret id", text);
    else if (field > 3)
        mrp_problem(rd, false, value, form, "`%.200s` has too many `:` fields", text);
    else if (stage && id)
        mrp_problem(rd, false, value, "give one of them",
                    "`%.200s` has a version stage and a version id", text);
}

static void check_exported(struct mrp_reader *rd, const struct mrp_yaml_node *env)
{
    const struct mrp_yaml_node *list = mrp_yaml_get(env, "exported-variables");
    for (size_t i = 0; mrp_yaml_is(list, MRP_YAML_LIST) && i < list->count; i++) {
        const struct mrp_yaml_node *item = list->items[i];
        const char *text = mrp_yaml_text(item);
        if (!text)
            continue;
        if (mrp_starts(text, "AWS_"))
            mrp_problem(rd, true, item, NULL,
                        "`%.100s` is not exported: names that begin with AWS_ never are", text);
        else if (mrp_yaml_get(mrp_yaml_get(env, blocks[1]), text) ||
                 mrp_yaml_get(mrp_yaml_get(env, blocks[2]), text))
            mrp_problem(rd, true, item, NULL, "`%.100s` is not exported: it is a secret", text);
        else if (!mrp_is_variable(text))
            mrp_problem(rd, true, item, NULL, "`%.100s` is not a variable's name", text);
    }
}

static void read_env(struct mrp_reader *rd, struct mrp_spec *spec, const struct mrp_yaml_node *root)
{
    const struct mrp_yaml_node *env = mrp_yaml_get(root, "env");
    const struct mrp_yaml_node *old = rd->old ? mrp_yaml_get(root, "environment_variables") : NULL;
    if (mrp_yaml_is(old, MRP_YAML_MAP)) {
        mrp_read_pairs(rd, &spec->variables, mrp_yaml_get(old, "plaintext"));
        mrp_read_pairs(rd, &spec->parameter_store, mrp_yaml_get(old, "parameter-store"));
        if (env)
            mrp_problem(rd, false, env, "use one of them",
                        "`env` and `environment_variables` in one file");
    } else if (mrp_yaml_is(env, MRP_YAML_MAP)) {
        read_shell(rd, spec, env);
        for (size_t i = 0; i < MRP_COUNT(blocks); i++)
            check_names(rd, env, i);
        const struct mrp_yaml_node *secrets = mrp_yaml_get(env, blocks[2]);
        for (size_t i = 0; mrp_yaml_is(secrets, MRP_YAML_MAP) && i < secrets->count; i++)
            check_secret(rd, secrets->items[2 * i + 1]);
        check_exported(rd, env);
        mrp_read_pairs(rd, &spec->variables, mrp_yaml_get(env, blocks[0]));
        mrp_read_pairs(rd, &spec->parameter_store, mrp_yaml_get(env, blocks[1]));
        mrp_read_pairs(rd, &spec->secrets_manager, secrets);
        const char *helper = mrp_yaml_text(mrp_yaml_get(env, "git-credential-helper"));
        bool yes = false;
        spec->git_credential_helper = helper && !mrp_parse_bool(&yes, helper) && yes;
        if (spec->git_credential_helper)
            mrp_problem(rd, true, mrp_yaml_get(env, "git-credential-helper"),
                        "git config credential.helper '!aws codecommit credential-helper $@'",
                        "`git-credential-helper` is not set up here: git asks its own helpers");
    }
    spec->exported = mrp_read_texts(rd, mrp_yaml_get(env, "exported-variables"));
}

/* ---- artifacts and cache ---- */

static json_t *as_list(struct mrp_reader *rd, json_t *value)
{
    json_t *list = json_array();
    if (!list || (json_is_string(value) && json_array_append(list, value)))
        rd->nomem = true;
    return list;
}

/* The block as JSON of text; what is documented as a list becomes one, nulls go. */
static json_t *
read_block(struct mrp_reader *rd, const struct mrp_yaml_node *map, const char *const *lists)
{
    json_t *out = mrp_read_json(rd, map);
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(out, next, key, value) if (json_is_null(value))
        json_object_del(out, key);
    for (; *lists; lists++) {
        value = json_object_get(out, *lists);
        if (json_is_string(value) && json_object_set_new(out, *lists, as_list(rd, value)))
            rd->nomem = true;
    }
    return out;
}

static const char *const pack_lists[] = {"files", "exclude-paths", NULL};
static const char *const cache_lists[] = {"paths", "fallback-keys", NULL};

static void
check_pack(struct mrp_reader *rd, const struct mrp_yaml_node *map, const struct mrp_yaml_node *name)
{
    const struct mrp_yaml_node *files = mrp_yaml_get(map, "files");
    if (!files || (files->kind == MRP_YAML_LIST && !files->count))
        mrp_problem(rd, true, name, "add `files:` with a list of paths or globs",
                    "`%.100s` has no `files`: nothing is packed", name->text);
}

static bool valid_artifact_id(const char *id)
{
    size_t n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return n && n < 128 && !id[n];
}

static void read_artifacts(struct mrp_reader *rd,
                           struct mrp_spec *spec,
                           const struct mrp_yaml_node *name,
                           const struct mrp_yaml_node *map)
{
    if (!mrp_yaml_is(map, MRP_YAML_MAP))
        return;
    check_pack(rd, map, name);
    spec->artifacts_mark = name->mark;
    spec->artifacts = read_block(rd, map, pack_lists);
    json_t *secondary = mrp_json_obj(spec->artifacts, "secondary-artifacts");
    const struct mrp_yaml_node *all = mrp_yaml_get(map, "secondary-artifacts");
    for (size_t i = 0; mrp_yaml_is(all, MRP_YAML_MAP) && i < all->count; i++) {
        const struct mrp_yaml_node *id = all->items[2 * i], *block = all->items[2 * i + 1];
        if (!valid_artifact_id(id->text))
            mrp_problem(rd, false, id, "letters, digits and _, at most 127",
                        "`%.140s` is not an artifact id", id->text);
        if (block->kind != MRP_YAML_MAP)
            continue;
        check_pack(rd, block, id);
        if (json_object_set_new(secondary, id->text, read_block(rd, block, pack_lists)))
            rd->nomem = true;
    }
}

static void
read_cache(struct mrp_reader *rd, struct mrp_spec *spec, const struct mrp_yaml_node *map)
{
    if (!mrp_yaml_is(map, MRP_YAML_MAP))
        return;
    const struct mrp_yaml_node *fallback = mrp_yaml_get(map, "fallback-keys");
    if (mrp_yaml_is(fallback, MRP_YAML_LIST) && fallback->count > 5)
        mrp_problem(rd, false, fallback->items[5], NULL, "more than 5 `fallback-keys`");
    if (fallback && !mrp_yaml_get(map, "key"))
        mrp_problem(rd, true, fallback, "add `key:`", "`fallback-keys` without `key` are ignored");
    spec->cache = read_block(rd, map, cache_lists);
}

/* ---- reports and batch: checked only ---- */

static const char *const formats[] = {
    "CUCUMBERJSON",    "JUNITXML",  "NUNITXML",     "NUNIT3XML", "TESTNGXML",
    "VISUALSTUDIOTRX", "CLOVERXML", "COBERTURAXML", "JACOCOXML", "SIMPLECOV"};

static void check_reports(struct mrp_reader *rd, const struct mrp_yaml_node *map)
{
    for (size_t i = 0; mrp_yaml_is(map, MRP_YAML_MAP) && i < map->count; i++) {
        const struct mrp_yaml_node *group = map->items[2 * i + 1];
        if (i == 5)
            mrp_problem(rd, false, map->items[2 * i], NULL, "more than 5 report groups");
        const struct mrp_yaml_node *node = mrp_yaml_get(group, "file-format");
        const char *text = mrp_yaml_text(node);
        bool known = !text;
        for (size_t f = 0; !known && f < MRP_COUNT(formats); f++)
            known = !strcasecmp(text, formats[f]);
        if (!known) {
            mrp_auto(mrp_free_str) char *hint = mrp_did_you_mean(text, formats, MRP_COUNT(formats));
            mrp_problem(rd, false, node, hint, "unknown report format `%.60s`", text);
        }
        if (mrp_yaml_is(group, MRP_YAML_MAP) && !mrp_yaml_get(group, "files"))
            mrp_problem(rd, false, map->items[2 * i], NULL, "report group `%.100s` has no `files`",
                        map->items[2 * i]->text);
    }
}

static void
read_version(struct mrp_reader *rd, struct mrp_spec *spec, const struct mrp_yaml_node *root)
{
    const struct mrp_yaml_node *node = mrp_yaml_get(root, "version");
    const char *text = mrp_yaml_text(node);
    rd->old = text && !strcmp(text, "0.1");
    spec->version = mrp_read_copy(rd, rd->old ? "0.1" : "0.2");
    if (!node && mrp_yaml_get(root, "phases"))
        mrp_problem_at(rd, false, root->mark, 1, "put `version: 0.2` before it",
                       "`version` is missing");
}

static const struct mrp_yaml_node *key_of(const struct mrp_yaml_node *map, const char *name)
{
    for (size_t i = 0; i < map->count; i++)
        if (!strcmp(map->items[2 * i]->text, name))
            return map->items[2 * i];
    return NULL;
}

void mrp_buildspec_read(struct mrp_reader *rd,
                        struct mrp_spec *spec,
                        const struct mrp_yaml_node *root)
{
    read_version(rd, spec, root);
    mrp_keys_check(rd, root, &mrp_keys_file, "the file");
    spec->run_as = mrp_read_copy(rd, mrp_yaml_text(mrp_yaml_get(root, "run-as")));
    read_env(rd, spec, root);
    const struct mrp_yaml_node *phases = mrp_yaml_get(root, "phases");
    if (phases)
        mrp_phases_read(rd, spec, phases);
    read_artifacts(rd, spec, key_of(root, "artifacts"), mrp_yaml_get(root, "artifacts"));
    read_cache(rd, spec, mrp_yaml_get(root, "cache"));
    check_reports(rd, mrp_yaml_get(root, "reports"));
    spec->has_reports = mrp_yaml_get(root, "reports") != NULL;
    spec->has_batch = mrp_yaml_get(root, "batch") != NULL;
    if (spec->has_reports)
        mrp_problem(rd, true, key_of(root, "reports"), NULL,
                    "`reports` are not sent: this run only checks them");
    if (mrp_yaml_get(root, "cache"))
        mrp_problem(rd, true, key_of(root, "cache"), NULL,
                    "`cache` is not kept: this run restores and saves nothing");
    if (spec->has_batch)
        mrp_problem(rd, true, key_of(root, "batch"), NULL,
                    "`batch` is not run: this run carries out the phases of this file");
}
