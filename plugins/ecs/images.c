/* Digests of images: of what is in ECR, and of what a service runs. */
#include "definitions.h"
#include "deploy.h"
#include "taskdef.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

enum { MAX_TASKS = 100 };

/* The parts of ACCOUNT.dkr.ecr.REGION.SUFFIX/REPO[:TAG][@DIGEST]. */
static int ecr_input(json_t **out, char **region, const char *image, struct mrp_error *err)
{
    *region = mrp_definitions_region(image);
    if (!*region)
        return MRP_OK;
    mrp_auto(mrp_free_str) char *account = mrp_strndup(image, 12);
    mrp_auto(mrp_free_str) char *repo = mrp_strdup(strchr(image, '/') + 1);
    if (!account || !repo)
        return mrp_fail(err, MRP_E_NOMEM, "image %s", image);
    char *at = strchr(repo, '@');
    if (at)
        *at = '\0';
    char *colon = strchr(repo, ':');
    if (colon)
        *colon = '\0';
    *out = json_pack("{s:s, s:s, s:[{s:s}]}", "registryId", account, "repositoryName", repo,
                     "imageIds", at ? "imageDigest" : "imageTag", mrp_taskdef_version(image));
    return *out ? MRP_OK : mrp_fail(err, MRP_E_CONFIG, "%s is no image", image);
}

int mrp_image_digest(char **out,
                     const struct mrp_target *t,
                     const char *image,
                     struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *input = NULL;
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    mrp_auto(mrp_free_str) char *region = NULL;
    const char *at = strchr(image, '@');
    int rc = ecr_input(&input, &region, image, err);
    if (rc)
        return rc;
    if (!input) {
        *out = at ? mrp_strdup(at + 1) : NULL;
        return MRP_OK;
    }
    rc = mrp_aws_call(&answer, t->run->aws, "ecr", region, "DescribeImages", input, err);
    if (rc == MRP_E_NOTFOUND || strcmp(err->api, "ImageNotFoundException") == 0 ||
        strcmp(err->api, "RepositoryNotFoundException") == 0) {
        mrp_fail(err, MRP_E_NOTFOUND, "image %s is not in the registry", image);
        return mrp_hint(err, "push it, or copy it with ecr/copy before this stage");
    }
    if (rc == MRP_E_AUTH) {
        mrp_log(t->run->stage, MRP_WARN, "cannot check %s: %s", image, err->msg);
        *err = (struct mrp_error){0};
        *out = at ? mrp_strdup(at + 1) : NULL;
        return MRP_OK;
    }
    if (rc)
        return rc;
    const json_t *detail = json_array_get(mrp_json_arr(answer, "imageDetails"), 0);
    *out = mrp_strdup(mrp_json_str(detail, "imageDigest"));
    return MRP_OK;
}

static void set_digest(json_t *running, const char *name, const char *digest)
{
    json_t *one = name ? mrp_json_obj(running, name) : NULL;
    if (one && digest && *digest && !mrp_json_str(one, "digest"))
        mrp_json_puts(one, "digest", digest);
}

/* The newest service revision knows the digests that ECS resolved. */
static void from_revisions(json_t *running, const struct mrp_target *t, const json_t *service)
{
    const json_t *current = json_array_get(mrp_json_arr(service, "currentServiceRevisions"), 0);
    const char *arn = mrp_json_str(current, "arn");
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    struct mrp_error ignored = {0};
    if (!arn || mrp_service_call(&answer, t, "DescribeServiceRevisions",
                                 json_pack("{s:[s]}", "serviceRevisionArns", arn), &ignored))
        return;
    const json_t *revision = json_array_get(mrp_json_arr(answer, "serviceRevisions"), 0);
    size_t i;
    json_t *c;
    json_array_foreach(mrp_json_arr(revision, "containerImages"), i, c)
    {
        set_digest(running, mrp_json_str(c, "containerName"), mrp_json_str(c, "imageDigest"));
    }
}

static void from_tasks(json_t *running, const struct mrp_target *t, const char *td)
{
    mrp_auto(mrp_free_json) json_t *list = NULL;
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    struct mrp_error ignored = {0};
    if (mrp_service_call(&list, t, "ListTasks",
                         json_pack("{s:s, s:s, s:s, s:i}", "cluster", t->cluster, "serviceName",
                                   t->service, "desiredStatus", "RUNNING", "maxResults", MAX_TASKS),
                         &ignored))
        return;
    const json_t *arns = mrp_json_arr(list, "taskArns");
    if (json_array_size(arns) == 0 ||
        mrp_service_call(&answer, t, "DescribeTasks",
                         json_pack("{s:s, s:O}", "cluster", t->cluster, "tasks", arns), &ignored))
        return;
    size_t i, k;
    json_t *task, *c;
    json_array_foreach(mrp_json_arr(answer, "tasks"), i, task)
    {
        if (!mrp_rollout_same_td(mrp_json_str(task, "taskDefinitionArn"), td))
            continue;
        json_array_foreach(mrp_json_arr(task, "containers"), k, c)
        {
            set_digest(running, mrp_json_str(c, "name"), mrp_json_str(c, "imageDigest"));
        }
    }
}

static bool all_known(const json_t *running)
{
    void *it = json_object_iter((json_t *)(uintptr_t)running);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)running, it))
        if (!mrp_json_str(json_object_iter_value(it), "digest"))
            return false;
    return true;
}

int mrp_image_running(json_t **out,
                      const struct mrp_target *t,
                      const json_t *service,
                      struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    mrp_auto(mrp_free_json) json_t *running = json_object();
    const char *td = mrp_json_str(service, "taskDefinition");
    size_t i;
    json_t *c;
    if (!td)
        return mrp_fail(err, MRP_E_REMOTE, "service %s in %s shows no task definition", t->service,
                        t->region);
    int rc = mrp_service_taskdef(&answer, t, td, err);
    if (rc)
        return rc;
    const json_t *def = mrp_json_obj(answer, "taskDefinition");
    json_array_foreach(mrp_json_arr(def, "containerDefinitions"), i, c)
    {
        const char *name = mrp_json_str(c, "name");
        json_t *one = name ? json_object() : NULL;
        if (one) {
            mrp_json_puts(one, "image", mrp_json_str(c, "image"));
            mrp_json_put(running, name, one);
        }
    }
    from_revisions(running, t, service);
    if (!all_known(running))
        from_tasks(running, t, mrp_json_str(def, "taskDefinitionArn"));
    const char *name;
    json_t *one;
    json_object_foreach(running, name, one)
    {
        mrp_auto(mrp_free_str) char *digest = NULL;
        struct mrp_error ignored = {0};
        const char *image = mrp_json_str(one, "image");
        if (image && !mrp_json_str(one, "digest") &&
            mrp_image_digest(&digest, t, image, &ignored) == MRP_OK)
            set_digest(running, name, digest);
    }
    *out = mrp_take_json(&running);
    return MRP_OK;
}
