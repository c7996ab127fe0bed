/* ecs/imagedefinitions: the file of each secondary region beside the one that the phases wrote. */
#include "definitions.h"
#include "ecs.h"

#include <mrpipe/auto.h>
#include <mrpipe/aws.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

static const char *const pins[] = {"tag", "digest", NULL};

const struct mrp_option mrp_imagedefinitions_options[] = {
    {"images", MRP_JSON(struct mrp_imagedefinitions, images),
     .help = "the images output of ecr/copy; without it only the region in ECR's host names is "
             "changed"},
    {"from", MRP_PATH(struct mrp_imagedefinitions, from),
     .help = "the file that the phases wrote; default: imagedefinitions_primary.json or "
             "imagedefinitions.json"},
    {"regions", MRP_LIST(struct mrp_imagedefinitions, regions),
     .help = "regions to write a file for; default: the secondary regions"},
    {"to", MRP_PATH(struct mrp_imagedefinitions, to),
     .help = "name of the file; default: imagedefinitions_secondary.json, or NAME_REGION.json; "
             "{region} stands for the region"},
    {"pin", MRP_ENUM(struct mrp_imagedefinitions, pin), .fallback = "tag", .choices = pins,
     .help = "name images by tag, as the phases do, or by digest"},
    {0},
};

const struct mrp_output_info mrp_imagedefinitions_outputs[] = {
    {"files", "map", "file by region"},
    {"images", "map", "by region: {container: image}"},
    {0},
};

int mrp_imagedefinitions_check(const void *options, const char **bad, struct mrp_error *err)
{
    const struct mrp_imagedefinitions *o = options;
    if (o->images && !json_is_array(o->images)) {
        *bad = "images";
        mrp_fail(err, MRP_E_CONFIG, "images is no list");
        return mrp_hint(err, "write: images: ${{ stages.ID.outputs.images }} of an ecr/copy stage");
    }
    for (size_t i = 0; i < mrp_strv_len(o->regions); i++)
        if (!mrp_aws_is_region(o->regions[i])) {
            *bad = "regions";
            return mrp_fail(err, MRP_E_CONFIG, "%s is no region", o->regions[i]);
        }
    if (o->to && mrp_strv_len(o->regions) > 1 && !strstr(o->to, "{region}")) {
        *bad = "to";
        return mrp_fail(err, MRP_E_CONFIG, "`to` must contain {region} for several regions");
    }
    return MRP_OK;
}

/* HOST/REPO[:TAG] with the digest instead of the tag. */
static char *pinned(const char *image, const char *digest)
{
    const char *at = strchr(image, '@');
    size_t n = at ? (size_t)(at - image) : strlen(image);
    mrp_auto(mrp_free_str) char *name = mrp_strndup(image, n);
    char *slash = name ? strrchr(name, '/') : NULL;
    char *colon = name ? strrchr(name, ':') : NULL;
    if (colon && (!slash || colon > slash))
        *colon = '\0';
    return name ? mrp_strf("%s@%s", name, digest) : NULL;
}

static int counterpart(char **out,
                       const struct mrp_imagedefinitions *o,
                       const json_t *entry,
                       const char *region,
                       struct mrp_error *err)
{
    const char *name = mrp_json_str(entry, "name");
    const char *image = mrp_json_str(entry, "imageUri");
    const json_t *copy = mrp_definitions_copy(o->images, name, image, region);
    if (copy) {
        const char *there = mrp_json_str(copy, "image");
        const char *digest = mrp_json_str(copy, "digest");
        if (o->pin == 1 && !digest)
            return mrp_fail(err, MRP_E_CONFIG, "%s in %s: no digest to pin it by", there, region);
        *out = o->pin == 1 ? pinned(there, digest) : mrp_strdup(there);
    } else {
        mrp_auto(mrp_free_str) char *home = mrp_definitions_region(image);
        if (o->images && home && strcmp(home, region) != 0) {
            mrp_fail(err, MRP_E_CONFIG, "container %s: %s was not copied to %s", name, image,
                     region);
            return mrp_hint(err, "add it to the ecr/copy stage, and %s to its regions", region);
        }
        /* images of other registries are reached from every region */
        *out = home ? mrp_definitions_move(image, region) : mrp_strdup(image);
    }
    return *out ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "image of %s", name);
}

static int make(json_t **list,
                json_t **map,
                const struct mrp_imagedefinitions *o,
                const json_t *entries,
                const char *region,
                struct mrp_error *err)
{
    size_t i;
    json_t *entry;
    json_array_foreach(entries, i, entry)
    {
        mrp_auto(mrp_free_str) char *image = NULL;
        int rc = counterpart(&image, o, entry, region, err);
        if (rc)
            return rc;
        const char *name = mrp_json_str(entry, "name");
        json_t *one = json_object();
        mrp_json_puts(one, "name", name);
        mrp_json_puts(one, "imageUri", image);
        if (json_array_append_new(*list, one) || mrp_json_puts(*map, name, image))
            return mrp_fail(err, MRP_E_NOMEM, "images of %s", region);
    }
    return MRP_OK;
}

