/* mrpipe validate: every problem of a spec, without network or credentials. */
#include "cli.h"

#include <mrpipe/auto.h>

static int check(struct mrp_spec **spec,
                 struct mrp_diags *diags,
                 const struct mrp_cli_args *args,
                 struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *workdir = NULL;
    int rc = mrp_cli_load(spec, diags, args, err);
    if (!rc)
        rc = mrp_cli_workdir(&workdir, err);
    if (rc)
        return mrp_cli_exit(rc);
    struct mrp_run_options options = mrp_cli_run_options(MRP_MODE_RUN, args, workdir);
    rc = mrp_run_check(*spec, &options, diags, err);
    return rc < 0 ? mrp_cli_exit(rc) : rc;
}

int mrp_cli_validate(const struct mrp_cli_args *args)
{
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    int code = check(&spec, &diags, args, &err);
    mrp_cli_diags(args, &diags);
    if (code && diags.errors == 0)
        (void)mrp_cli_fail(args, &err);
    if (!code && diags.errors > 0)
        code = MRP_EXIT_SPEC;
    if (!code && !args->quiet) {
        int phases = 0;
        for (size_t i = 0; i < MRP_PHASES; i++)
            phases += spec->phases[i].present;
        printf("%s: good (%d phase%s, %zu stage%s", mrp_cli_spec_path(args), phases,
               phases == 1 ? "" : "s", spec->pipeline.stage_count,
               spec->pipeline.stage_count == 1 ? "" : "s");
        if (diags.warnings > 0)
            printf(", %zu warning%s", diags.warnings, diags.warnings == 1 ? "" : "s");
        puts(")");
    }
    mrp_diags_done(&diags);
    return code;
}
