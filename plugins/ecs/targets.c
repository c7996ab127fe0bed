/* From the options to targets: regions and waves, names by region, images by region. */
#include "definitions.h"
#include "deploy.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { MAX_TARGETS = 500 };

const char *mrp_target_state_name(enum mrp_target_state state)
{
    static const char *const names[] = {
        [MRP_T_NEW] = "new",
        [MRP_T_REFUSED] = "refused",
        [MRP_T_PLANNED] = "planned",
        [MRP_T_UNCHANGED] = "unchanged",
        [MRP_T_DEPLOYED] = "deployed",
        [MRP_T_FAILED] = "failed",
        [MRP_T_SUPERSEDED] = "superseded",
        [MRP_T_CANCELLED] = "cancelled",
        [MRP_T_UNDONE] = "rolled-back",
        [MRP_T_UNDO_FAILED] = "rollback-failed",
        [MRP_T_SKIPPED] = "skipped",
    };
    return (size_t)state < MRP_COUNT(names) ? names[state] : "unknown";
}

static const json_t *override_of(const struct mrp_deployment *d, const char *region)
{
    return mrp_json_obj(d->o->per_region, region);
}

static int add_target(struct mrp_deployment *d,
                      const char *region,
                      const char *cluster,
                      const char *service,
                      size_t wave,
                      struct mrp_error *err)
{
    if (d->count >= MAX_TARGETS)
        return mrp_fail(err, MRP_E_CONFIG, "over %d services to deploy", MAX_TARGETS);
    for (size_t i = 0; i < d->count; i++)
        if (mrp_streq(d->targets[i].region, region) && mrp_streq(d->targets[i].cluster, cluster) &&
            mrp_streq(d->targets[i].service, service))
            return mrp_fail(err, MRP_E_CONFIG, "service %s in %s is named twice", service, region);
    struct mrp_target *list = realloc(d->targets, (d->count + 1) * sizeof *list);
    if (!list)
        return mrp_fail(err, MRP_E_NOMEM, "targets");
    d->targets = list;
    struct mrp_target *t = &d->targets[d->count++];
    *t = (struct mrp_target){.run = d, .wave = wave};
    t->region = mrp_strdup(region);
    t->cluster = mrp_strdup(cluster);
    t->service = mrp_strdup(service);
    if (!t->region || !t->cluster || !t->service)
        return mrp_fail(err, MRP_E_NOMEM, "targets");
    return MRP_OK;
}

/* One text or a list of texts, appended. */
static int names_from(char ***out, const json_t *v, const char *what, struct mrp_error *err)
{
    size_t i;
    json_t *item;
    if (json_is_string(v))
        return mrp_strv_add(out, json_string_value(v)) ? mrp_fail(err, MRP_E_NOMEM, "%s", what)
                                                       : MRP_OK;
    json_array_foreach(v, i, item)
    {
        if (!json_is_string(item) || mrp_strv_add(out, json_string_value(item)))
            return mrp_fail(err, MRP_E_CONFIG, "%s is no list of names", what);
    }
    return MRP_OK;
}

static int
add_region(struct mrp_deployment *d, const char *region, size_t wave, struct mrp_error *err)
{
    const struct mrp_deploy *o = d->o;
    const json_t *own = override_of(d, region);
    const char *cluster = mrp_json_str(own, "cluster");
    mrp_auto(mrp_free_strv) char **services = NULL;
    if (!mrp_aws_is_region(region))
        return mrp_fail(err, MRP_E_CONFIG, "%s is no region", region);
    int rc = names_from(&services, json_object_get(own, "service"), "service", err);
    if (rc == MRP_OK)
        rc = names_from(&services, json_object_get(own, "services"), "services", err);
    if (rc == MRP_OK && !services && o->service)
        rc = mrp_strv_add(&services, o->service);
    for (size_t i = 0; rc == MRP_OK && (!own || !json_object_get(own, "services")) &&
                       !json_object_get(own, "service") && i < mrp_strv_len(o->services);
         i++)
        rc = mrp_strv_add(&services, o->services[i]);
    if (rc)
        return rc;
    if (!services)
        return mrp_fail(err, MRP_E_CONFIG, "no service to deploy in %s", region);
    for (size_t i = 0; rc == MRP_OK && i < mrp_strv_len(services); i++)
        rc = add_target(d, region, cluster ? cluster : o->cluster, services[i], wave, err);
    return rc;
}

