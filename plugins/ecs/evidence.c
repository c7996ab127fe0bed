/* Why a rollout failed: service events, stopped tasks with their reasons, in bounded number. */
#include "deploy.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

enum { MAX_EVENTS = 10, MAX_STOPPED = 5, SLACK_S = 2, CUT = 300 };

static void add_text(json_t *list, const char *text)
{
    mrp_auto(mrp_free_str) char *cut = mrp_strndup(text, (size_t)mrp_text_fit(text, CUT));
    json_t *s = cut ? json_string(cut) : NULL;
    if (s)
        json_array_append_new(list, s);
}

static void events(struct mrp_target *t, const json_t *service)
{
    json_t *list = json_array();
    double start = (double)t->started_ms / 1000.0 - SLACK_S;
    size_t i;
    json_t *e;
    json_array_foreach(mrp_json_arr(service, "events"), i, e)
    {
        const char *text = mrp_json_str(e, "message");
        if (!text || json_array_size(list) >= MAX_EVENTS)
            continue;
        if (mrp_json_real(e, "createdAt", start) < start)
            continue;
        add_text(list, text);
        mrp_log(t->run->stage, MRP_ERROR, "%s event: %.*s", t->region, mrp_text_fit(text, CUT),
                text);
    }
    mrp_json_put(t->evidence, "events", list);
}

/* One line of a stopped task: why it stopped, and each container's exit. */
static void stopped_task(struct mrp_target *t, json_t *list, const json_t *task)
{
    struct mrp_buf b = MRP_BUF_INIT(2048);
    const char *arn = mrp_json_str(task, "taskArn");
    const char *code = mrp_json_str(task, "stopCode");
    const char *reason = mrp_json_str(task, "stoppedReason");
    reason = reason ? reason : "no reason given";
    size_t i;
    json_t *c;
    mrp_buf_addf(&b, "task %.40s: %.40s: %.*s", arn ? mrp_basename(arn) : "?",
                 code ? code : "stopped", mrp_text_fit(reason, CUT), reason);
    json_array_foreach(mrp_json_arr(task, "containers"), i, c)
    {
        const char *name = mrp_json_str(c, "name");
        const char *why = mrp_json_str(c, "reason");
        const json_t *exit_code = json_object_get(c, "exitCode");
        if (i >= 10 || (!why && !json_is_integer(exit_code)))
            continue;
        mrp_buf_addf(&b, "; %.60s", name ? name : "?");
        if (json_is_integer(exit_code))
            mrp_buf_addf(&b, " exit %lld", (long long)json_integer_value(exit_code));
        if (why)
            mrp_buf_addf(&b, " %.*s", mrp_text_fit(why, 120), why);
    }
    if (!b.failed) {
        add_text(list, mrp_buf_str(&b));
        mrp_log(t->run->stage, MRP_ERROR, "%s %s", t->region, mrp_buf_str(&b));
    }
    mrp_buf_done(&b);
}

static bool is_mine(const struct mrp_target *t, const json_t *task)
{
    const char *by = mrp_json_str(task, "startedBy");
    const char *reason = mrp_json_str(task, "stoppedReason");
    if (reason && mrp_starts(reason, "Scaling activity initiated by"))
        return false; /* the scheduler stopping old tasks */
    if (by && t->id)
        return strcmp(by, t->id) == 0;
    return mrp_rollout_same_td(mrp_json_str(task, "taskDefinitionArn"), t->td);
}

static void stopped(struct mrp_target *t)
{
    mrp_auto(mrp_free_json) json_t *tasks = NULL;
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    struct mrp_error ignored = {0};
    if (mrp_service_call(&tasks, t, "ListTasks",
                         json_pack("{s:s, s:s, s:s, s:i}", "cluster", t->cluster, "serviceName",
                                   t->service, "desiredStatus", "STOPPED", "maxResults", 100),
                         &ignored))
        return;
    const json_t *arns = mrp_json_arr(tasks, "taskArns");
    if (json_array_size(arns) == 0 ||
        mrp_service_call(&answer, t, "DescribeTasks",
                         json_pack("{s:s, s:O}", "cluster", t->cluster, "tasks", arns), &ignored))
        return;
    json_t *list = json_array();
    size_t i;
    json_t *task;
    json_array_foreach(mrp_json_arr(answer, "tasks"), i, task)
    {
        if (json_array_size(list) < MAX_STOPPED && is_mine(t, task))
            stopped_task(t, list, task);
    }
    mrp_json_put(t->evidence, "stopped-tasks", list);
}

void mrp_evidence_collect(struct mrp_target *t)
{
    mrp_auto(mrp_free_json) json_t *service = NULL;
    struct mrp_error ignored = {0};
    if (t->evidence || mrp_stage_cancelled(t->run->stage))
        return;
    t->evidence = json_object();
    mrp_json_puts(t->evidence, "reason", t->err.msg);
    if (mrp_service_describe(&service, t, &ignored) == MRP_OK)
        events(t, service);
    stopped(t);
    json_t *fields = json_deep_copy(t->evidence);
    mrp_json_puts(fields, "region", t->region);
    mrp_json_puts(fields, "service", t->service);
    mrp_json_puts(fields, "deployment", t->id);
    mrp_event(t->run->stage, "deploy-failed", fields);
}
