/* oldabi: a plugin of another ABI. */
#include <mrpipe/plugin.h>

MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 = {
    .magic = MRP_PLUGIN_MAGIC,
    .abi_major = MRP_ABI_MAJOR + 1,
    .struct_size = sizeof(struct mrp_plugin),
    .action_size = sizeof(struct mrp_action),
    .name = "oldabi",
    .version = "9",
    .summary = "from the future",
};
