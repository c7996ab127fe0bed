/* ctor: a plugin that crashes while it is being mapped. */
#include <mrpipe/plugin.h>

#include <signal.h>

static void __attribute__((constructor)) fall(void)
{
    raise(SIGSEGV);
}

MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 = {MRP_PLUGIN_HEAD, .name = "ctor", .version = "1",
                                                    .summary = "never there"};
