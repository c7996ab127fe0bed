/** JSON values as YAML text in block style. */
#ifndef MRP_SPEC_EMIT_H
#define MRP_SPEC_EMIT_H

#include <mrpipe/buf.h>

#include <jansson.h>

/** Append a map as a block that begins at the start of a line; a limit of the buffer or too deep a
 * value leaves it failed. */
void mrp_emit_yaml(struct mrp_buf *buf, const json_t *map, int indent);
/** The `mrpipe:` section of the pipeline as a JSON object {"mrpipe": {...}}. Owned; NULL: no
 * memory. */
struct mrp_pipeline;
json_t *mrp_pipeline_json(const struct mrp_pipeline *pipeline);

#endif
