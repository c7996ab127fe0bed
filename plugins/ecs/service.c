/* The calls of ECS that a deployment is made of, each bound to its target's region. */
#include "deploy.h"
#include "taskdef.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <string.h>

enum {
    POLL_FAILURES = 4,
    LOOK_MS = 2000,
    LOOKS = 3, /* after a lost answer, each after twice the time */
    SENDS = 3  /* of what must not be done twice, when it turned out not to have been done */
};

int mrp_service_call(json_t **out,
                     const struct mrp_target *t,
                     const char *operation,
                     json_t *input,
                     struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in = input;
    if (!in)
        return mrp_fail(err, MRP_E_NOMEM, "input of %s", operation);
    return mrp_aws_call(out, t->run->aws, "ecs", t->region, operation, in, err);
}

int mrp_service_describe(json_t **out, const struct mrp_target *t, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    int rc = mrp_service_call(
        &answer, t, "DescribeServices",
        json_pack("{s:s, s:[s]}", "cluster", t->cluster, "services", t->service), err);
    if (rc) {
        if (strcmp(err->api, "ClusterNotFoundException") == 0) {
            mrp_wrap(err, "cluster %s", t->cluster);
            mrp_hint(err, "clusters differ by region? give per-region: {%s: {cluster: NAME}}",
                     t->region);
        }
        return rc;
    }
    json_t *service = json_array_get(mrp_json_arr(answer, "services"), 0);
    if (!json_is_object(service)) {
        const char *why =
            mrp_json_str(json_array_get(mrp_json_arr(answer, "failures"), 0), "reason");
        mrp_fail(err, MRP_E_NOTFOUND, "service %s in cluster %s of %s: %s", t->service, t->cluster,
                 t->region, why ? why : "not in the answer");
        return mrp_hint(err, "is it created there? Names that differ by region go into per-region");
    }
    *out = json_incref(service);
    return MRP_OK;
}

int mrp_service_taskdef(json_t **out,
                        const struct mrp_target *t,
                        const char *name,
                        struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    int rc =
        mrp_service_call(&answer, t, "DescribeTaskDefinition",
                         json_pack("{s:s, s:[s]}", "taskDefinition", name, "include", "TAGS"), err);
    if (rc)
        return rc;
    if (!mrp_json_str(mrp_json_obj(answer, "taskDefinition"), "taskDefinitionArn"))
        return mrp_fail(err, MRP_E_REMOTE, "ECS in %s describes %s without an ARN", t->region,
                        name);
    *out = mrp_take_json(&answer);
    return MRP_OK;
}

/* The newest revision of the family, when it is just what is wanted (left by a run that failed). */
static int reuse(bool *found, struct mrp_target *t, struct mrp_error *err)
{
    const char *family = mrp_json_str(t->input, "family");
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    *found = false;
    if (!family)
        return mrp_fail(err, MRP_E_CONFIG, "the task definition has no family");
    int rc = mrp_service_taskdef(&answer, t, family, err);
    if (rc && strcmp(err->api, "ClientException") == 0)
        return MRP_OK; /* a family without an active revision */
    if (rc)
        return rc;
    const json_t *td = mrp_json_obj(answer, "taskDefinition");
    mrp_auto(mrp_free_json) json_t *input = mrp_taskdef_input(td, mrp_json_arr(answer, "tags"));
    const char *status = mrp_json_str(td, "status");
    if ((!status || strcmp(status, "ACTIVE") == 0) && mrp_taskdef_equal(input, t->input)) {
        t->td = mrp_strdup(mrp_json_str(td, "taskDefinitionArn"));
        *found = t->td != NULL;
    }
    return MRP_OK;
}

/* Which of the two writes is looked for, and what shows that it was done. */
struct lost {
    struct mrp_target *t;
    const char *operation;
    int (*look)(bool *done, struct lost *lost, struct mrp_error *err);
    const char *td; /* of UpdateService */
    bool force;
    char *id;
};

/* An answer was lost: was the work done? Looked at more than once, since what ECS shows lags behind
 * what it did. *err keeps the loss unless it turns out to have been done. */
