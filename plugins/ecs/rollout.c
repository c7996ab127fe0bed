/* The rules of a rollout: success is my deployment id, PRIMARY and COMPLETED; nothing else is. */
#include "rollout.h"

#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdio.h>
#include <string.h>

const json_t *mrp_rollout_find(const json_t *service, const char *id)
{
    size_t i;
    json_t *d;
    json_array_foreach(mrp_json_arr(service, "deployments"), i, d)
    {
        if (id && mrp_streq(mrp_json_str(d, "id"), id))
            return d;
    }
    return NULL;
}

const json_t *mrp_rollout_primary(const json_t *service)
{
    size_t i;
    json_t *d;
    json_array_foreach(mrp_json_arr(service, "deployments"), i, d)
    {
        if (mrp_streq(mrp_json_str(d, "status"), "PRIMARY"))
            return d;
    }
    return NULL;
}

bool mrp_rollout_same_td(const char *a, const char *b)
{
    if (!a || !b)
        return false;
    const char *x = strrchr(a, '/');
    const char *y = strrchr(b, '/');
    if (x && y)
        return strcmp(a, b) == 0;
    return strcmp(x ? x + 1 : a, y ? y + 1 : b) == 0;
}

static const char *words(const json_t *deployment, const char *otherwise)
{
    const char *reason = mrp_json_str(deployment, "rolloutStateReason");
    return reason && *reason ? reason : otherwise;
}

/* More of the reason, unless it is said already. */
static void add(struct mrp_rollout *r, const char *before, const char *text)
{
    size_t n = strlen(r->why);
    if (text && *text && !strstr(r->why, text))
        snprintf(r->why + n, sizeof r->why - n, "%s%s%s", n ? "; " : "", before, text);
}

/* "a, b" of a list of texts, as far as there is room. */
static const char *join(char *out, size_t size, const json_t *list)
{
    size_t i, n = 0;
    json_t *item;
    out[0] = '\0';
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        if (text && n + strlen(text) + 3 < size)
            n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "", text);
    }
    return out;
}

#define GUESS "alarms of the service: "

/* ECS's reason may speak of an alarm without naming it. */
static void add_alarms(struct mrp_rollout *r, const json_t *service)
{
    char text[160];
    const json_t *alarms = mrp_json_obj(mrp_json_obj(service, "deploymentConfiguration"), "alarms");
    if (mrp_json_bool(alarms, "enable", false) && strcasestr(r->why, "alarm"))
        add(r, GUESS, join(text, sizeof text, mrp_json_arr(alarms, "alarmNames")));
}

static enum mrp_verdict say(struct mrp_rollout *r, enum mrp_verdict v, const char *text)
{
    mrp_copy(r->why, sizeof r->why, text);
    return v;
}

/* Another deployment is primary: ECS going back to what ran before, or somebody else's. */
static enum mrp_verdict other(struct mrp_rollout *r, const json_t *mine, const json_t *primary)
{
    const char *td = mrp_json_str(primary, "taskDefinition");
    const char *id = mrp_json_str(primary, "id");
    if (td && mrp_rollout_same_td(td, r->prev_td) && !mrp_rollout_same_td(td, r->td))
        return say(
            r, MRP_ROLLED_BACK,
            words(mine, words(primary, "ECS rolled the service back to the revision before")));
    snprintf(r->why, sizeof r->why, "another deployment was started: %.60s with %.100s",
             id ? id : "(no id)", td ? td : "(no task definition)");
    return MRP_SUPERSEDED;
}

static const json_t *mine_of(struct mrp_rollout *r, const json_t *service)
{
    if (r->id)
        return mrp_rollout_find(service, r->id);
    if (r->found[0])
        return mrp_rollout_find(service, r->found);
    const json_t *primary = mrp_rollout_primary(service);
    const char *id = mrp_json_str(primary, "id");
    bool fresh = id && !mrp_streq(id, r->prev_id) &&
                 mrp_rollout_same_td(mrp_json_str(primary, "taskDefinition"), r->td);
    if (!fresh)
        return NULL;
    mrp_copy(r->found, sizeof r->found, id);
    return primary;
}

/* The answer does not show my deployment: it lags behind at first, later it is a verdict. */
static enum mrp_verdict absent(struct mrp_rollout *r, const json_t *service)
{
    const json_t *primary = mrp_rollout_primary(service);
    const char *id = mrp_json_str(primary, "id");
    bool moved = id && !mrp_streq(id, r->prev_id);
    r->absent++;
    if (r->seen && primary && moved)
        return other(r, NULL, primary);
    if (r->absent < (r->seen ? MRP_ROLLOUT_LOST : MRP_ROLLOUT_GRACE))
        return MRP_ROLLING;
    if (primary && moved)
        return other(r, NULL, primary);
    if (r->seen)
        return say(r, MRP_ROLLED_BACK, "the deployment is gone and the one before is primary");
    return say(r, MRP_ROLLED_BACK, "ECS shows no deployment of the new task definition");
}

