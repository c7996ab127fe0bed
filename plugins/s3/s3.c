/* The s3 plugin: packs the buildspec's artifacts and uploads files to buckets. */
#include "s3.h"

static const struct mrp_action actions[] = {
    {
        .name = "package",
        .summary = "pack the buildspec's artifacts as CodeBuild does",
        .doc =
            "Packs the files of the artifacts: block (and what earlier stages added) into a zip\n"
            "file whose bytes depend on the files only. Secondary artifacts become files of their\n"
            "own. Without a buildspec name the files here:\n"
            "\n"
            "    mrpipe do s3/package files:='[\"dist/**/*\"]' to=dist.zip\n",
        .options = mrp_package_options,
        .outputs = mrp_package_outputs,
        .options_size = sizeof(struct mrp_package),
        .check = mrp_package_check,
        .plan = mrp_package_plan,
        .run = mrp_package_run,
        .verify = mrp_package_plan, /* is the package of the last run still what would be packed? */
    },
    {
        .name = "upload",
        .summary = "upload a file to a bucket, in parts when it is large",
        .doc = "An object that holds the same bytes is left alone. The bucket must exist.\n"
               "\n"
               "    - uses: s3/upload\n"
               "      for-each:\n"
               "        region: ${{ regions.all }}\n"
               "      with:\n"
               "        file: ${{ stages.package.outputs.file }}\n"
               "        bucket: artifacts-${{ region }}\n"
               "        key: core/${{ run.source-version }}.zip\n",
        .options = mrp_upload_options,
        .outputs = mrp_upload_outputs,
        .options_size = sizeof(struct mrp_upload),
        .check = mrp_upload_check,
        .plan = mrp_upload_plan,
        .run = mrp_upload_run,
        .verify = mrp_upload_verify,
    },
};

MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 = {
    MRP_PLUGIN_HEAD,    .name = "s3",
    .version = "1.0.0", .summary = "build artifacts: packing and buckets",
    .actions = actions, .action_count = MRP_COUNT(actions),
};
