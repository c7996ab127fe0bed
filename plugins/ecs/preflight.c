/* Preflight: looks at one service, makes the wanted task definition and decides what to do. */
#include "deploy.h"
#include "taskdef.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <string.h>

enum { TASKDEF_MAX = 1 << 20 };

static int check_service(const struct mrp_target *t, const json_t *service, struct mrp_error *err)
{
    const char *status = mrp_json_str(service, "status");
    const char *type = mrp_json_str(mrp_json_obj(service, "deploymentController"), "type");
    if (status && strcmp(status, "ACTIVE") != 0)
        return mrp_fail(err, MRP_E_CONFLICT, "service %s in %s is %s", t->service, t->region,
                        status);
    if (type && strcmp(type, "ECS") != 0) {
        mrp_fail(err, MRP_E_CONFIG, "service %s in %s is deployed by %s", t->service, t->region,
                 type);
        return mrp_hint(err, "ecs/deploy handles services with the ECS deployment controller only");
    }
    if (!mrp_json_str(service, "taskDefinition"))
        return mrp_fail(err, MRP_E_REMOTE, "service %s in %s shows no task definition", t->service,
                        t->region);
    return MRP_OK;
}

/* The base of the new revision, when it is a file of the work directory. */
static int base_from_file(json_t **input, const struct mrp_target *t, struct mrp_error *err)
{
    const struct mrp_deploy *o = t->run->o;
    mrp_auto(mrp_free_str) char *path = NULL;
    mrp_auto(mrp_free_json) json_t *file = NULL;
    int rc = mrp_stage_path(&path, t->run->stage, o->task_definition, err);
    if (rc == MRP_OK)
        rc = mrp_json_read(&file, path, TASKDEF_MAX, err);
    if (rc)
        return rc;
    /* the answer of `aws ecs describe-task-definition` is fine, too */
    const json_t *inner = mrp_json_obj(file, "taskDefinition");
    *input = mrp_taskdef_input(inner ? inner : file, inner ? mrp_json_arr(file, "tags") : NULL);
    if (!mrp_json_arr(*input, "containerDefinitions"))
        return mrp_fail(err, MRP_E_CONFIG,
                        "%s is no task definition: it has no containerDefinitions",
                        o->task_definition);
    if (!mrp_json_str(*input, "family"))
        mrp_json_puts(*input, "family", mrp_json_str(t->current, "family"));
    return MRP_OK;
}

static int wanted(struct mrp_target *t, struct mrp_error *err)
{
    const struct mrp_deploy *o = t->run->o;
    int rc = MRP_OK;
    if (o->task_definition) {
        rc = base_from_file(&t->input, t, err);
    } else if (o->base == MRP_BASE_LATEST) {
        mrp_auto(mrp_free_json) json_t *answer = NULL;
        const char *family = mrp_json_str(t->current, "family");
        rc = mrp_service_taskdef(&answer, t, family ? family : "", err);
        if (rc == MRP_OK)
            t->input = mrp_taskdef_input(mrp_json_obj(answer, "taskDefinition"),
                                         mrp_json_arr(answer, "tags"));
    } else {
        t->input = json_deep_copy(t->current);
    }
    if (rc == MRP_OK && !t->input)
        rc = mrp_fail(err, MRP_E_NOMEM, "task definition of %s", t->service);
    if (rc == MRP_OK)
        rc = mrp_taskdef_images(t->input, t->images, err);
    if (rc == MRP_OK)
        rc = mrp_taskdef_patch(t->input, o->containers, err);
    return rc;
}

