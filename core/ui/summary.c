/* The end of a run: the table of stages, the failures, one closing line. */
#include "table.h"
#include "view.h"

#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

const char *mrp_ui_result_word(const char *result, const char *mode)
{
    if (!result)
        return "not run";
    if (mrp_streq(mode, "plan"))
        return mrp_streq(result, "changed")     ? "would change"
               : mrp_streq(result, "unchanged") ? "no change"
                                                : result;
    if (mrp_streq(mode, "verify"))
        return mrp_streq(result, "changed")     ? "differs"
               : mrp_streq(result, "unchanged") ? "equal"
                                                : result;
    return result;
}

enum mrp_ui_style mrp_ui_result_style(const char *result)
{
    if (mrp_streq(result, "changed") || mrp_streq(result, "succeeded"))
        return MRP_UI_GREEN;
    if (mrp_streq(result, "failed"))
        return MRP_UI_RED;
    if (mrp_streq(result, "cancelled"))
        return MRP_UI_YELLOW;
    return result ? MRP_UI_NORMAL : MRP_UI_DIM;
}

static void add_node(struct mrp_ui_table *t, const struct mrp_ui_node *n, const char *mode)
{
    char took[32] = "", moved[32] = "", tries[32] = "", requests[32] = "";
    if (n->result && n->wall > 0)
        mrp_show_ms(took, sizeof took, n->ms);
    if (n->bytes > 0)
        mrp_show_bytes(moved, sizeof moved, (uint64_t)n->bytes);
    if (n->attempts > 1)
        snprintf(tries, sizeof tries, "%lld", (long long)n->attempts);
    if (n->requests > 0)
        snprintf(requests, sizeof requests, "%lld", (long long)n->requests);
    mrp_ui_table_add(t, MRP_UI_NORMAL, n->id);
    mrp_ui_table_add(t, MRP_UI_NORMAL, n->region);
    mrp_ui_table_add(t, mrp_ui_result_style(n->result),
                     n->phase && !n->result ? "not run" : mrp_ui_result_word(n->result, mode));
    mrp_ui_table_add(t, MRP_UI_NORMAL, took);
    mrp_ui_table_add(t, MRP_UI_NORMAL, tries);
    mrp_ui_table_add(t, MRP_UI_NORMAL, moved);
    mrp_ui_table_add(t, MRP_UI_NORMAL, requests);
    mrp_ui_table_add(t, MRP_UI_DIM, mrp_streq(n->result, "failed") ? NULL : n->reason);
}

static void
put_table(struct mrp_buf *out, const struct mrp_ui_model *model, bool color, const char *mode)
{
    static const char *const heads[] = {"Stage",    "Region", "Result",   "Time",
                                        "Attempts", "Bytes",  "Requests", "Note"};
    struct mrp_ui_table t = {.heads = heads, .columns = MRP_COUNT(heads), .right = 0x78};
    for (int phase = 1; phase >= 0; phase--) {
        for (size_t i = 0; i < model->count; i++) {
            if (model->nodes[i].phase == (phase == 1) && !mrp_ui_model_empty(&model->nodes[i]))
                add_node(&t, &model->nodes[i], mode);
        }
    }
    if (t.count > 0) {
        mrp_ui_table_print(out, &t, color, 0, 0);
        mrp_buf_addc(out, '\n');
    }
    mrp_ui_table_done(&t);
}

static size_t count_result(const struct mrp_ui_model *model, const char *result)
{
    size_t n = 0;
    for (size_t i = 0; i < model->count; i++)
        n += !model->nodes[i].phase && mrp_streq(model->nodes[i].result, result);
    return n;
}

/* "unchanged" speaks of stages: a run that carried none out says what else is true. */
static const char *closing_word(const struct mrp_ui_model *model, const char *mode)
{
    if (!model->result)
        return "not finished";
    if (mrp_streq(model->result, "unchanged") && count_result(model, "unchanged") == 0) {
        if (mrp_streq(mode, "verify"))
            return "nothing compared";
        if (!mrp_streq(mode, "plan"))
            return "succeeded";
    }
    return mrp_ui_result_word(model->result, mode);
}

static void
put_closing(struct mrp_buf *out, const struct mrp_ui_model *model, bool color, const char *mode)
{
    static const char *const results[] = {"changed", "unchanged", "failed", "skipped", "cancelled"};
    char took[32];
    const char *word = closing_word(model, mode);
    const char *style = mrp_streq(word, "succeeded") ? word : model->result;
    mrp_buf_addf(out, "%s%s%s", mrp_ui_sgr(color, mrp_ui_result_style(style)), word,
                 mrp_ui_sgr(color, MRP_UI_RESET));
    if (model->result)
        mrp_buf_addf(out, " in %s", mrp_show_ms(took, sizeof took, model->ms));
    const char *before = ": ";
    for (size_t i = 0; i < MRP_COUNT(results); i++) {
        size_t n = count_result(model, results[i]);
        if (n == 0)
            continue;
        mrp_buf_addf(out, "%s%zu %s", before, n, mrp_ui_result_word(results[i], mode));
        before = ", ";
    }
    mrp_buf_addc(out, '\n');
}

void mrp_ui_summary(struct mrp_buf *out,
                    const struct mrp_ui_model *model,
                    bool color,
                    const char *mode)
{
    put_table(out, model, color, mode);
    for (size_t i = 0; i < json_array_size(model->failures); i++) {
        mrp_ui_card(out, json_array_get(model->failures, i), color);
        mrp_buf_addc(out, '\n');
    }
    for (size_t i = 0; i < json_array_size(model->artifacts); i++) {
        const char *path = json_string_value(json_array_get(model->artifacts, i));
        mrp_buf_adds(out, i == 0 ? "artifacts: " : ", ");
        mrp_ui_clean(out, path ? path : "");
    }
    if (json_array_size(model->artifacts) > 0)
        mrp_buf_addc(out, '\n');
    put_closing(out, model, color, mode);
}