static int waves_from_option(struct mrp_deployment *d, struct mrp_error *err)
{
    size_t i, k;
    json_t *wave;
    json_array_foreach(d->o->waves, i, wave)
    {
        mrp_auto(mrp_free_strv) char **regions = NULL;
        int rc = names_from(&regions, wave, "waves", err);
        for (k = 0; rc == MRP_OK && k < mrp_strv_len(regions); k++)
            rc = add_region(d, regions[k], i, err);
        if (rc)
            return rc;
    }
    d->waves = json_array_size(d->o->waves);
    return MRP_OK;
}

/* The other regions go first: they are the canary of the primary one. */
static int waves_by_default(struct mrp_deployment *d, struct mrp_error *err)
{
    const char *primary = mrp_stage_primary(d->stage);
    char *const *regions = d->o->regions;
    bool given = regions != NULL;
    if (!given)
        regions = mrp_stage_secondaries(d->stage);
    bool with_primary = given ? mrp_strv_has(regions, primary) : *primary != '\0';
    int rc = MRP_OK;
    for (size_t i = 0; rc == MRP_OK && i < mrp_strv_len(regions); i++)
        if (strcmp(regions[i], primary) != 0)
            rc = add_region(d, regions[i], 0, err);
    size_t first = d->count > 0 ? 1 : 0;
    if (rc == MRP_OK && with_primary)
        rc = add_region(d, primary, first, err);
    d->waves = first + (with_primary ? 1 : 0);
    if (rc == MRP_OK && d->count == 0 && *mrp_stage_region(d->stage)) {
        rc = add_region(d, mrp_stage_region(d->stage), 0, err);
        d->waves = 1;
    }
    return rc;
}

int mrp_targets_open(struct mrp_deployment *d, struct mrp_error *err)
{
    int rc = d->o->waves ? waves_from_option(d, err) : waves_by_default(d, err);
    if (rc)
        return rc;
    if (d->count == 0) {
        mrp_fail(err, MRP_E_CONFIG, "no region to deploy to");
        return mrp_hint(err,
                        "set regions.primary and regions.secondary in the spec, or `regions` here");
    }
    rc = mrp_http_new(&d->http, d->stage, err);
    return rc ? rc : mrp_aws_new(&d->aws, d->http, d->stage, err);
}

void mrp_targets_done(struct mrp_deployment *d)
{
    for (size_t i = 0; i < d->count; i++) {
        struct mrp_target *t = &d->targets[i];
        free(t->region);
        free(t->cluster);
        free(t->service);
        free(t->prev_td);
        free(t->prev_id);
        free(t->prev_sd);
        free(t->td);
        free(t->id);
        json_decref(t->images);
        json_decref(t->current);
        json_decref(t->input);
        json_decref(t->settings);
        json_decref(t->digests);
        json_decref(t->evidence);
    }
    free(d->targets);
    d->targets = NULL;
    d->count = 0;
    mrp_aws_free(&d->aws);
    mrp_http_free(&d->http);
}

/* ---- images ---- */

static bool is_texts(const json_t *o)
{
    void *it = json_object_iter((json_t *)(uintptr_t)o);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)o, it))
        if (!json_is_string(json_object_iter_value(it)))
            return false;
    return true;
}

/* [{name, imageUri}] as {name: imageUri}. */
static json_t *as_map(const json_t *list)
{
    json_t *map = json_object();
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        const char *name = mrp_json_str(entry, "name");
        if (name)
            mrp_json_puts(map, name, mrp_json_str(entry, "imageUri"));
    }
    return map;
}

