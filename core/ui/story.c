/* A run told line by line: the plain format, and what stays on the screen in the live one. */
#include "view.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define SILENT_MS 30000
#define COMMAND_LINES 12

/* "[images] " in front of everything that a stage or phase says. */
static void begin(struct mrp_ui *ui, const json_t *e)
{
    const char *stage = mrp_json_str(e, "stage");
    const char *where = stage ? stage : mrp_json_str(e, "phase");
    if (!where)
        return;
    mrp_buf_adds(&ui->lines, mrp_ui_sgr(ui->options.color, MRP_UI_CYAN));
    mrp_buf_addc(&ui->lines, '[');
    mrp_ui_clean(&ui->lines, where);
    mrp_buf_addc(&ui->lines, ']');
    mrp_buf_adds(&ui->lines, mrp_ui_sgr(ui->options.color, MRP_UI_RESET));
    mrp_buf_addc(&ui->lines, ' ');
    struct mrp_ui_node *node = mrp_ui_model_node(&ui->model, e);
    if (node)
        node->heard = ui->clock();
}

static void put(struct mrp_ui *ui, enum mrp_ui_style style, const char *text)
{
    bool color = ui->options.color && style != MRP_UI_NORMAL;
    mrp_buf_adds(&ui->lines, mrp_ui_sgr(color, style));
    mrp_ui_clean(&ui->lines, text ? text : "");
    mrp_buf_adds(&ui->lines, mrp_ui_sgr(color, MRP_UI_RESET));
}

static void line(struct mrp_ui *ui, const json_t *e, enum mrp_ui_style style, const char *text)
{
    begin(ui, e);
    put(ui, style, text);
    mrp_buf_addc(&ui->lines, '\n');
}

static void on_run_started(struct mrp_ui *ui, const json_t *e)
{
    const char *mode = ui->options.mode ? ui->options.mode : "run";
    const char *source = mrp_json_str(e, "source-version");
    const char *resumed = mrp_json_str(e, "resumed");
    mrp_auto(mrp_free_str) char *text =
        mrp_strf("%s %s of %s%s%s%s%s", mode, ui->model.run ? ui->model.run : "",
                 ui->model.spec ? ui->model.spec : "", source && *source ? ", source " : "",
                 source ? source : "", resumed ? ", resumes " : "", resumed ? resumed : "");
    line(ui, NULL, MRP_UI_BOLD, text);
}

static void on_level_text(struct mrp_ui *ui, const json_t *e)
{
    const char *level = mrp_json_str(e, "level");
    if (mrp_streq(level, "debug") && !ui->options.verbose)
        return;
    begin(ui, e);
    if (mrp_streq(level, "warn"))
        put(ui, MRP_UI_YELLOW, "warning: ");
    else if (mrp_streq(level, "error"))
        put(ui, MRP_UI_RED, "error: ");
    put(ui, mrp_streq(level, "debug") ? MRP_UI_DIM : MRP_UI_NORMAL, mrp_json_str(e, "text"));
    mrp_buf_addc(&ui->lines, '\n');
}

/* The banner waits for the first command: a phase without commands has none. */
static void put_banner(struct mrp_ui *ui, const json_t *e)
{
    const struct mrp_ui_node *node = mrp_ui_model_node(&ui->model, e);
    if (!node || node->commands != 1)
        return;
    mrp_auto(mrp_free_str) char *text = mrp_strf("--- %s ---", node->id);
    mrp_buf_addc(&ui->lines, '\n');
    line(ui, NULL, MRP_UI_BOLD, text);
}

static void on_command(struct mrp_ui *ui, const json_t *e)
{
    const char *text = mrp_json_str(e, "text");
    put_banner(ui, e);
    struct mrp_view rest = mrp_view_str(text ? text : ""), piece;
    for (int n = 0; mrp_view_next(&piece, &rest, '\n'); n++) {
        if (piece.n == 0 && rest.n == 0)
            break;
        if (n == COMMAND_LINES) {
            line(ui, e, MRP_UI_DIM, "> ...");
            break;
        }
        mrp_auto(mrp_free_str) char *shown =
            mrp_strf("%s %.*s", n == 0 ? "$" : ">", (int)piece.n, piece.p);
        line(ui, e, MRP_UI_BOLD, shown);
    }
}

