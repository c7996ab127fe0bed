/* The failure card: what failed, how, its last lines, and how to go on. */
#include "view.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

#define CARD_TAIL 20

struct card {
    struct mrp_buf *out;
    bool color;
};

static void field(const struct card *c, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    mrp_buf_addf(c->out, "  %s%-6s%s  ", mrp_ui_sgr(c->color, MRP_UI_DIM), name,
                 mrp_ui_sgr(c->color, MRP_UI_RESET));
    mrp_ui_clean(c->out, text);
    mrp_buf_addc(c->out, '\n');
}

static void put_error(const struct card *c, const json_t *error)
{
    if (json_is_string(error)) {
        field(c, "error", json_string_value(error));
        return;
    }
    const char *api = mrp_json_str(error, "api"), *message = mrp_json_str(error, "message");
    if (api && *api && message && !strstr(message, api)) {
        mrp_auto(mrp_free_str) char *both = mrp_strf("%s (%s)", message, api);
        field(c, "error", both);
    } else {
        field(c, "error", message);
    }
    field(c, "hint", mrp_json_str(error, "hint"));
}

char *mrp_ui_signal(const json_t *event)
{
    const json_t *sig = json_object_get(event, "signal");
    if (json_is_string(sig))
        return mrp_strf("SIG%s", json_string_value(sig));
    if (!json_is_integer(sig) || json_integer_value(sig) <= 0)
        return NULL;
    int number = (int)json_integer_value(sig);
    const char *name = sigabbrev_np(number);
    return name ? mrp_strf("SIG%s", name) : mrp_strf("signal %d", number);
}

/* How it ended: an exit status or a signal. */
static void put_end(const struct card *c, const json_t *failure)
{
    const json_t *status = json_object_get(failure, "exit");
    mrp_auto(mrp_free_str) char *sig = mrp_ui_signal(failure);
    mrp_auto(mrp_free_str) char *text = NULL;
    if (sig)
        text = mrp_strf("ended by %s", sig);
    else if (json_is_integer(status))
        text = mrp_strf("%d", (int)json_integer_value(status));
    field(c, "exit", text);
}

static void put_tail(const struct card *c, const json_t *tail)
{
    size_t count = json_array_size(tail), first = count > CARD_TAIL ? count - CARD_TAIL : 0;
    for (size_t i = first; i < count; i++) {
        const char *text = json_string_value(json_array_get(tail, i));
        mrp_buf_addf(c->out, "  %s%-6s%s  %s|%s ", mrp_ui_sgr(c->color, MRP_UI_DIM),
                     i == first ? "output" : "", mrp_ui_sgr(c->color, MRP_UI_RESET),
                     mrp_ui_sgr(c->color, MRP_UI_DIM), mrp_ui_sgr(c->color, MRP_UI_RESET));
        mrp_ui_clean(c->out, text ? text : "");
        mrp_buf_addc(c->out, '\n');
    }
}

/* A stage's last line is often the error itself: once is enough. */
static bool tail_is_error(const json_t *failure)
{
    const json_t *tail = mrp_json_arr(failure, "tail");
    const char *message = mrp_json_str(mrp_json_obj(failure, "error"), "message");
    return json_array_size(tail) == 1 && message &&
           mrp_streq(json_string_value(json_array_get(tail, 0)), message);
}

void mrp_ui_card(struct mrp_buf *out, const json_t *failure, bool color)
{
    struct card c = {out, color};
    const char *where = mrp_json_str(failure, "where"), *file = mrp_json_str(failure, "file");
    int64_t line = mrp_json_int(failure, "line", 0);
    mrp_buf_addf(out, "%sfailed: ", mrp_ui_sgr(color, MRP_UI_RED));
    mrp_ui_clean(out, where ? where : "the run");
    mrp_buf_addf(out, "%s\n", mrp_ui_sgr(color, MRP_UI_RESET));
    field(&c, "what", mrp_json_str(failure, "what"));
    put_end(&c, failure);
    put_error(&c, json_object_get(failure, "error"));
    if (file && *file) {
        mrp_auto(mrp_free_str) char *at =
            line > 0 ? mrp_strf("%s:%d", file, (int)line) : mrp_strdup(file);
        field(&c, "at", at);
    }
    if (!tail_is_error(failure))
        put_tail(&c, mrp_json_arr(failure, "tail"));
    field(&c, "log", mrp_json_str(failure, "log"));
    field(&c, "rerun", mrp_json_str(failure, "rerun"));
}
