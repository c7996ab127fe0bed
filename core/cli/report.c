/* mrpipe report: a finished run, summed up or told again. */
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <string.h>

static int find_events(char **out, const char *run, struct mrp_error *err)
{
    if (strchr(run, '/') || mrp_ends(run, ".jsonl")) {
        *out = mrp_strdup(run);
        return *out ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "no memory");
    }
    mrp_auto(mrp_free_str) char *workdir = NULL;
    mrp_auto(mrp_free_str) char *folder = NULL;
    int rc = mrp_cli_workdir(&workdir, err);
    if (!rc)
        rc = mrp_run_folder(&folder, workdir, run, err);
    if (rc && strcmp(run, "last") == 0) {
        mrp_fail(err, MRP_E_NOTFOUND, "no run was made in %s yet", workdir ? workdir : ".");
        return mrp_hint(err, "name the folder with -C DIR, or the file events.jsonl of a run");
    }
    if (rc)
        return rc;
    *out = mrp_strf("%s/events.jsonl", folder);
    return *out ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "no memory");
}

static int tell_again(const struct mrp_cli_args *args, const char *events, struct mrp_error *err)
{
    struct mrp_ui_options look = {.format = (enum mrp_log_format)args->log_format,
                                  .color = mrp_cli_color(args, stdout),
                                  .verbose = args->verbose,
                                  .out = stdout};
    mrp_auto(mrp_ui_free) struct mrp_ui *ui = mrp_ui_new(&look);
    if (!ui)
        return mrp_fail(err, MRP_E_NOMEM, "no memory for the display");
    struct mrp_sink sink = mrp_ui_sink(ui);
    return mrp_ui_replay(events, &sink, err);
}

int mrp_cli_report(const struct mrp_cli_args *args)
{
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *events = NULL;
    int rc = find_events(&events, args->operand_count ? args->operands[0] : "last", &err);
    if (!rc && args->log_format != MRP_LOG_AUTO)
        rc = tell_again(args, events, &err);
    if (rc) {
        (void)mrp_cli_fail(args, &err);
        return MRP_EXIT_USAGE;
    }
    if (args->log_format != MRP_LOG_AUTO)
        return MRP_EXIT_OK;
    mrp_auto(mrp_free_str) char *text = mrp_ui_report(events, mrp_cli_color(args, stdout));
    if (!text) {
        mrp_fail(&err, MRP_E_IO, "%s cannot be read as the events of a run", events);
        (void)mrp_cli_fail(args, &err);
        return MRP_EXIT_USAGE;
    }
    fputs(text, stdout);
    return MRP_EXIT_OK;
}
