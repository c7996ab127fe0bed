/* ecs/deploy: preflight everywhere, then wave after wave, back again when one fails. */
#include "deploy.h"
#include "taskdef.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdlib.h>
#include <string.h>

static void fail_target(struct mrp_target *t, int rc)
{
    t->state = rc == MRP_E_CANCELLED ? MRP_T_CANCELLED : MRP_T_FAILED;
    if (t->state == MRP_T_FAILED && (t->updated || t->adopt))
        mrp_evidence_collect(t);
}

static int judge(struct mrp_target *t, enum mrp_verdict verdict, const struct mrp_rollout *r)
{
    static const char *const what[] = {
        [MRP_ROLLED_BACK] = "did not complete",
        [MRP_SUPERSEDED] = "was superseded",
        [MRP_TASKS_FAIL] = "was given up",
        [MRP_GONE] = "ended",
    };
    if (verdict == MRP_ROLLED_OUT)
        return MRP_OK;
    mrp_fail(&t->err, verdict == MRP_SUPERSEDED ? MRP_E_CONFLICT : MRP_E_REMOTE,
             "%s in %s: deployment %s of %s %s: %s", t->service, t->region,
             t->id ? t->id : "(no id)", mrp_basename(t->td), what[verdict], r->why);
    return t->err.code;
}

/* After the rollout it must stay: my deployment primary, its tasks running. */
static int bake(struct mrp_target *t)
{
    const struct mrp_deploy *o = t->run->o;
    int64_t end = mrp_now_ms() + o->bake_ms;
    unsigned low = 0;
    if (o->bake_ms <= 0)
        return MRP_OK;
    mrp_log(t->run->stage, MRP_INFO, "%s in %s: baking", t->service, t->region);
    do {
        mrp_auto(mrp_free_json) json_t *service = NULL;
        int rc = mrp_http_sleep(t->run->http, o->poll_ms, &t->err);
        if (rc == MRP_OK)
            rc = mrp_service_describe(&service, t, &t->err);
        if (rc)
            return rc;
        const json_t *primary = mrp_rollout_primary(service);
        if (!mrp_streq(mrp_json_str(primary, "id"), t->id))
            return mrp_fail(&t->err, MRP_E_REMOTE, "%s in %s: deployment %s did not stay primary",
                            t->service, t->region, t->id ? t->id : "(no id)");
        bool short_of =
            mrp_json_int(primary, "runningCount", 0) < mrp_json_int(primary, "desiredCount", 0);
        low = short_of ? low + 1 : 0;
        if (low >= 3)
            return mrp_fail(&t->err, MRP_E_REMOTE, "%s in %s: tasks ended after the rollout",
                            t->service, t->region);
    } while (mrp_now_ms() < end);
    return MRP_OK;
}

static int start(struct mrp_target *t)
{
    int rc = MRP_OK;
    t->started_ms = mrp_wall_ms();
    if (t->adopt) {
        mrp_log(t->run->stage, MRP_INFO, "%s in %s: %s is under way already", t->service, t->region,
                mrp_basename(t->td));
        return MRP_OK;
    }
    if (t->new_td_wanted)
        rc = mrp_service_register(t, &t->err);
    else
        t->td = mrp_strdup(t->prev_td);
    if (rc)
        return rc;
    t->updated = true; /* also when the answer is lost: the way back looks what is there */
    rc = mrp_service_update(&t->id, t, t->new_td_wanted || t->force ? t->td : NULL, t->force, true,
                            &t->err);
    if (rc)
        return rc;
    mrp_change(t->run->stage, "updated service %s in %s to %s", t->service, t->region,
               mrp_basename(t->td));
    return MRP_OK;
}

/* A task: one target from PLANNED to its end. */
static int deploy_target(void *target, struct mrp_error *err)
{
    struct mrp_target *t = target;
    const struct mrp_deploy *o = t->run->o;
    (void)err; /* failures are states of the target */
    if (t->state != MRP_T_PLANNED)
        return MRP_OK;
    int rc = start(t);
    bool rollout = t->new_td_wanted || t->force || t->adopt;
    if (rc == MRP_OK && rollout && o->wait == MRP_WAIT_ROLLOUT) {
        struct mrp_rollout r = {.id = t->id,
                                .td = t->td,
                                .prev_td = t->prev_td,
                                .prev_id = t->adopt ? NULL : t->prev_id,
                                .prev_sd = t->prev_sd,
                                .no_history = t->adopt,
                                .fail_fast = o->fail_fast};
        enum mrp_verdict verdict = MRP_ROLLING;
        rc = mrp_service_watch(&verdict, t, &r, &t->err);
        if (!t->id && r.found[0])
            t->id = mrp_strdup(r.found);
        if (rc == MRP_OK)
            rc = judge(t, verdict, &r);
        if (verdict == MRP_SUPERSEDED)
            t->state = MRP_T_SUPERSEDED;
        if (rc == MRP_OK)
            rc = bake(t);
    }
    if (rc == MRP_OK)
        t->state = MRP_T_DEPLOYED;
    else if (t->state != MRP_T_SUPERSEDED)
        fail_target(t, rc);
    return MRP_OK;
}

