/* Parity: every region must run the same digest of a container; the check before, and verify. */
#include "deploy.h"
#include "taskdef.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

int mrp_parity_planned(const struct mrp_deployment *d, struct mrp_error *err)
{
    if (d->o->parity == MRP_PARITY_OFF)
        return MRP_OK;
    for (size_t i = 0; i < d->count; i++) {
        for (size_t k = i + 1; k < d->count; k++) {
            const struct mrp_target *a = &d->targets[i], *b = &d->targets[k];
            const char *name;
            json_t *value;
            json_object_foreach(a->digests, name, value)
            {
                const char *x = json_string_value(value);
                const char *y = mrp_json_str(b->digests, name);
                if (!x || !y || strcmp(x, y) == 0)
                    continue;
                mrp_fail(err, MRP_E_CONFLICT, "container %s: %s would get %s, %s would get %s",
                         name, a->region, x, b->region, y);
                if (d->o->parity == MRP_PARITY_REQUIRE)
                    return mrp_hint(err, "copy the image with ecr/copy, or set `parity: warn`");
                mrp_log(d->stage, MRP_WARN, "%s", err->msg);
                *err = (struct mrp_error){0};
            }
        }
    }
    return MRP_OK;
}

/* ---- verify ---- */

static int look(void *target, struct mrp_error *err)
{
    struct mrp_target *t = target;
    mrp_auto(mrp_free_json) json_t *service = NULL;
    int rc = mrp_service_describe(&service, t, err);
    if (rc)
        return rc;
    const json_t *primary = mrp_rollout_primary(service);
    const char *state = mrp_json_str(primary, "rolloutState");
    t->id = mrp_strdup(mrp_json_str(primary, "id"));
    t->td = mrp_strdup(mrp_json_str(service, "taskDefinition"));
    t->state = !state || strcmp(state, "COMPLETED") == 0 ? MRP_T_DEPLOYED : MRP_T_FAILED;
    if (t->state == MRP_T_FAILED)
        mrp_fail(&t->err, MRP_E_REMOTE, "its deployment is %s", state);
    return mrp_image_running(&t->current, t, service, err);
}

/* Digests when both are known, else tags. */
static bool same(const json_t *a, const json_t *b)
{
    const char *x = mrp_json_str(a, "digest"), *y = mrp_json_str(b, "digest");
    if (x && y)
        return strcmp(x, y) == 0;
    x = mrp_json_str(a, "image");
    y = mrp_json_str(b, "image");
    return x && y && strcmp(mrp_taskdef_version(x), mrp_taskdef_version(y)) == 0;
}

static const char *shown(const json_t *one)
{
    const char *text = mrp_json_str(one, "digest");
    if (!text)
        text = mrp_json_str(one, "image");
    return text ? text : "nothing";
}

static bool compare_containers(const struct mrp_target *a, const struct mrp_target *b)
{
    const struct mrp_deployment *d = a->run;
    bool equal = true;
    const char *name;
    json_t *one;
    json_object_foreach(a->current, name, one)
    {
        const json_t *there = json_object_get(b->current, name);
        /* services of one run differ in their containers; regions of one service do not */
        if ((!there && d->o->services) || same(one, there))
            continue;
        mrp_change(d->stage, "container %s: %s in %s, %s in %s", name, shown(one), a->region,
                   shown(there), b->region);
        equal = false;
    }
    json_object_foreach(b->current, name, one)
    {
        if (d->o->services || json_object_get(a->current, name))
            continue;
        mrp_change(d->stage, "container %s: nothing in %s, %s in %s", name, a->region, shown(one),
                   b->region);
        equal = false;
    }
    return equal;
}

static bool compare(const struct mrp_deployment *d)
{
    bool equal = true;
    for (size_t i = 0; i < d->count; i++) {
        const struct mrp_target *t = &d->targets[i];
        if (t->state == MRP_T_FAILED) {
            mrp_change(d->stage, "%s in %s: %s", t->service, t->region, t->err.msg);
            equal = false;
        }
        equal = compare_containers(&d->targets[0], t) && equal;
    }
    return equal;
}

int mrp_deploy_verify(void *options,
                      struct mrp_stage *stage,
                      enum mrp_result *result,
                      struct mrp_error *err)
{
    mrp_auto(mrp_targets_done) struct mrp_deployment d = {.o = options, .stage = stage};
    mrp_auto(mrp_free_json) json_t *regions = json_object();
    int rc = mrp_targets_open(&d, err);
    if (rc == MRP_OK)
        rc = mrp_targets_each(&d, SIZE_MAX, look, err);
    if (rc)
        return rc;
    *result = compare(&d) ? MRP_UNCHANGED : MRP_CHANGED;
    for (size_t i = 0; i < d.count; i++) {
        const struct mrp_target *t = &d.targets[i];
        json_t *one = json_object();
        mrp_json_puts(one, "service", t->service);
        mrp_json_puts(one, "task-definition", t->td);
        mrp_json_puts(one, "deployment", t->id);
        mrp_json_put(one, "containers", json_deep_copy(t->current));
        mrp_json_put(regions, t->region, one);
    }
    return mrp_output(stage, "regions", mrp_take_json(&regions), err);
}
