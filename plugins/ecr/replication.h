/* ECR's own replication: its configuration as JSON, merged by rule. */
#ifndef ECR_REPLICATION_H
#define ECR_REPLICATION_H

#include <mrpipe/error.h>

#include <jansson.h>
#include <stdbool.h>

/**
 * Put a rule into a configuration ({"rules": [...]}): destinations that a wider rule has already
 * are left out; a rule with the same filters gets the others, or a rule is added. *changed tells
 * whether anything differs.
 * @return 0, MRP_E_CONFIG beyond ECR's limits (10 rules, 25 destinations, 100 filters)
 */
int replication_merge(json_t *config,
                      bool *changed,
                      char *const *prefixes,
                      char *const *regions,
                      const char *account,
                      struct mrp_error *err) MRP_NODISCARD;

/** The entry of a list that has this region and registryId (borrowed), or NULL. */
const json_t *replication_place(const json_t *list, const char *region, const char *account);

/** A registry policy with a statement that lets `account` replicate into this registry. `old` may
 * be NULL. *out is owned; NULL when the policy has it already. */
int replication_policy(char **out,
                       const char *old,
                       const char *account,
                       const char *partition,
                       const char *region,
                       const char *own,
                       struct mrp_error *err) MRP_NODISCARD;

#endif
