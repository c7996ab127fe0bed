/* Comparing both ends of a copy in depth, without copying. */
#ifndef ECR_VERIFY_H
#define ECR_VERIFY_H

#include "copy.h"

/** Look at every child and blob at the destinations, and at the referrers of both ends. What is
 * missing or different is appended to `differences` as {image, digest, problem}. */
int verify_deep(struct copier *c, bool referrers, json_t *differences, struct mrp_error *err)
    MRP_NODISCARD;
/** Say what differs. */
void verify_tell(struct mrp_stage *stage, const json_t *differences);

#endif
