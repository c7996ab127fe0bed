/* CodeBuild's own log format, for scripts that read it. */
#include "../spec/spec.h"
#include "view.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <ctype.h>
#include <string.h>

/* "[Container] 2026/11/21 12:00:00.123000 " from the event's own time. */
static void stamp(struct mrp_ui *ui, const json_t *e)
{
    char iso[40];
    const char *time = mrp_json_str(e, "time");
    if (!time || strlen(time) < 23 || !mrp_is_text(time, strlen(time)))
        time = mrp_iso8601(iso, sizeof iso, mrp_wall_ms(), true);
    mrp_buf_addf(&ui->lines, "[Container] %.4s/%.2s/%.2s %.12s000 ", time, time + 5, time + 8,
                 time + 11);
}

static void say(struct mrp_ui *ui, const json_t *e, const char *fmt, ...) MRP_PRINTF(3, 4);
static void say(struct mrp_ui *ui, const json_t *e, const char *fmt, ...)
{
    struct mrp_buf text = MRP_BUF_INIT(256 * 1024);
    va_list args;
    va_start(args, fmt);
    mrp_buf_addv(&text, fmt, args);
    va_end(args);
    stamp(ui, e);
    /* Commands of several lines stay so. */
    struct mrp_view rest = mrp_view_str(mrp_buf_str(&text)), piece;
    for (int n = 0; mrp_view_next(&piece, &rest, '\n'); n++) {
        mrp_auto(mrp_free_str) char *one = mrp_strndup(piece.p, piece.n);
        if (n > 0)
            mrp_buf_addc(&ui->lines, '\n');
        if (one)
            mrp_ui_clean(&ui->lines, one);
    }
    mrp_buf_addc(&ui->lines, '\n');
    mrp_buf_done(&text);
}

