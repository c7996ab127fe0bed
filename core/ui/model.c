/* The state of a run as its events tell it. */
#include "model.h"

#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdlib.h>
#include <string.h>

#define MAX_NODES 4096

static void set(char **field, const char *value)
{
    if (!value)
        return;
    free(*field);
    *field = mrp_strdup(value);
}

struct mrp_ui_node *mrp_ui_model_find(struct mrp_ui_model *model, const char *id, bool phase)
{
    for (size_t i = 0; id && i < model->count; i++) {
        if (model->nodes[i].phase == phase && mrp_streq(model->nodes[i].id, id))
            return &model->nodes[i];
    }
    return NULL;
}

static struct mrp_ui_node *obtain(struct mrp_ui_model *model, const char *id, bool phase)
{
    struct mrp_ui_node *node = mrp_ui_model_find(model, id, phase);
    if (node || !id || model->count >= MAX_NODES)
        return node;
    struct mrp_ui_node *grown = model->nodes;
    if (model->count % 32 == 0)
        grown = realloc(model->nodes, (model->count + 32) * sizeof *grown);
    if (!grown)
        return NULL;
    model->nodes = grown;
    char *copy = mrp_strdup(id);
    if (!copy)
        return NULL;
    node = &grown[model->count++];
    *node = (struct mrp_ui_node){.id = copy, .phase = phase};
    return node;
}

struct mrp_ui_node *mrp_ui_model_node(struct mrp_ui_model *model, const json_t *event)
{
    const char *stage = mrp_json_str(event, "stage");
    return stage ? mrp_ui_model_find(model, stage, false)
                 : mrp_ui_model_find(model, mrp_json_str(event, "phase"), true);
}

static int64_t event_time(const json_t *e)
{
    int64_t wall = 0;
    const char *time = mrp_json_str(e, "time");
    return time && mrp_parse_iso8601(&wall, time) == 0 ? wall : 0;
}

/* How long something took, by the times of its two events: "ms" of an event is since the run began.
 */
static int64_t elapsed(const json_t *e, int64_t began)
{
    int64_t wall = event_time(e);
    return began > 0 && wall > began ? wall - began : 0;
}

static void on_run_started(struct mrp_ui_model *m, const json_t *e, int64_t now)
{
    m->began = now;
    m->wall = event_time(e);
    set(&m->run, mrp_json_str(e, "run"));
    set(&m->spec, mrp_json_str(e, "spec"));
    set(&m->dir, mrp_json_str(e, "dir"));
    set(&m->rundir, mrp_json_str(e, "rundir"));
    json_t *stages = mrp_json_arr(e, "stages");
    for (size_t i = 0; i < json_array_size(stages); i++)
        obtain(m, json_string_value(json_array_get(stages, i)), false);
}

static void on_started(struct mrp_ui_model *m, const json_t *e, int64_t now)
{
    const char *stage = mrp_json_str(e, "stage");
    struct mrp_ui_node *n = obtain(m, stage ? stage : mrp_json_str(e, "phase"), !stage);
    if (!n)
        return;
    if (n->wall == 0) {
        n->started = now;
        n->wall = event_time(e);
    }
    n->state = MRP_UI_RUNNING;
    n->heard = now;
    n->attempts = mrp_json_int(e, "attempt", 1);
    n->done_bytes = n->total_bytes = n->done_items = n->total_items = 0;
    set(&n->uses, mrp_json_str(e, "uses"));
    set(&n->region, mrp_json_str(e, "region"));
}

static void on_ended(struct mrp_ui_model *m, const json_t *e)
{
    const char *stage = mrp_json_str(e, "stage");
    struct mrp_ui_node *n = obtain(m, stage ? stage : mrp_json_str(e, "phase"), !stage);
    if (!n)
        return;
    const json_t *counts = mrp_json_obj(e, "counts");
    n->state = MRP_UI_ENDED;
    n->ms = elapsed(e, n->wall);
    n->attempts = mrp_json_int(e, "attempts", n->attempts);
    n->bytes = mrp_json_int(counts, "bytes", 0);
    n->requests = mrp_json_int(counts, "requests", 0);
    set(&n->uses, mrp_json_str(e, "uses"));
    set(&n->region, mrp_json_str(e, "region"));
    set(&n->result, mrp_json_str(e, "result"));
    set(&n->reason, mrp_json_str(e, "reason"));
}

