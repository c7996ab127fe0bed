/* The sink that shows a run: chooses the format, writes lines, beats for silent stages. */
#include "view.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIVE_MS 80            /* between two draws */
#define PENDING_BYTES 32768   /* finished lines that may wait for the next draw */
#define LINES_MAX (16u << 20) /* of finished lines in memory */

static bool env_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

static bool smart_terminal(FILE *f)
{
    const char *term = getenv("TERM");
    return isatty(fileno(f)) && term && *term && strcmp(term, "dumb") != 0;
}

bool mrp_ui_color(FILE *f)
{
    return smart_terminal(f) && !env_set("NO_COLOR");
}

static bool locale_is_utf8(void)
{
    const char *name = env_set("LC_ALL")     ? getenv("LC_ALL")
                       : env_set("LC_CTYPE") ? getenv("LC_CTYPE")
                                             : getenv("LANG");
    return name && (strcasestr(name, "utf-8") || strcasestr(name, "utf8"));
}

struct mrp_ui *mrp_ui_new_clock(const struct mrp_ui_options *options, int64_t (*clock)(void))
{
    struct mrp_ui *ui = calloc(1, sizeof *ui);
    if (!ui)
        return NULL;
    mrp_ui_locale();
    ui->options = *options;
    ui->format = options->format;
    ui->clock = clock;
    ui->utf8 = locale_is_utf8();
    ui->live.on = options->format == MRP_LOG_AUTO && !options->quiet &&
                  smart_terminal(options->out) && !env_set("CI");
    if (ui->format == MRP_LOG_AUTO)
        ui->format = MRP_LOG_PLAIN;
    mrp_buf_init(&ui->lines, LINES_MAX);
    return ui;
}

struct mrp_ui *mrp_ui_new(const struct mrp_ui_options *options)
{
    return mrp_ui_new_clock(options, mrp_now_ms);
}

static void write_lines(struct mrp_ui *ui)
{
    if (ui->lines.len > 0) {
        fwrite(mrp_buf_str(&ui->lines), 1, ui->lines.len, ui->options.out);
        fflush(ui->options.out);
    }
    if (ui->lines.failed)
        mrp_buf_done(&ui->lines);
    else
        mrp_buf_reset(&ui->lines);
}

static void put_json(struct mrp_ui *ui, const json_t *event)
{
    mrp_auto(mrp_free_str) char *text = mrp_json_text(event);
    if (!text)
        return;
    mrp_buf_adds(&ui->lines, text);
    mrp_buf_addc(&ui->lines, '\n');
}

static void on_event(void *arg, const json_t *event)
{
    struct mrp_ui *ui = arg;
    int64_t now = ui->clock();
    const char *type = mrp_json_str(event, "event");
    mrp_ui_model_event(&ui->model, event, now);
    if (ui->format == MRP_LOG_JSON)
        put_json(ui, event);
    else if (ui->format == MRP_LOG_CODEBUILD)
        mrp_ui_codebuild(ui, event);
    else
        mrp_ui_story(ui, event);
    if (!ui->live.on) {
        if (ui->format == MRP_LOG_PLAIN)
            mrp_ui_heartbeat(ui, now);
        write_lines(ui);
    } else if (mrp_streq(type, "run-ended")) {
        mrp_ui_live_erase(ui);
        ui->live.on = false;
    } else if (now - ui->live.drawn >= LIVE_MS || ui->lines.len > PENDING_BYTES) {
        mrp_ui_live_draw(ui, now);
    }
}

static void on_tick(void *arg)
{
    struct mrp_ui *ui = arg;
    int64_t now = ui->clock();
    if (ui->live.on) {
        if (now - ui->live.drawn >= LIVE_MS)
            mrp_ui_live_draw(ui, now);
    } else if (ui->format == MRP_LOG_PLAIN) {
        mrp_ui_heartbeat(ui, now);
        write_lines(ui);
    }
}

struct mrp_sink mrp_ui_sink(struct mrp_ui *ui)
{
    return (struct mrp_sink){.event = on_event, .tick = on_tick, .arg = ui};
}

void mrp_ui_free(struct mrp_ui **ui)
{
    if (!*ui)
        return;
    if ((*ui)->live.on)
        mrp_ui_live_erase(*ui);
    else
        write_lines(*ui);
    mrp_ui_model_done(&(*ui)->model);
    mrp_buf_done(&(*ui)->lines);
    mrp_buf_done(&(*ui)->live.body);
    free(*ui);
    *ui = NULL;
}