static int look_after(bool *done, struct lost *lost, struct mrp_error *err)
{
    const struct mrp_deployment *run = lost->t->run;
    int64_t wait = run->o->poll_ms < LOOK_MS ? run->o->poll_ms : LOOK_MS;
    struct mrp_error failure = *err;
    *done = false;
    mrp_log(run->stage, MRP_INFO, "%s in %s: %s; looking whether it was done", lost->operation,
            lost->t->region, failure.msg);
    for (int i = 0; i < LOOKS && !*done; i++, wait *= 2) {
        *err = (struct mrp_error){0};
        int rc = mrp_http_sleep(run->http, wait, err);
        if (rc)
            return rc;
        if (lost->look(done, lost, err) != MRP_OK)
            break;
    }
    if (!*done) {
        *err = failure;
        return failure.code;
    }
    *err = (struct mrp_error){0};
    return MRP_OK;
}

/* An answer that cannot be read tells at least that the work was done: never send that again. */
static bool may_send_again(const struct mrp_error *err)
{
    return err->code != MRP_E_REMOTE || err->upstream != 0;
}

static int look_for_revision(bool *done, struct lost *lost, struct mrp_error *err)
{
    return reuse(done, lost->t, err);
}

static int send_register(struct mrp_target *t, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    const struct mrp_aws_request req = {.service = "ecs",
                                        .region = t->region,
                                        .operation = "RegisterTaskDefinition",
                                        .input = t->input,
                                        .once = true};
    int rc = mrp_aws_do(&answer, t->run->aws, &req, err);
    if (rc)
        return rc;
    const char *arn = mrp_json_str(mrp_json_obj(answer, "taskDefinition"), "taskDefinitionArn");
    t->td = mrp_strdup(arn);
    if (!t->td)
        return mrp_fail(err, MRP_E_REMOTE, "ECS in %s registered a task definition without an ARN",
                        t->region);
    return MRP_OK;
}

int mrp_service_register(struct mrp_target *t, struct mrp_error *err)
{
    bool done = false;
    struct lost lost = {.t = t, .operation = "RegisterTaskDefinition", .look = look_for_revision};
    int rc = reuse(&done, t, err);
    if (rc || done)
        return rc;
    for (int i = 0; i < SENDS; i++) {
        *err = (struct mrp_error){0};
        rc = send_register(t, err);
        if (rc && mrp_aws_is_open(err))
            rc = look_after(&done, &lost, err);
        if (rc == MRP_OK || !mrp_aws_is_open(err) || !may_send_again(err))
            break;
    }
    if (rc == MRP_OK)
        mrp_change(t->run->stage, "registered %s in %s", mrp_basename(t->td), t->region);
    return rc;
}

static int primary_id(char **id, const struct mrp_target *t, const json_t *service)
{
    const json_t *primary = mrp_rollout_primary(service);
    const char *new_id = mrp_json_str(primary, "id");
    /* the answer may still show the deployment before */
    if (new_id && !mrp_streq(new_id, t->prev_id) && strlen(new_id) < 96)
        *id = mrp_strdup(new_id);
    return MRP_OK;
}

static int look_for_deployment(bool *done, struct lost *lost, struct mrp_error *err)
{
    const struct mrp_target *t = lost->t;
    mrp_auto(mrp_free_json) json_t *now = NULL;
    int rc = mrp_service_describe(&now, t, err);
    if (rc || !lost->td || !mrp_rollout_same_td(mrp_json_str(now, "taskDefinition"), lost->td))
        return rc;
    if ((rc = primary_id(&lost->id, t, now)) != 0)
        return rc;
    /* a new deployment of the same revision shows by its id alone */
    *done = lost->id || !lost->force;
    return MRP_OK;
}

int mrp_service_update(char **id,
                       struct mrp_target *t,
                       const char *td,
                       bool force,
                       bool settings,
                       struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    mrp_auto(mrp_free_json) json_t *input =
        json_pack("{s:s, s:s}", "cluster", t->cluster, "service", t->service);
    if (!input)
        return mrp_fail(err, MRP_E_NOMEM, "input of UpdateService");
    if (td)
        mrp_json_puts(input, "taskDefinition", td);
    if (force)
        json_object_set_new(input, "forceNewDeployment", json_true());
    if (settings && t->settings)
        json_object_update(input, t->settings);
    /* without force it says what is wanted, and says it twice without harm */
    const struct mrp_aws_request req = {.service = "ecs",
                                        .region = t->region,
                                        .operation = "UpdateService",
                                        .input = input,
                                        .once = force};
    struct lost lost = {
        .t = t, .operation = req.operation, .look = look_for_deployment, .td = td, .force = force};
    int rc = MRP_OK;
    for (int i = 0; i < (force ? SENDS : 1); i++) {
        bool done = false;
        *err = (struct mrp_error){0};
        rc = mrp_aws_do(&answer, t->run->aws, &req, err);
        if (rc == MRP_OK)
            return primary_id(id, t, mrp_json_obj(answer, "service"));
        if (mrp_aws_is_open(err))
            rc = look_after(&done, &lost, err);
        if (done) {
            *id = lost.id;
            return MRP_OK;
        }
        if (!mrp_aws_is_open(err) || !may_send_again(err))
            break;
    }
    return rc;
}

