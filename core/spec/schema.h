/** The spec language as JSON Schema (draft 7), for editors; made from the tables the reader uses.
 */
#ifndef MRP_SPEC_SCHEMA_H
#define MRP_SPEC_SCHEMA_H

#include <mrpipe/error.h>

#include <jansson.h>

/**
 * @param[out] out  the schema, owned
 * @param actions   {"ecr/copy": JSON Schema of its `with:`, ...}; borrowed; NULL: none
 * @return 0 or MRP_E_NOMEM
 */
int mrp_spec_schema(json_t **out, const json_t *actions, struct mrp_error *err) MRP_NODISCARD;

#endif