/* The output of ecr/copy: for each container its copy in the region, or the source at home. */
static int
from_copies(json_t **out, const struct mrp_target *t, const json_t *images, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *map = json_object();
    bool home = strcmp(t->region, mrp_stage_primary(t->run->stage)) == 0;
    size_t i;
    json_t *image;
    json_array_foreach(images, i, image)
    {
        const char *name = mrp_json_str(image, "name");
        const char *source = mrp_json_str(image, "source");
        if (mrp_json_str(image, "imageUri"))
            source = mrp_json_str(image, "imageUri");
        if (!name || !*name || !source) {
            mrp_fail(err, MRP_E_CONFIG, "image %zu of `images` names no container", i + 1);
            return mrp_hint(err, "let ecr/copy read imagedefinitions(...), or write images: "
                                 "{CONTAINER: IMAGE}");
        }
        const json_t *copy = home ? NULL : mrp_definitions_copy(images, name, source, t->region);
        mrp_auto(mrp_free_str) char *where = mrp_definitions_region(source);
        if (!home && !copy && where && strcmp(where, t->region) != 0) {
            mrp_fail(err, MRP_E_CONFIG, "container %s: %s has no copy in %s", name, source,
                     t->region);
            return mrp_hint(err, "add %s to the regions of the ecr/copy stage", t->region);
        }
        mrp_json_puts(map, name, copy ? mrp_json_str(copy, "image") : source);
    }
    *out = mrp_take_json(&map);
    return MRP_OK;
}

static int from_file(json_t **out,
                     const struct mrp_target *t,
                     const json_t *named, /* a file, or files by region; NULL: the usual names */
                     struct mrp_error *err)
{
    struct mrp_stage *stage = t->run->stage;
    const char *primary = mrp_stage_primary(stage);
    const char *file = NULL;
    int rc = MRP_OK;
    if (json_is_object(named)) {
        file = mrp_json_str(named, t->region);
        if (!file)
            return mrp_fail(err, MRP_E_CONFIG, "imagedefinitions names no file for %s", t->region);
    } else if (json_is_string(named)) {
        file = json_string_value(named);
    } else {
        rc = mrp_definitions_find(&file, stage, err);
    }
    if (rc)
        return rc;
    mrp_auto(mrp_free_str) char *sibling = NULL;
    if (!json_is_object(named) && *primary && strcmp(primary, t->region) != 0) {
        size_t n = mrp_strv_len(mrp_stage_secondaries(stage));
        sibling = mrp_definitions_sibling(file, t->region, n ? n : 1);
        file = sibling;
    }
    mrp_auto(mrp_free_json) json_t *list = NULL;
    if (!file)
        return mrp_fail(err, MRP_E_NOMEM, "name of a file");
    rc = mrp_definitions_read(&list, stage, file, err);
    if (rc)
        return rc == MRP_E_NOTFOUND ? rc : (int)mrp_wrap(err, "images of %s", t->region);
    *out = as_map(list);
    return MRP_OK;
}

static int images_of(struct mrp_target *t, struct mrp_error *err)
{
    const struct mrp_deploy *o = t->run->o;
    const json_t *own = override_of(t->run, t->region);
    const json_t *images = json_object_get(own, "images");
    const json_t *files = json_object_get(own, "imagedefinitions");
    if (!images && !files)
        images = o->images;
    if (json_is_object(images) && !is_texts(images)) {
        const json_t *mine = json_object_get(images, t->region);
        if (!mine)
            return mrp_fail(err, MRP_E_CONFIG, "images has nothing for %s", t->region);
        images = mine;
    }
    if (json_is_object(images) && is_texts(images)) {
        t->images = json_deep_copy(images);
        return MRP_OK;
    }
    if (json_is_array(images))
        return from_copies(&t->images, t, images, err);
    if (images)
        return mrp_fail(err, MRP_E_CONFIG, "images is neither a map nor a list");
    return from_file(&t->images, t, files ? files : o->definitions, err);
}

int mrp_targets_images(struct mrp_deployment *d, struct mrp_error *err)
{
    for (size_t i = 0; i < d->count; i++) {
        int rc = images_of(&d->targets[i], err);
        if (rc)
            return rc;
    }
    return MRP_OK;
}

int mrp_targets_each(struct mrp_deployment *d, size_t wave, mrp_task_fn fn, struct mrp_error *err)
{
    struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, d->http, 0, err);
    for (size_t i = 0; rc == MRP_OK && i < d->count; i++)
        if (wave == SIZE_MAX || d->targets[i].wave == wave)
            rc = mrp_group_spawn(group, fn, &d->targets[i], err);
    return mrp_group_finish(&group, rc, err);
}
