/* A spec carried out with a display: what run, plan, verify and do share. */
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <string.h>

struct mrp_run_options
mrp_cli_run_options(enum mrp_mode mode, const struct mrp_cli_args *args, const char *workdir)
{
    return (struct mrp_run_options){
        .mode = mode,
        .workdir = workdir,
        .resume = args->resume,
        .from_stage = args->from,
        .only = args->stages,
        .skip_phases = args->no_phases,
        .in_process = args->in_process,
        .with_stdin = args->with_stdin,
        .jobs = (int)args->jobs,
        .debug = args->debug,
        .plugin_dirs = args->plugin_dirs,
        .env = args->env,
        .command_line = args->command_line,
    };
}

static int check_env(const struct mrp_cli_args *args, struct mrp_error *err)
{
    for (size_t i = 0; args->env && args->env[i]; i++) {
        const char *pair = args->env[i];
        size_t n = strcspn(pair, "=");
        bool good = n > 0 && pair[n] == '=' && !(pair[0] >= '0' && pair[0] <= '9');
        for (size_t k = 0; good && k < n; k++)
            good = pair[k] == '_' || (pair[k] >= '0' && pair[k] <= '9') ||
                   ((pair[k] | 32) >= 'a' && (pair[k] | 32) <= 'z');
        if (!good) {
            mrp_fail(err, MRP_E_CONFIG, "--env needs NAME=VALUE; entry %zu is not", i + 1);
            return mrp_hint(err, "a name is made of letters, digits and _");
        }
    }
    return MRP_OK;
}

int mrp_cli_carry_out(struct mrp_spec *spec, enum mrp_mode mode, const struct mrp_cli_args *args)
{
    static const char *const names[] = {"run", "plan", "verify"};
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    mrp_auto(mrp_free_str) char *workdir = NULL;
    if (mrp_cli_workdir(&workdir, &err))
        return mrp_cli_fail(args, &err);
    if (check_env(args, &err)) {
        (void)mrp_cli_fail(args, &err);
        return MRP_EXIT_USAGE;
    }
    struct mrp_ui_options look = {.format = (enum mrp_log_format)args->log_format,
                                  .color = mrp_cli_color(args, stdout),
                                  .verbose = args->verbose || args->debug,
                                  .quiet = args->quiet,
                                  .out = stdout,
                                  .mode = names[mode],
                                  .spec = spec};
    mrp_auto(mrp_ui_free) struct mrp_ui *ui = mrp_ui_new(&look);
    if (!ui) {
        mrp_fail(&err, MRP_E_NOMEM, "no memory for the display");
        return mrp_cli_fail(args, &err);
    }
    struct mrp_sink sink = mrp_ui_sink(ui);
    struct mrp_run_options options = mrp_cli_run_options(mode, args, workdir);
    options.sinks = &sink;
    options.sink_count = 1;
    int code = mrp_run(spec, &options, &diags, &err);
    mrp_ui_free(&ui);
    mrp_cli_diags(args, &diags);
    if (err.msg[0] && diags.errors == 0)
        (void)mrp_cli_fail(args, &err);
    mrp_diags_done(&diags);
    return code < 0 ? mrp_cli_exit(code) : code;
}

int mrp_cli_load_and(enum mrp_mode mode, const struct mrp_cli_args *args)
{
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    int rc = mrp_cli_load(&spec, &diags, args, &err);
    mrp_cli_diags(args, &diags);
    if (rc && diags.errors == 0)
        (void)mrp_cli_fail(args, &err);
    mrp_diags_done(&diags);
    return rc ? mrp_cli_exit(rc) : mrp_cli_carry_out(spec, mode, args);
}
