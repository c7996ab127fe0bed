/* mrpipe plan: what run would change. */
#include "cli.h"

int mrp_cli_plan(const struct mrp_cli_args *args)
{
    return mrp_cli_load_and(MRP_MODE_PLAN, args);
}
