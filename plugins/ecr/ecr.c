/* The ecr plugin: container images between registries. */
#include "actions.h"

#include <mrpipe/plugin.h>

static const struct mrp_action actions[] = {
    {
        .name = "copy",
        .summary = "copy images to other registries or regions, whole and byte for byte",
        .doc = "- uses: ecr/copy\n"
               "  with:\n"
               "    from: 111122223333.dkr.ecr.us-west-2.amazonaws.com/core:1.4\n"
               "    to-regions: [us-east-1, eu-west-1]\n\n"
               "All platforms, signatures and attestations go along. Blobs that a destination has "
               "are not sent; each other blob is read once and sent to all that lack it.",
        .options = ecr_copy_options,
        .outputs = ecr_copy_outputs,
        .options_size = sizeof(struct ecr_copy),
        .check = ecr_copy_check,
        .plan = ecr_copy_plan,
        .run = ecr_copy_run,
        .verify = ecr_copy_verify,
    },
    {
        .name = "login",
        .summary = "log docker in to ECR registries",
        .doc = "- uses: ecr/login\n"
               "  with:\n"
               "    regions: [us-west-2, us-east-1]\n\n"
               "Writes tokens to docker's config.json as `docker login` does; other entries stay.",
        .options = ecr_login_options,
        .outputs = ecr_login_outputs,
        .options_size = sizeof(struct ecr_login),
        .check = ecr_login_check,
        .plan = ecr_login_plan,
        .run = ecr_login_run,
    },
};

MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 = {
    MRP_PLUGIN_HEAD,    .name = "ecr",
    .version = "1.0.0", .summary = "container images: copy, synchronise, replicate, verify, log in",
    .actions = actions, .action_count = MRP_COUNT(actions),
};