static const char *upper(char *buf, size_t len, const char *s)
{
    mrp_copy(buf, len, s ? s : "");
    for (char *p = buf; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return buf;
}

static void count_commands(struct mrp_ui *ui, const json_t *e)
{
    const struct mrp_spec *spec = ui->options.spec;
    if (!spec)
        return;
    static const char *const names[MRP_PHASES] = {"INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD"};
    int phases = 0;
    for (size_t i = 0; i < MRP_PHASES; i++)
        phases += spec->phases[i].present;
    say(ui, e, "Phases found in YAML: %d", phases);
    for (size_t i = 0; i < MRP_PHASES; i++) {
        if (spec->phases[i].present)
            say(ui, e, " %s: %zu commands", names[i], spec->phases[i].command_count);
    }
}

static void context(struct mrp_ui *ui, const json_t *e, const char *phase, const char *state)
{
    say(ui, e, "Phase complete: %s State: %s", phase, state);
}

static void on_run_started(struct mrp_ui *ui, const json_t *e)
{
    const char *dir = ui->model.dir ? ui->model.dir : "";
    say(ui, e, "Waiting for agent ping");
    say(ui, e, "Waiting for DOWNLOAD_SOURCE");
    say(ui, e, "Phase is DOWNLOAD_SOURCE");
    say(ui, e, "CODEBUILD_SRC_DIR=%s", dir);
    say(ui, e, "YAML location is %s", ui->model.spec ? ui->model.spec : "");
    say(ui, e, "Processing environment variables");
    say(ui, e, "Moving to directory %s", dir);
    say(ui, e, "Registering with agent");
    count_commands(ui, e);
    context(ui, e, "DOWNLOAD_SOURCE", "SUCCEEDED");
    say(ui, e, "Phase context status code:  Message: ");
}

static void on_phase_started(struct mrp_ui *ui, const json_t *e)
{
    char name[32];
    say(ui, e, "Entering phase %s", upper(name, sizeof name, mrp_json_str(e, "phase")));
}

static void on_command_started(struct mrp_ui *ui, const json_t *e)
{
    const char *text = mrp_json_str(e, "text");
    say(ui, e, "Running command %s", text ? text : "");
}

static void on_command_ended(struct mrp_ui *ui, const json_t *e)
{
    const struct mrp_ui_node *node = mrp_ui_model_node(&ui->model, e);
    mrp_buf_addc(&ui->lines, '\n');
    if (node && node->status != 0)
        say(ui, e, "Command did not exit successfully %s exit status %d",
            node->what ? node->what : "", (int)node->status);
}

static void on_phase_ended(struct mrp_ui *ui, const json_t *e)
{
    char name[32], state[32];
    const struct mrp_ui_node *node = mrp_ui_model_node(&ui->model, e);
    const char *result = mrp_json_str(e, "result");
    if (mrp_streq(result, "skipped"))
        return;
    upper(name, sizeof name, mrp_json_str(e, "phase"));
    upper(state, sizeof state, mrp_streq(result, "cancelled") ? "stopped" : result);
    context(ui, e, name, state);
    if (!mrp_streq(result, "failed")) {
        say(ui, e, "Phase context status code:  Message: ");
        return;
    }
    say(ui, e,
        "Phase context status code: COMMAND_EXECUTION_ERROR Message: Error while executing "
        "command: "
        "%s. Reason: exit status %d",
        node && node->what ? node->what : "", node ? (int)node->status : 1);
}

static void put_output(struct mrp_ui *ui, const json_t *e)
{
    const char *text = mrp_json_str(e, "text"), *stage = mrp_json_str(e, "stage");
    if (stage) {
        say(ui, e, "%s: %s", stage, text ? text : "");
        return;
    }
    mrp_ui_clean(&ui->lines, text ? text : "");
    mrp_buf_addc(&ui->lines, '\n');
}

static void on_text(struct mrp_ui *ui, const json_t *e)
{
    const char *text = mrp_json_str(e, "text"), *stage = mrp_json_str(e, "stage");
    if (mrp_streq(mrp_json_str(e, "level"), "debug") && !ui->options.verbose)
        return;
    say(ui, e, "%s%s%s", stage ? stage : "", stage ? ": " : "", text ? text : "");
}

static void on_stage_started(struct mrp_ui *ui, const json_t *e)
{
    const char *region = mrp_json_str(e, "region"), *uses = mrp_json_str(e, "uses");
    say(ui, e, "Entering stage %s %s%s%s", mrp_json_str(e, "stage"), uses ? uses : "",
        region && *region ? " " : "", region ? region : "");
}

static void on_stage_ended(struct mrp_ui *ui, const json_t *e)
{
    char state[32];
    const char *message = mrp_json_str(mrp_json_obj(e, "error"), "message");
    if (!message)
        message = mrp_json_str(e, "reason");
    say(ui, e, "Stage complete: %s State: %s%s%s", mrp_json_str(e, "stage"),
        upper(state, sizeof state, mrp_json_str(e, "result")), message ? " Message: " : "",
        message ? message : "");
}

static void on_run_ended(struct mrp_ui *ui, const json_t *e)
{
    const json_t *artifacts = ui->model.artifacts;
    if (json_array_size(artifacts) == 0)
        return;
    for (size_t i = 0; i < json_array_size(artifacts); i++)
        say(ui, e, "Artifact %s", json_string_value(json_array_get(artifacts, i)));
    context(ui, e, "UPLOAD_ARTIFACTS", mrp_json_int(e, "exit", 0) == 8 ? "FAILED" : "SUCCEEDED");
    say(ui, e, "Phase context status code:  Message: ");
}

static const struct {
    const char *type;
    void (*tell)(struct mrp_ui *ui, const json_t *e);
} tellers[] = {
    {"run-started", on_run_started},
    {"phase-started", on_phase_started},
    {"command-started", on_command_started},
    {"command-ended", on_command_ended},
    {"phase-ended", on_phase_ended},
    {"output", put_output},
    {"note", on_text},
    {"log", on_text},
    {"change", on_text},
    {"stage-started", on_stage_started},
    {"stage-ended", on_stage_ended},
    {"run-ended", on_run_ended},
};

void mrp_ui_codebuild(struct mrp_ui *ui, const json_t *event)
{
    const char *type = mrp_json_str(event, "event");
    for (size_t i = 0; type && i < MRP_COUNT(tellers); i++) {
        if (strcmp(type, tellers[i].type) == 0)
            tellers[i].tell(ui, event);
    }
}
