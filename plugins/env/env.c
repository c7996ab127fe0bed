/* env: values for the environment of a build from the parameter store and the secrets manager. */
#include "resolve.h"

#include <mrpipe/plugin.h>

static const struct mrp_option resolve_options[] = {
    {"parameters", MRP_MAP(struct resolve, parameters),
     .help = "variable -> name, path or ARN of a parameter (Systems Manager)"},
    {"secrets", MRP_MAP(struct resolve, secrets),
     .help = "variable -> SECRET-ID[:JSON-KEY[:STAGE[:VERSION-ID]]] (Secrets Manager)"},
    {0},
};
static const struct mrp_output_info resolve_outputs[] = {
    {"variables", "map", "the values by variable; all are masked"},
    {0},
};

static const struct mrp_action actions[] = {
    {.name = "resolve",
     .summary = "read parameters and secrets as the `env:` block of a buildspec names them",
     .doc =
         "The runner uses this action itself before the phases, for `env: parameter-store:` and\n"
         "`env: secrets-manager:`. It needs ssm:GetParameters and secretsmanager:GetSecretValue.",
     .options = resolve_options,
     .outputs = resolve_outputs,
     .options_size = sizeof(struct resolve),
     .check = resolve_check,
     .plan = resolve_run,
     .run = resolve_run,
     .verify = resolve_run},
};

MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 = {
    MRP_PLUGIN_HEAD,    .name = "env",
    .version = "1.0.0", .summary = "parameters and secrets for the environment",
    .actions = actions, .action_count = MRP_COUNT(actions),
};
