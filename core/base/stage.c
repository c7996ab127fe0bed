/* What an action can ask and say; every sentence becomes one frame. */
#include "stage_data.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROGRESS_EVERY_MS = 100, MAX_LOG = 8192 };

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

const char *mrp_stage_id(const struct mrp_stage *stage)
{
    return or_empty(stage->init.id);
}

const char *mrp_stage_run_id(const struct mrp_stage *stage)
{
    return or_empty(stage->init.run_id);
}

const char *mrp_stage_region(const struct mrp_stage *stage)
{
    return or_empty(stage->init.region);
}

const char *mrp_stage_primary(const struct mrp_stage *stage)
{
    return or_empty(stage->init.primary);
}

char *const *mrp_stage_secondaries(const struct mrp_stage *stage)
{
    static char *const none[] = {NULL};
    return stage->init.secondaries ? stage->init.secondaries : none;
}

const char *mrp_stage_workdir(const struct mrp_stage *stage)
{
    return stage->init.workdir ? stage->init.workdir : ".";
}

const char *mrp_stage_rundir(const struct mrp_stage *stage)
{
    return stage->init.rundir ? stage->init.rundir : mrp_stage_workdir(stage);
}

const char *mrp_stage_role_arn(const struct mrp_stage *stage)
{
    return or_empty(stage->init.role_arn);
}

bool mrp_stage_dry_run(const struct mrp_stage *stage)
{
    return stage->init.dry_run;
}

bool mrp_stage_debug(const struct mrp_stage *stage, const char *topic)
{
    struct mrp_view rest = mrp_view_str(stage->init.debug), piece;
    while (mrp_view_next(&piece, &rest, ','))
        if (mrp_view_is(mrp_view_trim(piece), topic) || mrp_view_is(mrp_view_trim(piece), "all"))
            return true;
    return false;
}

const char *mrp_stage_env(const struct mrp_stage *stage, const char *name)
{
    size_t n = strlen(name);
    if (!stage->init.env)
        return getenv(name);
    for (char *const *e = stage->init.env; *e; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            return *e + n + 1;
    return NULL;
}

const json_t *mrp_stage_endpoints(const struct mrp_stage *stage)
{
    return stage->init.endpoints ? stage->init.endpoints : stage->nothing;
}

const json_t *mrp_stage_artifacts(const struct mrp_stage *stage)
{
    return stage->init.artifacts ? stage->init.artifacts : stage->nothing;
}

bool mrp_stage_cancelled(const struct mrp_stage *stage)
{
    return stage->init.cancelled && *stage->init.cancelled;
}

int mrp_stage_path(char **out,
                   const struct mrp_stage *stage,
                   const char *path,
                   struct mrp_error *err)
{
    if (path[0] != '/')
        return mrp_path_inside(out, mrp_stage_workdir(stage), path, err);
    char *clean = mrp_path_join("/", path);
    if (!clean)
        return mrp_fail(err, MRP_E_NOMEM, "path %s", path);
    *out = clean;
    return MRP_OK;
}

/* Text of a message as JSON: what is not UTF-8 is shown as '?'. */
static json_t *text_json(char *text)
{
    json_t *j = json_string(text);
    for (char *p = text; !j && *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    return j ? j : json_string(text);
}

void mrp_log(struct mrp_stage *stage, enum mrp_level level, const char *fmt, ...)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    char text[MAX_LOG];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const char *name = (size_t)level < MRP_COUNT(levels) ? levels[level] : "info";
    mrp_stage_send(
        stage, json_pack("{s:s, s:s, s:o}", "type", "log", "level", name, "text", text_json(text)));
}

void mrp_change(struct mrp_stage *stage, const char *fmt, ...)
{
    char text[MAX_LOG];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    mrp_stage_send(stage, json_pack("{s:s, s:o}", "type", "change", "text", text_json(text)));
}

void mrp_event(struct mrp_stage *stage, const char *name, json_t *fields)
{
    mrp_stage_send(stage, json_pack("{s:s, s:s, s:o}", "type", "event", "name", name, "fields",
                                    fields ? fields : json_object()));
}

void mrp_progress(struct mrp_stage *stage, const struct mrp_progress *progress)
{
    int64_t now = mrp_now_ms();
    json_t *frame =
        json_pack("{s:s, s:s*, s:I, s:I, s:I, s:I, s:s*}", "type", "progress", "what",
                  progress->what, "bytes", (json_int_t)progress->done_bytes, "total-bytes",
                  (json_int_t)progress->total_bytes, "items", (json_int_t)progress->done_items,
                  "total-items", (json_int_t)progress->total_items, "unit", progress->unit);
    mrp_free_json(&stage->held);
    stage->held = frame;
    if (now - stage->sent_ms < PROGRESS_EVERY_MS)
        return;
    stage->sent_ms = now;
    mrp_stage_flush(stage);
}

void mrp_count(struct mrp_stage *stage, const char *name, int64_t delta)
{
    mrp_stage_send(stage, json_pack("{s:s, s:s, s:I}", "type", "count", "name", name, "delta",
                                    (json_int_t)delta));
}

void mrp_secret(struct mrp_stage *stage, const char *value)
{
    if (value && strlen(value) >= 4)
        mrp_stage_send(stage, json_pack("{s:s, s:s}", "type", "secret", "value", value));
}

int mrp_output(struct mrp_stage *stage, const char *name, json_t *value, struct mrp_error *err)
{
    const struct mrp_output_info *info = stage->init.outputs;
    while (info && info->name && strcmp(info->name, name) != 0)
        info++;
    if (stage->init.outputs && (!info || !info->name)) {
        json_decref(value);
        return mrp_fail(err, MRP_E_BUG, "output `%s` is not declared by the action", name);
    }
    if (!value)
        return mrp_fail(err, MRP_E_NOMEM, "output `%s`", name);
    mrp_stage_send(stage,
                   json_pack("{s:s, s:s, s:o}", "type", "output", "name", name, "value", value));
    return MRP_OK;
}

void mrp_add_artifact(struct mrp_stage *stage, const char *path)
{
    mrp_stage_send(stage, json_pack("{s:s, s:s}", "type", "artifact", "path", path));
}