/* The members of UpdateService that must change, compared with what the service has. */
static int settings(struct mrp_target *t, const json_t *service, struct mrp_error *err)
{
    const struct mrp_deploy *o = t->run->o;
    mrp_auto(mrp_free_json) json_t *set = json_object();
    const json_t *have = mrp_json_obj(service, "deploymentConfiguration");
    mrp_auto(mrp_free_json) json_t *config = have ? json_deep_copy(have) : json_object();
    if (!set || !config)
        return mrp_fail(err, MRP_E_NOMEM, "settings of %s", t->service);
    if (o->min_healthy >= 0)
        mrp_json_puti(config, "minimumHealthyPercent", o->min_healthy);
    if (o->max_percent >= 0)
        mrp_json_puti(config, "maximumPercent", o->max_percent);
    if (o->breaker != MRP_BREAKER_KEEP) {
        json_t *old = mrp_json_obj(config, "deploymentCircuitBreaker");
        json_t *breaker = old ? json_copy(old) : json_object();
        json_object_set_new(breaker, "enable", json_boolean(o->breaker != MRP_BREAKER_OFF));
        json_object_set_new(breaker, "rollback", json_boolean(o->breaker == MRP_BREAKER_ROLLBACK));
        mrp_json_put(config, "deploymentCircuitBreaker", breaker);
    }
    bool asked = o->min_healthy >= 0 || o->max_percent >= 0 || o->breaker != MRP_BREAKER_KEEP;
    if (asked && !(have && json_equal(config, have)))
        mrp_json_put(set, "deploymentConfiguration", mrp_take_json(&config));
    if (o->desired_count >= 0 && mrp_json_int(service, "desiredCount", -1) != o->desired_count)
        mrp_json_puti(set, "desiredCount", o->desired_count);
    if (o->grace_ms > 0 &&
        mrp_json_int(service, "healthCheckGracePeriodSeconds", -1) != o->grace_ms / 1000)
        mrp_json_puti(set, "healthCheckGracePeriodSeconds", o->grace_ms / 1000);
    if (json_object_size(set) > 0)
        t->settings = mrp_take_json(&set);
    return MRP_OK;
}

/* The revision that the other deployments of a running rollout come from. */
static void before_adopted(struct mrp_target *t, const json_t *service, const json_t *primary)
{
    size_t i;
    json_t *d;
    const char *now = mrp_json_str(primary, "taskDefinition");
    json_array_foreach(mrp_json_arr(service, "deployments"), i, d)
    {
        const char *td = mrp_json_str(d, "taskDefinition");
        if (d != primary && td && !mrp_rollout_same_td(td, now)) {
            mrp_free_str(&t->prev_td);
            t->prev_td = mrp_strdup(td);
            return;
        }
    }
}

/* 0 and *again when the target must be looked at once more. */
static int busy(struct mrp_target *t, const json_t *primary, bool *again, struct mrp_error *err)
{
    const struct mrp_deploy *o = t->run->o;
    const char *id = mrp_json_str(primary, "id");
    if (o->busy == MRP_BUSY_SUPERSEDE)
        return MRP_OK;
    if (o->busy == MRP_BUSY_WAIT && !t->run->planning) {
        *again = true;
        return MRP_OK;
    }
    if (t->run->planning)
        return MRP_OK;
    mrp_fail(err, MRP_E_CONFLICT, "service %s in %s is in another deployment (%s)", t->service,
             t->region, id ? id : "no id");
    return mrp_hint(err, "wait for it, or set `if-busy: wait` or `if-busy: supersede`");
}

static int decide(struct mrp_target *t, const json_t *service, bool *again, struct mrp_error *err)
{
    const struct mrp_deploy *o = t->run->o;
    const json_t *primary = mrp_rollout_primary(service);
    const char *state = mrp_json_str(primary, "rolloutState");
    bool equal = mrp_taskdef_equal(t->current, t->input);
    bool rolling = mrp_streq(state, "IN_PROGRESS");

    t->force = o->force;
    t->new_td_wanted = !equal;
    if (equal && rolling && !o->force) {
        /* a run that was cut off, or somebody who wants the same: see it to its end */
        t->adopt = true;
        t->id = mrp_strdup(mrp_json_str(primary, "id"));
        t->td = mrp_strdup(t->prev_td);
        before_adopted(t, service, primary);
    } else if (equal && mrp_streq(state, "FAILED")) {
        mrp_log(t->run->stage, MRP_WARN,
                "%s in %s: its last deployment failed, a new one is started", t->service,
                t->region);
        t->force = true;
    }
    if (!equal && rolling) {
        int rc = busy(t, primary, again, err);
        if (rc || *again)
            return rc;
    }
    bool act = t->new_td_wanted || t->force || t->adopt || t->settings;
    t->state = act ? MRP_T_PLANNED : MRP_T_UNCHANGED;
    return MRP_OK;
}

