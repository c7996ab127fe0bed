/* The options and outputs of ecs/deploy, and the checks that need nothing but the options. */
#include "ecs.h"

#include <mrpipe/aws.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

static const char *const bases[] = {"service", "latest", NULL};
static const char *const busies[] = {"fail", "wait", "supersede", NULL};
static const char *const undos[] = {"rollback", "rollback-failed", "leave", NULL};
static const char *const breakers[] = {"keep", "rollback", "stop", "off", NULL};
static const char *const parities[] = {"require", "warn", "off", NULL};
static const char *const waits[] = {"rollout", "none", NULL};

const struct mrp_option mrp_deploy_options[] = {
    {"cluster", MRP_STRING(struct mrp_deploy, cluster), .fallback = "default",
     .help = "the cluster"},
    {"service", MRP_STRING(struct mrp_deploy, service), .help = "the service"},
    {"services", MRP_LIST(struct mrp_deploy, services), .help = "several services"},
    {"regions", MRP_LIST(struct mrp_deploy, regions),
     .help = "regions to deploy to; default: all of the spec. The primary one goes last"},
    {"waves", MRP_JSON(struct mrp_deploy, waves),
     .help = "lists of regions, one after the other; a wave begins when the one before is done"},
    {"per-region", MRP_MAP(struct mrp_deploy, per_region),
     .help = "what differs by region: {REGION: {cluster, service, services, images, "
             "imagedefinitions}}"},
    {"images", MRP_JSON(struct mrp_deploy, images),
     .help = "{CONTAINER: IMAGE}, or that by region, or the images output of ecr/copy"},
    {"imagedefinitions", MRP_JSON(struct mrp_deploy, definitions),
     .help =
         "the primary region's file (its siblings follow by name), or files by region; default: "
         "imagedefinitions_primary.json or imagedefinitions.json"},
    {"base", MRP_ENUM(struct mrp_deploy, base), .fallback = "service", .choices = bases,
     .help = "what the new revision is made from: the one that the service uses, or the family's "
             "latest"},
    {"task-definition", MRP_PATH(struct mrp_deploy, task_definition),
     .help = "a JSON file to make the new revision from"},
    {"containers", MRP_MAP(struct mrp_deploy, containers),
     .help = "changes by container, merged in: {web: {environment: {A: b}, memory: 512}}"},
    {"force", MRP_BOOL(struct mrp_deploy, force), .fallback = "no",
     .help = "start a deployment although nothing differs"},
    {"desired-count", MRP_INT(struct mrp_deploy, desired_count), .fallback = "-1", .min = -1,
     .max = 100000, .help = "number of tasks; -1: as it is"},
    {"min-healthy", MRP_INT(struct mrp_deploy, min_healthy), .fallback = "-1", .min = -1,
     .max = 100, .help = "minimumHealthyPercent; -1: as it is"},
    {"max-percent", MRP_INT(struct mrp_deploy, max_percent), .fallback = "-1", .min = -1,
     .max = 200, .help = "maximumPercent; -1: as it is"},
    {"circuit-breaker", MRP_ENUM(struct mrp_deploy, breaker), .fallback = "keep",
     .choices = breakers,
     .help = "keep the service's setting, or set it: roll back, only stop, or off"},
    {"health-check-grace", MRP_DURATION(struct mrp_deploy, grace_ms), .fallback = "0s",
     .help = "health check grace period; 0s: as it is"},
    {"if-busy", MRP_ENUM(struct mrp_deploy, busy), .fallback = "fail", .choices = busies,
     .help =
         "the service is in a deployment of something else: fail, wait for it, or supersede it"},
    {"wait", MRP_ENUM(struct mrp_deploy, wait), .fallback = "rollout", .choices = waits,
     .help = "end when the rollout is complete, or as soon as it is started"},
    {"timeout", MRP_DURATION(struct mrp_deploy, timeout_ms), .fallback = "30m",
     .help = "for the rollout of one region"},
    {"poll", MRP_DURATION(struct mrp_deploy, poll_ms), .fallback = "2s",
     .help = "time between two looks"},
    {"bake", MRP_DURATION(struct mrp_deploy, bake_ms), .fallback = "0s",
     .help = "time that a deployment must stay healthy before the next wave"},
    {"fail-fast", MRP_INT(struct mrp_deploy, fail_fast), .fallback = "3", .min = 0, .max = 1000,
     .help = "give up after so many failed tasks in a row while none runs; 0: leave it to ECS"},
    {"on-failure", MRP_ENUM(struct mrp_deploy, on_failure), .fallback = "rollback",
     .choices = undos,
     .help = "after a failed rollout: bring all regions back, only the failed ones, or leave them"},
    {"check-images", MRP_BOOL(struct mrp_deploy, check_images), .fallback = "yes",
     .help = "look in ECR that the images are there before anything is written"},
    {"parity", MRP_ENUM(struct mrp_deploy, parity), .fallback = "require", .choices = parities,
     .help = "the regions' digests of a container must be equal"},
    {"keep-revisions", MRP_INT(struct mrp_deploy, keep_revisions), .fallback = "0", .min = 0,
     .max = 10000,
     .help = "after success keep so many revisions and deregister older ones; 0: keep all"},
    {0},
};

