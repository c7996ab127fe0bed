/* mrpipe graph: stages and what they wait for, as text or for Graphviz. */
#include "../ui/table.h"
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

#define PHASES_ID "build"

static const char *id_of(const json_t *node)
{
    const char *id = mrp_json_str(node, "id");
    return id ? id : "";
}

/* The step in which a stage may start at the earliest: one more than what it needs. The list is in
 * order, so what a stage needs stands before it. */
static json_int_t step_of(const json_t *steps, const json_t *needs)
{
    json_int_t step = 1;
    for (size_t i = 0; i < json_array_size(needs); i++) {
        const char *need = json_string_value(json_array_get(needs, i));
        json_int_t of = need ? mrp_json_int(steps, need, 0) : 0;
        if (of + 1 > step)
            step = of + 1;
    }
    return step;
}

static void join_needs(struct mrp_buf *out, const json_t *needs)
{
    for (size_t i = 0; i < json_array_size(needs); i++) {
        const char *need = json_string_value(json_array_get(needs, i));
        mrp_buf_addf(out, "%s%s", i ? ", " : "after ", need ? need : "?");
    }
}

static void put_text(struct mrp_buf *out, const json_t *graph, bool phases, bool color)
{
    static const char *const heads[] = {"Step", "Stage", "Action", "Region", "Needs"};
    struct mrp_ui_table t = {.columns = MRP_COUNT(heads), .heads = heads, .right = 1};
    mrp_auto(mrp_free_json) json_t *steps = json_object();
    mrp_json_puti(steps, PHASES_ID, phases ? 1 : 0);
    if (phases) {
        mrp_ui_table_add(&t, MRP_UI_NORMAL, "1");
        mrp_ui_table_add(&t, MRP_UI_BOLD, PHASES_ID);
        mrp_ui_table_add(&t, MRP_UI_NORMAL, "phases");
        mrp_ui_table_add(&t, MRP_UI_NORMAL, NULL);
        mrp_ui_table_add(&t, MRP_UI_NORMAL, NULL);
    }
    for (size_t i = 0; i < json_array_size(graph); i++) {
        const json_t *node = json_array_get(graph, i), *needs = mrp_json_arr(node, "needs");
        json_int_t step = step_of(steps, needs);
        mrp_json_puti(steps, id_of(node), step);
        struct mrp_buf joined = MRP_BUF_INIT(64 * 1024);
        join_needs(&joined, needs);
        mrp_auto(mrp_free_str) char *number = mrp_strf("%d", (int)step);
        mrp_ui_table_add(&t, MRP_UI_NORMAL, number);
        mrp_ui_table_add(&t, MRP_UI_BOLD, id_of(node));
        mrp_ui_table_add(&t, MRP_UI_NORMAL, mrp_json_str(node, "uses"));
        mrp_ui_table_add(&t, MRP_UI_NORMAL, mrp_json_str(node, "region"));
        mrp_ui_table_add(&t, MRP_UI_DIM, mrp_buf_str(&joined));
        mrp_buf_done(&joined);
    }
    mrp_ui_table_print(out, &t, color, 0, 0);
    mrp_ui_table_done(&t);
}

static void put_quoted(struct mrp_buf *out, const char *text)
{
    mrp_auto(mrp_free_str) char *escaped = mrp_json_escape(text, strlen(text));
    mrp_buf_addf(out, "\"%s\"", escaped ? escaped : "");
}

static void put_dot(struct mrp_buf *out, const json_t *graph, bool phases)
{
    mrp_buf_adds(out, "digraph mrpipe {\n  rankdir=LR;\n  node [shape=box];\n");
    if (phases)
        mrp_buf_adds(out, "  \"" PHASES_ID "\" [label=\"phases\"];\n");
    for (size_t i = 0; i < json_array_size(graph); i++) {
        const json_t *node = json_array_get(graph, i), *needs = mrp_json_arr(node, "needs");
        const char *uses = mrp_json_str(node, "uses");
        mrp_auto(mrp_free_str) char *label = mrp_strf("%s\n%s", id_of(node), uses ? uses : "");
        mrp_buf_adds(out, "  ");
        put_quoted(out, id_of(node));
        mrp_buf_adds(out, " [label=");
        put_quoted(out, label ? label : "");
        mrp_buf_adds(out, "];\n");
        for (size_t k = 0; k < json_array_size(needs); k++) {
            const char *need = json_string_value(json_array_get(needs, k));
            mrp_buf_adds(out, "  ");
            put_quoted(out, need ? need : "");
            mrp_buf_adds(out, " -> ");
            put_quoted(out, id_of(node));
            mrp_buf_adds(out, ";\n");
        }
    }
    mrp_buf_adds(out, "}\n");
}

static int load_graph(json_t **graph,
                      bool *phases,
                      struct mrp_diags *diags,
                      const struct mrp_cli_args *args,
                      struct mrp_error *err)
{
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    mrp_auto(mrp_free_str) char *workdir = NULL;
    int rc = mrp_cli_load(&spec, diags, args, err);
    if (!rc)
        rc = mrp_cli_workdir(&workdir, err);
    if (rc)
        return rc;
    *phases = spec->has_phases;
    struct mrp_run_options options = mrp_cli_run_options(MRP_MODE_PLAN, args, workdir);
    return mrp_run_graph(graph, spec, &options, diags, err);
}

int mrp_cli_graph(const struct mrp_cli_args *args)
{
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    struct mrp_buf out = MRP_BUF_INIT(4 << 20);
    mrp_auto(mrp_free_json) json_t *graph = NULL;
    bool phases = false;
    int rc = load_graph(&graph, &phases, &diags, args, &err);
    size_t errors = diags.errors;
    mrp_cli_diags(args, &diags);
    mrp_diags_done(&diags);
    if (rc && errors == 0)
        (void)mrp_cli_fail(args, &err);
    if (rc)
        return rc < 0 ? mrp_cli_exit(rc) : rc;
    mrp_ui_locale();
    if (args->dot)
        put_dot(&out, graph, phases);
    else
        put_text(&out, graph, phases, mrp_cli_color(args, stdout));
    return mrp_cli_put(&out);
}