static const struct mrp_target *first_bad(const struct mrp_deployment *d)
{
    const struct mrp_target *bad = NULL;
    for (size_t i = 0; i < d->count; i++) {
        const struct mrp_target *t = &d->targets[i];
        if (t->err.code != MRP_OK && (!bad || bad->err.code == MRP_E_CANCELLED))
            bad = t;
    }
    return bad;
}

static size_t count_in(const struct mrp_deployment *d, enum mrp_target_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < d->count; i++)
        n += d->targets[i].state == state;
    return n;
}

/* Reverse order of waves: what was reached last goes back first. */
static int undo(struct mrp_deployment *d, size_t reached, struct mrp_error *err)
{
    if (d->o->on_failure == MRP_UNDO_NONE || mrp_stage_cancelled(d->stage))
        return MRP_OK;
    if (d->o->on_failure == MRP_UNDO_FAILED_ONLY)
        for (size_t i = 0; i < d->count; i++)
            if (d->targets[i].state == MRP_T_DEPLOYED)
                d->targets[i].updated = d->targets[i].adopt = false;
    for (size_t wave = reached + 1; wave-- > 0;) {
        int rc = mrp_targets_each(d, wave, mrp_undo, err);
        if (rc)
            return rc;
    }
    return MRP_OK;
}

static json_t *target_json(const struct mrp_target *t)
{
    json_t *one = json_object();
    mrp_json_puts(one, "region", t->region);
    mrp_json_puts(one, "cluster", t->cluster);
    mrp_json_puts(one, "service", t->service);
    mrp_json_puts(one, "result", mrp_target_state_name(t->state));
    mrp_json_puts(one, "deployment", t->id ? t->id : t->prev_id);
    bool back = t->state == MRP_T_UNDONE || !t->td;
    mrp_json_puts(one, "task-definition", back ? t->prev_td : t->td);
    mrp_json_puts(one, "previous", t->prev_td);
    void *it = json_object_iter(t->images);
    const char *name = it ? json_object_iter_key(it) : NULL;
    mrp_json_puts(one, "image", mrp_taskdef_image(t->input ? t->input : t->current, name));
    if (t->images)
        mrp_json_put(one, "images", json_deep_copy(t->images));
    if (json_object_size(t->digests) > 0)
        mrp_json_put(one, "digests", json_deep_copy(t->digests));
    if (t->evidence)
        mrp_json_put(one, "evidence", json_deep_copy(t->evidence));
    return one;
}

static int set_outputs(const struct mrp_deployment *d, const char *result, struct mrp_error *err)
{
    json_t *regions = json_object();
    json_t *targets = json_array();
    for (size_t i = 0; i < d->count; i++) {
        json_t *one = target_json(&d->targets[i]);
        json_array_append(targets, one);
        /* of several services in a region the first one stands for it here */
        if (!json_object_get(regions, d->targets[i].region))
            mrp_json_put(regions, d->targets[i].region, one);
        else
            json_decref(one);
    }
    int rc = mrp_output(d->stage, "regions", regions, err);
    int rc2 = mrp_output(d->stage, "targets", targets, err);
    int rc3 = mrp_output(d->stage, "result", json_string(result), err);
    return rc ? rc : rc2 ? rc2 : rc3;
}

/* The stage's error: the target that failed, and what became of the others. */
static int conclude(struct mrp_deployment *d, struct mrp_error *err)
{
    const struct mrp_target *bad = first_bad(d);
    size_t undone = count_in(d, MRP_T_UNDONE);
    size_t stuck = count_in(d, MRP_T_UNDO_FAILED);
    const char *result = count_in(d, MRP_T_REFUSED)      ? "refused"
                         : stuck                         ? "rollback-incomplete"
                         : count_in(d, MRP_T_SUPERSEDED) ? "superseded"
                         : count_in(d, MRP_T_CANCELLED)  ? "cancelled"
                         : undone                        ? "rolled-back"
                                                         : "failed";
    struct mrp_error ignored = {0};
    (void)set_outputs(d, result, &ignored);
    for (size_t i = 0; i < d->count; i++) {
        const struct mrp_target *t = &d->targets[i];
        if (t != bad && t->err.code != MRP_OK)
            mrp_log(d->stage, MRP_ERROR, "%s", t->err.msg);
    }
    if (bad)
        *err = bad->err;
    else
        mrp_fail(err, MRP_E_BUG, "the deployment ended without a reason");
    if (err->hint[0])
        return err->code;
    const json_t *stopped = mrp_json_arr(bad ? bad->evidence : NULL, "stopped-tasks");
    const char *why = json_string_value(json_array_get(stopped, 0));
    const char *after = stuck                ? "the rollback failed too, look at the service now"
                        : undone == d->count ? "every region is back on the revision before"
                        : undone             ? "what was deployed is back on the revision before"
                                             : "nothing was rolled back";
    if (count_in(d, MRP_T_REFUSED))
        return mrp_hint(err, "nothing was written in any region");
    return why ? mrp_hint(err, "%s; %.*s", after, mrp_text_fit(why, 160), why)
               : mrp_hint(err, "%s", after);
}

