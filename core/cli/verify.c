/* mrpipe verify: are the regions equal? */
#include "cli.h"

int mrp_cli_verify(const struct mrp_cli_args *args)
{
    return mrp_cli_load_and(MRP_MODE_VERIFY, args);
}