static void tell(const struct mrp_target *t, const struct mrp_rollout *r, int64_t *shown)
{
    int64_t sum = r->running * 1000003 + r->pending * 1009 + r->failed * 7 + r->desired;
    if (sum == *shown)
        return;
    *shown = sum;
    mrp_log(t->run->stage, MRP_INFO, "%s in %s: %lld of %lld running, %lld pending, %lld failed",
            t->service, t->region, (long long)r->running, (long long)r->desired,
            (long long)r->pending, (long long)r->failed);
}

/* The service deployment behind my deployment. Where it may not be read, or is not known (an older
 * partition), the list of deployments must do. */
static enum mrp_verdict
ask_history(const struct mrp_target *t, struct mrp_rollout *r, enum mrp_verdict verdict)
{
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    struct mrp_error err = {0};
    int rc = mrp_service_call(&answer, t, "DescribeServiceDeployments",
                              json_pack("{s:[s]}", "serviceDeploymentArns", r->sd), &err);
    const json_t *sd = json_array_get(mrp_json_arr(answer, "serviceDeployments"), 0);
    if (rc == MRP_OK && json_is_object(sd))
        return mrp_rollout_history(r, verdict, sd);
    r->no_history = rc != MRP_E_NET && rc != MRP_E_TIMEOUT;
    mrp_log(t->run->stage, MRP_DEBUG, "%s in %s: the service deployment is not read: %s",
            t->service, t->region, rc ? err.msg : "it is not in the answer");
    return verdict;
}

static bool wants_history(const struct mrp_rollout *r, enum mrp_verdict verdict, unsigned polls)
{
    if (r->no_history || !r->sd[0] || verdict == MRP_ROLLED_OUT || verdict == MRP_GONE)
        return false;
    return verdict != MRP_ROLLING || r->leaving || polls % MRP_ROLLOUT_HISTORY == 0;
}

int mrp_service_watch(enum mrp_verdict *out,
                      const struct mrp_target *t,
                      struct mrp_rollout *r,
                      struct mrp_error *err)
{
    const struct mrp_deploy *o = t->run->o;
    int64_t end = mrp_now_ms() + o->timeout_ms;
    int64_t shown = -1;
    unsigned failures = 0;
    for (unsigned polls = 1;; polls++) {
        mrp_auto(mrp_free_json) json_t *service = NULL;
        int rc = mrp_service_describe(&service, t, err);
        bool transient = rc == MRP_E_NET || rc == MRP_E_REMOTE || rc == MRP_E_TIMEOUT;
        if (rc == MRP_OK || (rc == MRP_E_NOTFOUND && !err->api[0])) {
            failures = 0;
            *err = (struct mrp_error){0};
            *out = mrp_rollout_judge(r, service);
            if (wants_history(r, *out, polls))
                *out = ask_history(t, r, *out);
            if (r->seen)
                tell(t, r, &shown);
            if (*out != MRP_ROLLING)
                return MRP_OK;
        } else if (!transient || ++failures >= POLL_FAILURES) {
            return rc;
        }
        if (mrp_now_ms() >= end) {
            mrp_fail(err, MRP_E_TIMEOUT,
                     "%s in %s: the rollout did not end in time (%lld of %lld tasks "
                     "run)",
                     t->service, t->region, (long long)r->running, (long long)r->desired);
            return mrp_hint(err, "raise `timeout` if the service needs longer to become healthy");
        }
        /* a fifth of jitter keeps many targets from asking in step */
        int64_t wait = o->poll_ms + (o->poll_ms >= 50 ? mrp_now_us() % (o->poll_ms / 5) : 0);
        if ((rc = mrp_http_sleep(t->run->http, wait, err)) != 0)
            return rc;
    }
}