static void on_command_ended(struct mrp_ui *ui, const json_t *e)
{
    int64_t status = mrp_json_int(e, "exit", 0);
    mrp_auto(mrp_free_str) char *sig = mrp_ui_signal(e);
    if (status == 0 && !sig)
        return;
    int index = (int)mrp_json_int(e, "index", 0);
    mrp_auto(mrp_free_str) char *text =
        sig ? mrp_strf("command %d was ended by %s", index, sig)
            : mrp_strf("command %d failed: exit %d", index, (int)status);
    line(ui, e, MRP_UI_RED, text);
}

static void on_phase_ended(struct mrp_ui *ui, const json_t *e)
{
    char took[32];
    const char *result = mrp_json_str(e, "result");
    const struct mrp_ui_node *node = mrp_ui_model_node(&ui->model, e);
    if (node && mrp_ui_model_empty(node))
        return;
    begin(ui, e);
    put(ui, mrp_ui_result_style(result), result ? result : "ended");
    if (!mrp_streq(result, "skipped") && node)
        mrp_buf_addf(&ui->lines, " in %s", mrp_show_ms(took, sizeof took, node->ms));
    if (node && node->attempts > 1)
        mrp_buf_addf(&ui->lines, ", %d attempts", (int)node->attempts);
    mrp_buf_addc(&ui->lines, '\n');
}

static void on_stage_started(struct mrp_ui *ui, const json_t *e)
{
    const char *uses = mrp_json_str(e, "uses"), *region = mrp_json_str(e, "region");
    int64_t attempt = mrp_json_int(e, "attempt", 1);
    begin(ui, e);
    put(ui, MRP_UI_BOLD, uses ? uses : "started");
    if (region && *region) {
        mrp_buf_adds(&ui->lines, " in ");
        put(ui, MRP_UI_NORMAL, region);
    }
    if (attempt > 1)
        mrp_buf_addf(&ui->lines, ", attempt %d", (int)attempt);
    mrp_buf_addc(&ui->lines, '\n');
}

static void on_stage_ended(struct mrp_ui *ui, const json_t *e)
{
    char took[32], moved[32];
    const char *result = mrp_json_str(e, "result"), *reason = mrp_json_str(e, "reason");
    const json_t *error = mrp_json_obj(e, "error");
    const struct mrp_ui_node *node = mrp_ui_model_node(&ui->model, e);
    begin(ui, e);
    put(ui, mrp_ui_result_style(result), mrp_ui_result_word(result, ui->options.mode));
    if (node && node->wall > 0 && !mrp_streq(result, "skipped"))
        mrp_buf_addf(&ui->lines, " in %s", mrp_show_ms(took, sizeof took, node->ms));
    if (node && node->bytes > 0)
        mrp_buf_addf(&ui->lines, ", %s",
                     mrp_show_bytes(moved, sizeof moved, (uint64_t)node->bytes));
    if (node && node->requests > 0)
        mrp_buf_addf(&ui->lines, ", %lld request%s", (long long)node->requests,
                     node->requests == 1 ? "" : "s");
    const char *why = mrp_json_str(error, "message");
    if (!why)
        why = reason;
    if (why && *why) {
        mrp_buf_adds(&ui->lines, ": ");
        put(ui, MRP_UI_NORMAL, why);
    }
    mrp_buf_addc(&ui->lines, '\n');
}

static void on_detail(struct mrp_ui *ui, const json_t *e, const char *name, const char *value)
{
    if (!ui->options.verbose)
        return;
    mrp_auto(mrp_free_str) char *text = NULL;
    const json_t *v = json_object_get(e, value);
    if (v)
        text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    mrp_auto(mrp_free_str) char *whole = mrp_strf("%s %s", mrp_json_str(e, name), text ? text : "");
    line(ui, e, MRP_UI_DIM, whole);
}

