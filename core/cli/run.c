/* mrpipe run: phases and stages of a spec. */
#include "cli.h"

int mrp_cli_run(const struct mrp_cli_args *args)
{
    return mrp_cli_load_and(args->dry_run ? MRP_MODE_PLAN : MRP_MODE_RUN, args);
}
