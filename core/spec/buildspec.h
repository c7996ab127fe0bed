/** From the checked tree to struct mrp_spec: the part that CodeBuild reads, and the `mrpipe:`
 * section. Problems go to the reader. */
#ifndef MRP_SPEC_BUILDSPEC_H
#define MRP_SPEC_BUILDSPEC_H

#include "problem.h"

/** `root` is the document, a map. Sets rd->old. */
void mrp_buildspec_read(struct mrp_reader *rd,
                        struct mrp_spec *spec,
                        const struct mrp_yaml_node *root);
/** The phases map. */
void mrp_phases_read(struct mrp_reader *rd,
                     struct mrp_spec *spec,
                     const struct mrp_yaml_node *phases);
/** The value of `mrpipe:`, already checked against the table. */
void mrp_pipeline_read(struct mrp_reader *rd,
                       struct mrp_spec *spec,
                       const struct mrp_yaml_node *section);
/** Ids, needs and expressions of the stages, once all are read; `section` gives the places. */
void mrp_needs_resolve(struct mrp_reader *rd,
                       struct mrp_spec *spec,
                       const struct mrp_yaml_node *section);
/** Frees what a phase or stage owns. */
void mrp_phase_done(struct mrp_phase_spec *phase);
void mrp_pipeline_done(struct mrp_pipeline *pipeline);

/** A shell variable's name. */
bool mrp_is_variable(const char *name);

#endif
