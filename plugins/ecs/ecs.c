/* The ecs plugin: image definitions of the other regions, and deployments of services. */
#include "ecs.h"

static const struct mrp_action actions[] = {
    {
        .name = "imagedefinitions",
        .summary = "write the image definitions file of the other regions",
        .doc =
            "Reads the file that the phases wrote, puts in each image's copy in the other region,\n"
            "writes the sibling file and adds it to the run's artifacts.\n"
            "\n"
            "    - uses: ecs/imagedefinitions\n"
            "      with:\n"
            "        images: ${{ stages.images.outputs.images }}\n",
        .options = mrp_imagedefinitions_options,
        .outputs = mrp_imagedefinitions_outputs,
        .options_size = sizeof(struct mrp_imagedefinitions),
        .check = mrp_imagedefinitions_check,
        .plan = mrp_imagedefinitions_plan,
        .run = mrp_imagedefinitions_run,
        .verify = mrp_imagedefinitions_plan, /* is the file still what a run would write? */
    },
    {
        .name = "deploy",
        .summary = "bring new images to the services of one or more regions",
        .doc = "Looks at every region first; then, wave by wave, registers a revision where it "
               "differs,\n"
               "updates the service and follows this very deployment until ECS says COMPLETED. A "
               "rollout\n"
               "that fails brings the regions back to the revision before.\n"
               "\n"
               "    - uses: ecs/deploy\n"
               "      with:\n"
               "        cluster: prod\n"
               "        service: core\n"
               "        waves:\n"
               "          - [us-east-1]\n"
               "          - [us-west-2]\n",
        .options = mrp_deploy_options,
        .outputs = mrp_deploy_outputs,
        .options_size = sizeof(struct mrp_deploy),
        .check = mrp_deploy_check,
        .plan = mrp_deploy_plan,
        .run = mrp_deploy_run,
        .verify = mrp_deploy_verify,
    },
};

MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 = {
    MRP_PLUGIN_HEAD,    .name = "ecs",
    .version = "1.0.0", .summary = "Amazon ECS: image definitions and deployments",
    .actions = actions, .action_count = MRP_COUNT(actions),
};
