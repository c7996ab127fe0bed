/* From arguments to a spec: the file, its sidecar, the stages that --to derives. */
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_SPEC "buildspec.yml"

const char *mrp_cli_spec_path(const struct mrp_cli_args *args)
{
    return args->operand_count > 0 ? args->operands[0] : DEFAULT_SPEC;
}

const char *mrp_cli_env_region(void)
{
    static const char *const names[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    for (size_t i = 0; i < MRP_COUNT(names); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return value;
    }
    return NULL;
}

int mrp_cli_workdir(char **out, struct mrp_error *err)
{
    char *dir = getcwd(NULL, 0);
    if (!dir)
        return mrp_fail_errno(err, "the present folder has no name any more");
    *out = dir;
    return MRP_OK;
}

static int check_region(const char *option, const char *text, struct mrp_error *err)
{
    if (!text || mrp_spec_is_region(text))
        return MRP_OK;
    mrp_fail(err, MRP_E_CONFIG, "%s: `%.100s` is not a region", option, text);
    return mrp_hint(err, "as in us-east-1");
}

int mrp_cli_check_regions(const struct mrp_cli_args *args, struct mrp_error *err)
{
    int rc = check_region("--region", args->region, err);
    for (size_t i = 0; !rc && args->to && args->to[i]; i++)
        rc = check_region("--to", args->to[i], err);
    return rc;
}

/* --to and --region with a section of the file: they replace its regions. */
static int
override_regions(struct mrp_pipeline *p, const struct mrp_cli_args *args, struct mrp_error *err)
{
    if (args->region) {
        free(p->primary);
        p->primary = mrp_strdup(args->region);
        if (!p->primary)
            return mrp_fail(err, MRP_E_NOMEM, "no memory");
    }
    if (!args->to)
        return MRP_OK;
    mrp_auto(mrp_free_strv) char **regions = NULL;
    for (size_t i = 0; args->to[i]; i++) {
        if (mrp_strv_add(&regions, args->to[i]))
            return mrp_fail(err, MRP_E_NOMEM, "no memory");
    }
    mrp_free_strv(&p->secondaries);
    p->secondaries = mrp_take_strv(&regions);
    return MRP_OK;
}

int mrp_cli_load(struct mrp_spec **out,
                 struct mrp_diags *diags,
                 const struct mrp_cli_args *args,
                 struct mrp_error *err)
{
    const char *path = mrp_cli_spec_path(args);
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    if (args->operand_count == 0 && !mrp_exists(path)) {
        mrp_fail(err, MRP_E_CONFIG, "there is no %s here", path);
        return mrp_hint(err, "name the file, or the folder with -C DIR");
    }
    int rc = mrp_cli_check_regions(args, err);
    if (rc)
        return rc;
    rc = mrp_spec_load(&spec, diags, path, args->sidecar, err);
    if (rc)
        return rc == MRP_E_IO ? (err->code = MRP_E_CONFIG) : rc;
    if (spec->pipeline.stage_count > 0) {
        rc = override_regions(&spec->pipeline, args, err);
    } else if (args->to) {
        struct mrp_derive how = {.to = args->to,
                                 .maps = args->maps,
                                 .primary = args->region ? args->region : mrp_cli_env_region()};
        rc = mrp_spec_derive(spec, &how, diags, err);
    }
    if (rc)
        return rc;
    *out = spec;
    spec = NULL;
    return MRP_OK;
}