static enum mrp_verdict by_counts(struct mrp_rollout *r, const json_t *service)
{
    /* classic load balancers and other controllers have no rollout state */
    bool alone = json_array_size(mrp_json_arr(service, "deployments")) == 1;
    if (alone && r->running == r->desired && r->pending == 0)
        r->steady++;
    else
        r->steady = 0;
    return r->steady >= MRP_ROLLOUT_STEADY ? MRP_ROLLED_OUT : MRP_ROLLING;
}

/* While my deployment is the primary one, the current service deployment is mine. */
static void note_history(struct mrp_rollout *r, const json_t *service)
{
    const char *sd = mrp_json_str(service, "currentServiceDeployment");
    if (sd && !mrp_streq(sd, r->prev_sd) && strlen(sd) < sizeof r->sd)
        mrp_copy(r->sd, sizeof r->sd, sd);
}

static enum mrp_verdict judge(struct mrp_rollout *r, const json_t *service)
{
    const char *status = mrp_json_str(service, "status");
    if (!service || (status && strcmp(status, "ACTIVE") != 0)) {
        snprintf(r->why, sizeof r->why, "the service is %.40s", status ? status : "MISSING");
        return MRP_GONE;
    }
    const json_t *mine = mine_of(r, service);
    if (!mine)
        return absent(r, service);
    r->seen = true;
    r->absent = 0;
    r->running = mrp_json_int(mine, "runningCount", 0);
    r->pending = mrp_json_int(mine, "pendingCount", 0);
    r->desired = mrp_json_int(mine, "desiredCount", 0);
    r->failed = mrp_json_int(mine, "failedTasks", 0);

    const char *state = mrp_json_str(mine, "rolloutState");
    if (mrp_streq(state, "FAILED"))
        return say(r, MRP_ROLLED_BACK, words(mine, "ECS set the deployment to FAILED"));
    if (!mrp_streq(mrp_json_str(mine, "status"), "PRIMARY")) {
        const json_t *primary = mrp_rollout_primary(service);
        if (!primary)
            return MRP_ROLLING;
        return other(r, mine, primary);
    }
    note_history(r, service);
    if (mrp_streq(state, "COMPLETED"))
        return MRP_ROLLED_OUT;
    if (r->fail_fast > 0 && r->failed >= r->fail_fast && r->running == 0) {
        snprintf(r->why, sizeof r->why, "%lld tasks failed in a row and none runs",
                 (long long)r->failed);
        return MRP_TASKS_FAIL;
    }
    return state ? MRP_ROLLING : by_counts(r, service);
}

enum mrp_verdict mrp_rollout_judge(struct mrp_rollout *r, const json_t *service)
{
    enum mrp_verdict verdict = judge(r, service);
    /* the list may have moved on before my deployment was ever seen in it */
    if (verdict == MRP_ROLLED_BACK && !r->sd[0])
        note_history(r, service);
    if (verdict == MRP_ROLLED_BACK)
        add_alarms(r, service);
    return verdict;
}

static void explain(struct mrp_rollout *r, const json_t *sd)
{
    char text[160];
    const json_t *alarms = mrp_json_obj(sd, "alarms");
    const json_t *breaker = mrp_json_obj(sd, "deploymentCircuitBreaker");
    if (mrp_streq(mrp_json_str(alarms, "status"), "TRIGGERED")) {
        const json_t *list = mrp_json_arr(alarms, "triggeredAlarmNames");
        bool known = json_array_size(list) > 0;
        char *guess = strstr(r->why, "; " GUESS);
        if (guess)
            *guess = '\0';
        add(r, known ? "alarm went off: " : "an alarm went off, of: ",
            join(text, sizeof text, known ? list : mrp_json_arr(alarms, "alarmNames")));
    }
    if (mrp_streq(mrp_json_str(breaker, "status"), "TRIGGERED")) {
        snprintf(text, sizeof text, "%lld failures, %lld are allowed",
                 (long long)mrp_json_int(breaker, "failureCount", 0),
                 (long long)mrp_json_int(breaker, "threshold", 0));
        add(r, "circuit breaker: ", text);
    }
    add(r, "", mrp_json_str(sd, "statusReason"));
    add(r, "rollback: ", mrp_json_str(mrp_json_obj(sd, "rollback"), "reason"));
}

enum mrp_verdict
mrp_rollout_history(struct mrp_rollout *r, enum mrp_verdict verdict, const json_t *sd)
{
    const char *status = mrp_json_str(sd, "status");
    bool back = status && mrp_starts(status, "ROLLBACK_");
    bool failed = back || (status && mrp_starts(status, "STOP"));
    if (verdict == MRP_ROLLED_OUT || verdict == MRP_GONE)
        return verdict;
    if (!failed) {
        if (verdict == MRP_ROLLED_BACK) /* the history lags behind the list */
            explain(r, sd);
        return verdict;
    }
    if (verdict == MRP_ROLLING) {
        if (++r->leaving < MRP_ROLLOUT_LOST)
            return MRP_ROLLING;
        snprintf(r->why, sizeof r->why, "its service deployment is %.40s", status);
    }
    if (verdict == MRP_SUPERSEDED && !back)
        return verdict;
    if (verdict == MRP_SUPERSEDED) /* by ECS itself, which went back to the same revision */
        snprintf(r->why, sizeof r->why, "ECS rolled the deployment back (%.40s)", status);
    explain(r, sd);
    return MRP_ROLLED_BACK;
}