static uint64_t amount(const json_t *e, const char *key)
{
    int64_t v = mrp_json_int(e, key, 0);
    return v > 0 ? (uint64_t)v : 0;
}

static void on_progress(struct mrp_ui_model *m, const json_t *e)
{
    struct mrp_ui_node *n = mrp_ui_model_node(m, e);
    if (!n)
        return;
    set(&n->what, mrp_json_str(e, "what"));
    set(&n->unit, mrp_json_str(e, "unit"));
    n->done_bytes = amount(e, "bytes");
    n->total_bytes = amount(e, "total-bytes");
    n->done_items = amount(e, "items");
    n->total_items = amount(e, "total-items");
}

/* The first command begins an attempt: what the one before failed at is over. */
static void forget_failures(struct mrp_ui_model *m, const char *phase)
{
    for (size_t i = json_array_size(m->failures); i-- > 0;) {
        if (mrp_streq(mrp_json_str(json_array_get(m->failures, i), "phase"), phase))
            json_array_remove(m->failures, i);
    }
}

static void on_command_started(struct mrp_ui_model *m, const json_t *e)
{
    struct mrp_ui_node *n = mrp_ui_model_node(m, e);
    if (!n)
        return;
    n->commands++;
    set(&n->what, mrp_json_str(e, "text"));
    if (mrp_json_int(e, "index", 0) == 1)
        forget_failures(m, n->id);
}

static void on_command_ended(struct mrp_ui_model *m, const json_t *e)
{
    struct mrp_ui_node *n = mrp_ui_model_node(m, e);
    int64_t sig = mrp_json_int(e, "signal", 0);
    if (n)
        n->status = sig > 0 ? 128 + sig : mrp_json_int(e, "exit", 0);
}

static void on_run_ended(struct mrp_ui_model *m, const json_t *e)
{
    set(&m->result, mrp_json_str(e, "result"));
    m->ms = elapsed(e, m->wall);
    json_t *artifacts = mrp_json_arr(e, "artifacts");
    if (artifacts) {
        json_decref(m->artifacts);
        m->artifacts = json_incref(artifacts);
    }
}

bool mrp_ui_model_empty(const struct mrp_ui_node *node)
{
    return node->phase && node->commands == 0 && !mrp_streq(node->result, "failed");
}

void mrp_ui_model_event(struct mrp_ui_model *model, const json_t *event, int64_t now)
{
    const char *type = mrp_json_str(event, "event");
    if (!type)
        return;
    if (mrp_streq(type, "run-started")) {
        on_run_started(model, event, now);
    } else if (mrp_streq(type, "phase-started") || mrp_streq(type, "stage-started")) {
        on_started(model, event, now);
    } else if (mrp_streq(type, "phase-ended") || mrp_streq(type, "stage-ended")) {
        on_ended(model, event);
    } else if (mrp_streq(type, "progress")) {
        on_progress(model, event);
    } else if (mrp_streq(type, "command-started")) {
        on_command_started(model, event);
    } else if (mrp_streq(type, "command-ended")) {
        on_command_ended(model, event);
    } else if (mrp_streq(type, "failure")) {
        if (!model->failures)
            model->failures = json_array();
        if (json_array_size(model->failures) < 100)
            json_array_append_new(model->failures, json_deep_copy(event));
    } else if (mrp_streq(type, "run-ended")) {
        on_run_ended(model, event);
    }
}

void mrp_ui_model_done(struct mrp_ui_model *model)
{
    for (size_t i = 0; i < model->count; i++) {
        struct mrp_ui_node *n = &model->nodes[i];
        free(n->id);
        free(n->uses);
        free(n->region);
        free(n->result);
        free(n->reason);
        free(n->what);
        free(n->unit);
    }
    free(model->nodes);
    json_decref(model->failures);
    json_decref(model->artifacts);
    free(model->run);
    free(model->spec);
    free(model->dir);
    free(model->rundir);
    free(model->result);
    *model = (struct mrp_ui_model){0};
}