static char *file_name(const struct mrp_imagedefinitions *o,
                       const char *from,
                       const char *region,
                       size_t regions)
{
    if (!o->to)
        return mrp_definitions_sibling(from, region, regions);
    const char *mark = strstr(o->to, "{region}");
    if (!mark)
        return mrp_strdup(o->to);
    return mrp_strf("%.*s%s%s", (int)(mark - o->to), o->to, region, mark + strlen("{region}"));
}

static bool file_holds(const char *path, const char *text)
{
    mrp_auto(mrp_free_str) char *have = NULL;
    struct mrp_error ignored = {0};
    return mrp_exists(path) && mrp_file_read(&have, NULL, path, 1 << 20, &ignored) == 0 &&
           strcmp(have, text) == 0;
}

struct work {
    const struct mrp_imagedefinitions *o;
    struct mrp_stage *stage;
    const char *from;
    const json_t *entries;
    bool write;
    bool changed;
    json_t *files, *images; /* outputs */
};

static int one_region(struct work *w, const char *region, size_t regions, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *list = json_array();
    mrp_auto(mrp_free_json) json_t *map = json_object();
    mrp_auto(mrp_free_str) char *file = file_name(w->o, w->from, region, regions);
    mrp_auto(mrp_free_str) char *path = NULL;
    if (!list || !map || !file)
        return mrp_fail(err, MRP_E_NOMEM, "images of %s", region);
    int rc = make(&list, &map, w->o, w->entries, region, err);
    if (rc == MRP_OK)
        rc = mrp_stage_path(&path, w->stage, file, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_str) char *text = mrp_json_text(list);
    if (!text)
        return mrp_fail(err, MRP_E_NOMEM, "text of %s", file);
    bool equal = file_holds(path, text);
    if (!equal) {
        w->changed = true;
        if (w->write)
            rc = mrp_file_write(path, text, strlen(text), 0644, false, err);
        if (rc)
            return rc;
        mrp_change(w->stage, "%s %s for %s", w->write ? "wrote" : "write", file, region);
    }
    if (w->write || equal)
        mrp_add_artifact(w->stage, file);
    if (mrp_json_puts(w->files, region, file) ||
        mrp_json_put(w->images, region, mrp_take_json(&map)))
        return mrp_fail(err, MRP_E_NOMEM, "outputs");
    return MRP_OK;
}

static int work(struct work *w, struct mrp_error *err)
{
    char *const *regions = w->o->regions ? w->o->regions : mrp_stage_secondaries(w->stage);
    size_t count = mrp_strv_len(regions);
    mrp_auto(mrp_free_json) json_t *entries = NULL;
    int rc = MRP_OK;
    if (count == 0) {
        mrp_fail(err, MRP_E_CONFIG, "no secondary region to write a file for");
        return mrp_hint(err, "set regions.secondary in the spec, or `regions` here");
    }
    w->from = w->o->from;
    if (!w->from)
        rc = mrp_definitions_find(&w->from, w->stage, err);
    if (rc == MRP_OK)
        rc = mrp_definitions_read(&entries, w->stage, w->from, err);
    w->entries = entries;
    for (size_t i = 0; rc == MRP_OK && i < count; i++)
        rc = one_region(w, regions[i], count, err);
    return rc;
}

static int finish(struct work *w, enum mrp_result *result, struct mrp_error *err)
{
    *result = w->changed ? MRP_CHANGED : MRP_UNCHANGED;
    int rc = mrp_output(w->stage, "files", json_incref(w->files), err);
    if (rc == MRP_OK)
        rc = mrp_output(w->stage, "images", json_incref(w->images), err);
    return rc;
}

int mrp_imagedefinitions_plan(void *options,
                              struct mrp_stage *stage,
                              enum mrp_result *result,
                              struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *files = json_object();
    mrp_auto(mrp_free_json) json_t *images = json_object();
    struct work w = {.o = options, .stage = stage, .files = files, .images = images};
    int rc = work(&w, err);
    if (rc == MRP_E_NOTFOUND) {
        mrp_change(stage,
                   "write the image definitions of the other regions (known after the phases)");
        *result = MRP_CHANGED;
        return MRP_OK;
    }
    return rc ? rc : finish(&w, result, err);
}

int mrp_imagedefinitions_run(void *options,
                             struct mrp_stage *stage,
                             enum mrp_result *result,
                             struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *files = json_object();
    mrp_auto(mrp_free_json) json_t *images = json_object();
    struct work w = {.o = options, .stage = stage, .write = true, .files = files, .images = images};
    int rc = work(&w, err);
    if (rc == MRP_E_NOTFOUND) {
        err->code = MRP_E_ARTIFACT;
        return err->code;
    }
    return rc ? rc : finish(&w, result, err);
}
