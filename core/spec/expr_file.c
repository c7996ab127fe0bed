/* The functions of expressions that read files of the work directory. */
#include "expr_eval.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1 << 20)
#define IMAGES_MAX 1000 /* containers in one file */

/* The entries of [{"name": ..., "imageUri": ...}, ...], each once, in order. */
static int image_list(json_t **out, const json_t *file, const char *path, struct mrp_error *err)
{
    if (!json_is_array(file) || !json_array_size(file) || json_array_size(file) > IMAGES_MAX) {
        mrp_fail(err, MRP_E_CONFIG, "%s is not a list of images", path);
        return mrp_hint(err, "its form is [{\"name\": \"container\", \"imageUri\": \"...\"}]");
    }
    mrp_auto(mrp_free_json) json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(file); i++) {
        const json_t *item = json_array_get(file, i);
        const char *name = mrp_json_str(item, "name"), *uri = mrp_json_str(item, "imageUri");
        if (!name || !*name || !uri || !*uri)
            return mrp_fail(err, MRP_E_CONFIG, "%s: entry %zu has no `name` or no `imageUri`", path,
                            i + 1);
        mrp_auto(mrp_free_json) json_t *entry =
            json_pack("{s:s,s:s}", "name", name, "imageUri", uri);
        bool known = false;
        for (size_t k = 0; k < json_array_size(list) && !known; k++)
            known = json_equal(entry, json_array_get(list, k)) != 0;
        if (!entry || (!known && json_array_append(list, entry)))
            return mrp_fail(err, MRP_E_NOMEM, "read %s", path);
    }
    *out = mrp_take_json(&list);
    return 0;
}

static int whole_text(json_t **out, const char *text, size_t len, struct mrp_error *err)
{
    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    *out = json_stringn(text, len);
    return *out ? 0 : mrp_fail(err, MRP_E_CONFIG, "the file is not UTF-8 text");
}

bool mrp_expr_is_file_function(const char *name)
{
    return !strcmp(name, "file") || !strcmp(name, "imagedefinitions");
}

/* The root must be absolute for a check to mean anything. */
static int real_root(char **out, const struct mrp_scope *scope, struct mrp_error *err)
{
    const char *dir = scope->workdir ? scope->workdir : ".";
    *out = realpath(dir, NULL);
    return *out ? 0 : mrp_fail_errno(err, "open %s", dir);
}

int mrp_expr_file_path(const char *name,
                       const char *path,
                       const struct mrp_scope *scope,
                       struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *root = NULL;
    int rc = real_root(&root, scope, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_str) char *full = mrp_path_join(root, path);
    if (!full)
        return mrp_fail(err, MRP_E_NOMEM, "%s: path %s", name, path);
    size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (!strcmp(full, root))
        return mrp_fail(err, MRP_E_CONFIG, "%s: `%s` names no file", name, path);
    if (strncmp(full, root, n) == 0 && full[n] == '/')
        return 0;
    mrp_fail(err, MRP_E_CONFIG, "%s: path %s leaves %s", name, path, root);
    return mrp_hint(err, "the path counts from the source folder");
}

int mrp_expr_file_function(json_t **out,
                           const char *name,
                           const char *path,
                           const struct mrp_scope *scope,
                           struct mrp_error *err)
{
    if (!scope->files_ready)
        return mrp_fail(err, MRP_E_CANCELLED, "%s('%s') (known after run)", name, path);
    mrp_auto(mrp_free_str) char *full = NULL;
    mrp_auto(mrp_free_str) char *text = NULL;
    mrp_auto(mrp_free_json) json_t *json = NULL;
    size_t len = 0;
    mrp_auto(mrp_free_str) char *root = NULL;
    int rc = real_root(&root, scope, err);
    if (!rc)
        rc = mrp_path_inside(&full, root, path, err);
    if (!rc)
        rc = mrp_file_read(&text, &len, full, FILE_MAX, err);
    if (rc) {
        mrp_wrap(err, "%s", name);
        if (rc == MRP_E_IO)
            mrp_hint(err, "did the phases write it? the path counts from the source folder");
        return rc;
    }
    if (!strcmp(name, "file"))
        return whole_text(out, text, len, err);
    rc = mrp_json_parse(&json, text, len, path, err);
    if (rc) {
        mrp_wrap(err, "%s", name);
        if (err)
            err->code = MRP_E_CONFIG;
        return MRP_E_CONFIG;
    }
    return image_list(out, json, path, err);
}