static void on_change(struct mrp_ui *ui, const json_t *e)
{
    begin(ui, e);
    put(ui, MRP_UI_GREEN, "+ ");
    put(ui, MRP_UI_NORMAL, mrp_json_str(e, "text"));
    mrp_buf_addc(&ui->lines, '\n');
}

static void on_output(struct mrp_ui *ui, const json_t *e)
{
    line(ui, e, MRP_UI_NORMAL, mrp_json_str(e, "text"));
}

static void on_artifact(struct mrp_ui *ui, const json_t *e)
{
    mrp_auto(mrp_free_str) char *text = mrp_strf("in the artifacts: %s", mrp_json_str(e, "path"));
    line(ui, e, MRP_UI_NORMAL, text);
}

static void on_fact(struct mrp_ui *ui, const json_t *e)
{
    on_detail(ui, e, "name", "fields");
}

static void on_output_set(struct mrp_ui *ui, const json_t *e)
{
    on_detail(ui, e, "name", "value");
}

static void on_run_ended(struct mrp_ui *ui, MRP_UNUSED const json_t *e)
{
    if (!ui->options.quiet)
        mrp_buf_addc(&ui->lines, '\n');
    mrp_ui_summary(&ui->lines, &ui->model, ui->options.color, ui->options.mode);
}

static const struct {
    const char *type;
    void (*tell)(struct mrp_ui *ui, const json_t *e);
    bool always; /* also with --quiet */
} tellers[] = {
    {"run-started", on_run_started, false},
    {"note", on_level_text, false},
    {"log", on_level_text, false},
    {"command-started", on_command, false},
    {"command-ended", on_command_ended, false},
    {"phase-ended", on_phase_ended, false},
    {"output", on_output, false},
    {"stage-started", on_stage_started, false},
    {"stage-ended", on_stage_ended, false},
    {"change", on_change, false},
    {"artifact", on_artifact, false},
    {"fact", on_fact, false},
    {"output-set", on_output_set, false},
    {"run-ended", on_run_ended, true},
};

void mrp_ui_story(struct mrp_ui *ui, const json_t *event)
{
    const char *type = mrp_json_str(event, "event");
    for (size_t i = 0; type && i < MRP_COUNT(tellers); i++) {
        if (strcmp(type, tellers[i].type) != 0)
            continue;
        if (tellers[i].always || !ui->options.quiet)
            tellers[i].tell(ui, event);
        return;
    }
}

static void beat(struct mrp_ui *ui, struct mrp_ui_node *node, int64_t now)
{
    char took[32], done[32], total[32];
    mrp_buf_addf(&ui->lines, "%s[%s]%s ", mrp_ui_sgr(ui->options.color, MRP_UI_CYAN), node->id,
                 mrp_ui_sgr(ui->options.color, MRP_UI_RESET));
    mrp_buf_addf(&ui->lines, "still running, %s",
                 mrp_show_ms(took, sizeof took, now - node->started));
    if (node->total_bytes > 0)
        mrp_buf_addf(&ui->lines, ", %s of %s", mrp_show_bytes(done, sizeof done, node->done_bytes),
                     mrp_show_bytes(total, sizeof total, node->total_bytes));
    else if (node->done_bytes > 0)
        mrp_buf_addf(&ui->lines, ", %s", mrp_show_bytes(done, sizeof done, node->done_bytes));
    if (node->total_items > 0)
        mrp_buf_addf(&ui->lines, ", %llu of %llu %s", (unsigned long long)node->done_items,
                     (unsigned long long)node->total_items, node->unit ? node->unit : "items");
    mrp_buf_addc(&ui->lines, '\n');
    node->heard = now;
}

void mrp_ui_heartbeat(struct mrp_ui *ui, int64_t now)
{
    if (ui->options.quiet || now - ui->checked < 1000)
        return;
    ui->checked = now;
    for (size_t i = 0; i < ui->model.count; i++) {
        struct mrp_ui_node *node = &ui->model.nodes[i];
        if (node->state == MRP_UI_RUNNING && now - node->heard >= SILENT_MS)
            beat(ui, node, now);
    }
}