static int waves(struct mrp_deployment *d, bool *failed, struct mrp_error *err)
{
    for (size_t wave = 0; wave < d->waves && !*failed; wave++) {
        int rc = mrp_targets_each(d, wave, deploy_target, err);
        if (rc)
            return rc;
        *failed = first_bad(d) != NULL;
        if (*failed && (rc = undo(d, wave, err)) != 0)
            return rc;
    }
    for (size_t i = 0; i < d->count; i++)
        if (d->targets[i].state == MRP_T_PLANNED)
            d->targets[i].state = MRP_T_SKIPPED;
    return MRP_OK;
}

int mrp_deploy_run(void *options,
                   struct mrp_stage *stage,
                   enum mrp_result *result,
                   struct mrp_error *err)
{
    mrp_auto(mrp_targets_done) struct mrp_deployment d = {.o = options, .stage = stage};
    bool failed = false;
    int rc = mrp_targets_open(&d, err);
    if (rc == MRP_OK)
        rc = mrp_targets_images(&d, err);
    if (rc == MRP_OK)
        rc = mrp_targets_each(&d, SIZE_MAX, mrp_preflight, err);
    if (rc)
        return rc;
    /* one unfit region, and nothing is written anywhere */
    if (first_bad(&d))
        return conclude(&d, err);
    if ((rc = mrp_parity_planned(&d, err)) != 0) {
        struct mrp_error ignored = {0};
        (void)set_outputs(&d, "refused", &ignored);
        return rc;
    }
    *result = count_in(&d, MRP_T_PLANNED) ? MRP_CHANGED : MRP_UNCHANGED;
    for (size_t i = 0; i < d.count; i++)
        if (d.targets[i].state == MRP_T_UNCHANGED)
            mrp_log(stage, MRP_INFO, "%s in %s runs %s already", d.targets[i].service,
                    d.targets[i].region, mrp_basename(d.targets[i].prev_td));
    if ((rc = waves(&d, &failed, err)) != 0)
        return rc;
    if (failed)
        return conclude(&d, err);
    for (size_t i = 0; i < d.count; i++)
        mrp_revisions_prune(&d.targets[i]);
    return set_outputs(&d, *result == MRP_CHANGED ? "deployed" : "unchanged", err);
}

static void tell_plan(const struct mrp_target *t)
{
    struct mrp_stage *stage = t->run->stage;
    if (t->new_td_wanted) {
        mrp_auto(mrp_free_str) char *diff = mrp_taskdef_diff(t->current, t->input);
        mrp_change(stage, "%s in %s: new revision, %s", t->service, t->region, diff ? diff : "");
    } else if (t->adopt) {
        mrp_change(stage, "%s in %s: wait for the rollout that is under way", t->service,
                   t->region);
    } else if (t->force) {
        mrp_change(stage, "%s in %s: new deployment of the same revision", t->service, t->region);
    }
    if (t->settings) {
        mrp_auto(mrp_free_str) char *text = mrp_json_text(t->settings);
        mrp_change(stage, "%s in %s: %s", t->service, t->region, text ? text : "settings");
    }
}

int mrp_deploy_plan(void *options,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err)
{
    mrp_auto(mrp_targets_done) struct mrp_deployment d = {
        .o = options, .stage = stage, .planning = true};
    int rc = mrp_targets_open(&d, err);
    if (rc == MRP_OK)
        rc = mrp_targets_images(&d, err);
    if (rc == MRP_E_NOTFOUND) {
        mrp_change(stage, "deploy the images that the phases build (known after run)");
        *result = MRP_CHANGED;
        return MRP_OK;
    }
    if (rc == MRP_OK)
        rc = mrp_targets_each(&d, SIZE_MAX, mrp_preflight, err);
    if (rc)
        return rc;
    if (first_bad(&d))
        return conclude(&d, err);
    for (size_t i = 0; i < d.count; i++)
        tell_plan(&d.targets[i]);
    *result = count_in(&d, MRP_T_PLANNED) ? MRP_CHANGED : MRP_UNCHANGED;
    return MRP_OK;
}