const struct mrp_output_info mrp_deploy_outputs[] = {
    {"result", "string",
     "deployed, unchanged, refused, failed, rolled-back, rollback-incomplete, superseded, "
     "cancelled"},
    {"regions", "map", "by region: {service, deployment, task-definition, image, result, ...}"},
    {"targets", "list", "the same for every service of every region"},
    {0},
};

static int check_waves(const json_t *waves, struct mrp_error *err)
{
    size_t i, k;
    json_t *wave, *region;
    if (!json_is_array(waves) || json_array_size(waves) == 0)
        return mrp_fail(err, MRP_E_CONFIG, "waves is no list of lists of regions");
    json_array_foreach(waves, i, wave)
    {
        if (json_is_string(wave) && mrp_aws_is_region(json_string_value(wave)))
            continue;
        if (!json_is_array(wave) || json_array_size(wave) == 0)
            return mrp_fail(err, MRP_E_CONFIG, "wave %zu is no list of regions", i + 1);
        json_array_foreach(wave, k, region)
        {
            const char *name = json_string_value(region);
            if (!name || !mrp_aws_is_region(name))
                return mrp_fail(err, MRP_E_CONFIG, "wave %zu: `%s` is no region", i + 1,
                                name ? name : "(no text)");
        }
    }
    return MRP_OK;
}

static int check_per_region(const json_t *map, struct mrp_error *err)
{
    static const char *const keys[] = {"cluster", "service", "services", "images",
                                       "imagedefinitions"};
    void *it = map ? json_object_iter((json_t *)(uintptr_t)map) : NULL;
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)map, it)) {
        const char *region = json_object_iter_key(it);
        const char *key;
        json_t *value;
        if (!mrp_aws_is_region(region))
            return mrp_fail(err, MRP_E_CONFIG, "per-region: `%s` is no region", region);
        if (!json_is_object(json_object_iter_value(it)))
            return mrp_fail(err, MRP_E_CONFIG, "per-region.%s is no map", region);
        json_object_foreach(json_object_iter_value(it), key, value)
        {
            bool known = false;
            for (size_t i = 0; i < MRP_COUNT(keys); i++)
                known = known || strcmp(keys[i], key) == 0;
            if (known)
                continue;
            const char *near = mrp_nearest(key, keys, MRP_COUNT(keys));
            mrp_fail(err, MRP_E_CONFIG, "per-region.%s: unknown key `%s`", region, key);
            return near ? mrp_hint(err, "did you mean `%s`?", near) : err->code;
        }
    }
    return MRP_OK;
}

static int check_containers(const json_t *map, struct mrp_error *err)
{
    void *it = map ? json_object_iter((json_t *)(uintptr_t)map) : NULL;
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)map, it))
        if (!json_is_object(json_object_iter_value(it)))
            return mrp_fail(err, MRP_E_CONFIG, "containers.%s is no map of settings",
                            json_object_iter_key(it));
    return MRP_OK;
}

static bool has_service(const json_t *per_region)
{
    void *it = per_region ? json_object_iter((json_t *)(uintptr_t)per_region) : NULL;
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)per_region, it))
        if (json_object_get(json_object_iter_value(it), "service") ||
            json_object_get(json_object_iter_value(it), "services"))
            return true;
    return false;
}

/* What an option must be like; the first one at fault is named. */
static const char *bad_option(const struct mrp_deploy *o, struct mrp_error *err)
{
    if (o->waves && check_waves(o->waves, err))
        return "waves";
    if (o->waves && o->regions) {
        mrp_fail(err, MRP_E_CONFIG, "give either regions or waves");
        return "regions";
    }
    for (size_t i = 0; i < mrp_strv_len(o->regions); i++)
        if (!mrp_aws_is_region(o->regions[i])) {
            mrp_fail(err, MRP_E_CONFIG, "%s is no region", o->regions[i]);
            return "regions";
        }
    if (check_per_region(o->per_region, err))
        return "per-region";
    if (check_containers(o->containers, err))
        return "containers";
    if (!o->service && !o->services && !has_service(o->per_region)) {
        mrp_fail(err, MRP_E_CONFIG, "no service is named");
        return "service";
    }
    return NULL;
}

int mrp_deploy_check(const void *options, const char **bad, struct mrp_error *err)
{
    const struct mrp_deploy *o = options;
    *bad = bad_option(o, err);
    if (*bad)
        return err->code;
    if (o->images && !json_is_object(o->images) && !json_is_array(o->images)) {
        *bad = "images";
        return mrp_fail(err, MRP_E_CONFIG, "images is neither a map nor a list");
    }
    if (o->definitions && !json_is_object(o->definitions) && !json_is_string(o->definitions)) {
        *bad = "imagedefinitions";
        return mrp_fail(err, MRP_E_CONFIG, "imagedefinitions is neither a file nor a map of files");
    }
    if (o->max_percent >= 0 && o->max_percent < 100) {
        *bad = "max-percent";
        return mrp_fail(err, MRP_E_CONFIG, "max-percent must lie between 100 and 200");
    }
    if (o->poll_ms < 1 || o->timeout_ms < 1) {
        *bad = o->poll_ms < 1 ? "poll" : "timeout";
        return mrp_fail(err, MRP_E_CONFIG, "%s must be over 0", *bad);
    }
    return MRP_OK;
}
