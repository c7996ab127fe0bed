/** YAML's own errors in words that help. */
#ifndef MRP_SPEC_YAML_TRAP_H
#define MRP_SPEC_YAML_TRAP_H

#include "problem.h"

#include <yaml.h>

/** Report a parser error: libyaml's words, the place, and for known traps what to do. */
void mrp_yaml_explain(struct mrp_reader *rd, const yaml_parser_t *parser);
/** Report a tag that would change the meaning of `node`. True if there is one. */
bool mrp_yaml_bad_tag(struct mrp_reader *rd, const char *tag, const struct mrp_yaml_node *node);

#endif
