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
        .name = "sync",
        .summary = "make repositories of other registries or regions equal",
        .doc = "- uses: ecr/sync\n"
               "  with:\n"
               "    from: 111122223333.dkr.ecr.us-west-2.amazonaws.com\n"
               "    repositories: [\"mysfits/*\"]\n"
               "    semver: \">=1.2\"\n"
               "    newest: 20\n"
               "    to-regions: us-east-1",
        .options = ecr_sync_options,
        .outputs = ecr_sync_outputs,
        .options_size = sizeof(struct ecr_sync),
        .check = ecr_sync_check,
        .plan = ecr_sync_plan,
        .run = ecr_sync_run,
        .verify = ecr_sync_verify,
    },
    {
        .name = "verify",
        .summary = "compare images at both ends, without copying",
        .doc = "- uses: ecr/verify\n"
               "  with:\n"
               "    from: 111122223333.dkr.ecr.us-west-2.amazonaws.com/core:1.4\n"
               "    to-regions: us-east-1",
        .options = ecr_verify_options,
        .outputs = ecr_verify_outputs,
        .options_size = sizeof(struct ecr_verify),
        .check = ecr_verify_check,
        .plan = ecr_verify_plan,
        .run = ecr_verify_run,
        .verify = ecr_verify_plan,
    },
    {
        .name = "replicate",
        .summary = "let ECR itself replicate, and wait for the images that are needed now",
        .doc = "- uses: ecr/replicate\n"
               "  with:\n"
               "    regions: us-east-1\n"
               "    prefixes: [mysfits/]\n"
               "    images: 111122223333.dkr.ecr.us-west-2.amazonaws.com/mysfits/core:1.4\n"
               "    wait: 10m",
        .options = ecr_replicate_options,
        .outputs = ecr_replicate_outputs,
        .options_size = sizeof(struct ecr_replicate),
        .check = ecr_replicate_check,
        .plan = ecr_replicate_plan,
        .run = ecr_replicate_run,
    },
    {
        .name = "create-repository",
        .summary = "make repositories in other regions, with the settings of the source",
        .doc = "- uses: ecr/create-repository\n"
               "  with:\n"
               "    repositories: [core, like]\n"
               "    regions: us-east-1",
        .options = ecr_create_options,
        .outputs = ecr_create_outputs,
        .options_size = sizeof(struct ecr_create_repository),
        .check = ecr_create_check,
        .plan = ecr_create_plan,
        .run = ecr_create_run,
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