static int look(struct mrp_target *t, bool *again, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *service = NULL;
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    *again = false;
    int rc = mrp_service_describe(&service, t, err);
    if (rc == MRP_OK)
        rc = check_service(t, service, err);
    if (rc)
        return rc;
    mrp_free_str(&t->prev_td);
    mrp_free_str(&t->prev_id);
    mrp_free_str(&t->prev_sd);
    mrp_free_json(&t->current);
    mrp_free_json(&t->input);
    mrp_free_json(&t->settings);
    t->prev_td = mrp_strdup(mrp_json_str(service, "taskDefinition"));
    t->prev_id = mrp_strdup(mrp_json_str(mrp_rollout_primary(service), "id"));
    t->prev_sd = mrp_strdup(mrp_json_str(service, "currentServiceDeployment"));
    rc = mrp_service_taskdef(&answer, t, t->prev_td, err);
    if (rc)
        return rc;
    const json_t *td = mrp_json_obj(answer, "taskDefinition");
    t->current = mrp_taskdef_input(td, mrp_json_arr(answer, "tags"));
    /* the service may name it "web:3"; its ARN is what a rollback needs */
    mrp_free_str(&t->prev_td);
    t->prev_td = mrp_strdup(mrp_json_str(td, "taskDefinitionArn"));
    if (!t->current || !t->prev_td)
        return mrp_fail(err, MRP_E_NOMEM, "task definition of %s", t->service);
    rc = wanted(t, err);
    if (rc == MRP_OK)
        rc = settings(t, service, err);
    return rc ? rc : decide(t, service, again, err);
}

/* The images that change must be there, and their digests are what regions are compared by. */
static int check_images(struct mrp_target *t, struct mrp_error *err)
{
    if (!t->run->o->check_images || !t->new_td_wanted)
        return MRP_OK;
    t->digests = json_object();
    const char *name;
    json_t *value;
    json_object_foreach(t->images, name, value)
    {
        mrp_auto(mrp_free_str) char *digest = NULL;
        int rc = mrp_image_digest(&digest, t, json_string_value(value), err);
        if (rc && t->run->planning) {
            *err = (struct mrp_error){0}; /* the run pushes it */
            continue;
        }
        if (rc)
            return rc;
        if (digest)
            mrp_json_puts(t->digests, name, digest);
    }
    return MRP_OK;
}

int mrp_preflight(void *target, struct mrp_error *err)
{
    struct mrp_target *t = target;
    const struct mrp_deploy *o = t->run->o;
    int64_t end = mrp_now_ms() + o->timeout_ms;
    bool again = false;
    int rc;
    (void)err; /* a refusal is a state of the target */
    while ((rc = look(t, &again, &t->err)) == MRP_OK && again) {
        if (mrp_now_ms() >= end) {
            rc = mrp_fail(&t->err, MRP_E_TIMEOUT, "service %s in %s is still in another deployment",
                          t->service, t->region);
            break;
        }
        if ((rc = mrp_http_sleep(t->run->http, o->poll_ms, &t->err)) != 0)
            break;
    }
    if (rc == MRP_OK)
        rc = check_images(t, &t->err);
    if (rc)
        t->state = rc == MRP_E_CANCELLED ? MRP_T_CANCELLED : MRP_T_REFUSED;
    return MRP_OK;
}
