/* Back to the revision before: as a deployment of its own that is watched like any other. */
#include "deploy.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

static int watch_back(struct mrp_target *t, char *id, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *mine = id;
    struct mrp_rollout r = {
        .id = mine, .td = t->prev_td, .prev_td = t->td, .prev_id = t->id, .no_history = true};
    enum mrp_verdict verdict = MRP_ROLLING;
    int rc = mrp_service_watch(&verdict, t, &r, err);
    if (rc)
        return rc;
    if (verdict == MRP_ROLLED_OUT)
        return MRP_OK;
    return mrp_fail(err, MRP_E_REMOTE, "%s in %s: the way back to %s failed: %s", t->service,
                    t->region, mrp_basename(t->prev_td), r.why);
}

static int go_back(struct mrp_target *t, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *service = NULL;
    char *id = NULL;
    int rc = mrp_service_describe(&service, t, err);
    if (rc)
        return rc;
    const json_t *primary = mrp_rollout_primary(service);
    const char *td = mrp_json_str(primary, "taskDefinition");
    const char *primary_id = mrp_json_str(primary, "id");
    if (mrp_rollout_same_td(td, t->prev_td) && mrp_streq(primary_id, t->prev_id))
        return MRP_OK; /* the update never took hold */
    if (mrp_rollout_same_td(td, t->prev_td)) {
        /* the circuit breaker has begun it */
        mrp_log(t->run->stage, MRP_INFO, "%s in %s: ECS is rolling back to %s", t->service,
                t->region, mrp_basename(t->prev_td));
        return watch_back(t, mrp_strdup(primary_id), err);
    }
    bool mine = mrp_streq(primary_id, t->id) || mrp_rollout_same_td(td, t->td);
    if (!mine) {
        t->state = MRP_T_SUPERSEDED;
        return mrp_fail(err, MRP_E_CONFLICT,
                        "%s in %s: somebody else deployed meanwhile, left alone", t->service,
                        t->region);
    }
    mrp_change(t->run->stage, "rolled back %s in %s to %s", t->service, t->region,
               mrp_basename(t->prev_td));
    /* without a desired count: what autoscaling made of it stays */
    free(t->prev_id);
    t->prev_id = mrp_strdup(primary_id);
    rc = mrp_service_update(&id, t, t->prev_td, false, false, err);
    return rc ? rc : watch_back(t, id, err);
}

int mrp_undo(void *target, struct mrp_error *err)
{
    struct mrp_target *t = target;
    struct mrp_error own = {0};
    (void)err; /* a failed way back is a state of the target */
    bool touched = t->updated || t->adopt;
    bool ended = t->state == MRP_T_DEPLOYED || t->state == MRP_T_FAILED;
    if (!touched || !ended || !t->prev_td || mrp_rollout_same_td(t->prev_td, t->td))
        return MRP_OK;
    if (go_back(t, &own) == MRP_OK) {
        t->state = MRP_T_UNDONE;
    } else if (t->state != MRP_T_SUPERSEDED) {
        t->state = own.code == MRP_E_CANCELLED ? MRP_T_CANCELLED : MRP_T_UNDO_FAILED;
        mrp_log(t->run->stage, MRP_ERROR, "rollback: %s", own.msg);
        if (t->err.code == MRP_OK)
            t->err = own;
    }
    return MRP_OK;
}
