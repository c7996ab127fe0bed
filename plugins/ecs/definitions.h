/* imagedefinitions files: reading them, their names by region, the copies of an image. */
#ifndef MRP_ECS_DEFINITIONS_H
#define MRP_ECS_DEFINITIONS_H

#include <mrpipe/error.h>
#include <mrpipe/stage.h>

#include <jansson.h>

#define MRP_DEFINITIONS_PRIMARY "imagedefinitions_primary.json"
#define MRP_DEFINITIONS_PLAIN "imagedefinitions.json"

/** A file of the work directory: an array of {name, imageUri}, at most 100 KB as CodePipeline
 * allows. MRP_E_NOTFOUND if it is not there, MRP_E_CONFIG if it is something else. */
int mrp_definitions_read(json_t **out,
                         const struct mrp_stage *stage,
                         const char *file,
                         struct mrp_error *err) MRP_NODISCARD;

/** The file that the phases wrote, by its two usual names. Static; MRP_E_NOTFOUND if neither is
 * there. */
int mrp_definitions_find(const char **out,
                         const struct mrp_stage *stage,
                         struct mrp_error *err) MRP_NODISCARD;

/** The name of the file of a secondary region: imagedefinitions_primary.json becomes
 * imagedefinitions_secondary.json when there is one secondary region, else NAME_REGION.json. Owned.
 */
char *mrp_definitions_sibling(const char *from, const char *region, size_t secondaries);

/** The copy of an image in a region, from the output of ecr/copy: by source, else by name.
 * Borrowed; NULL: none. A copy without a region counts when nothing better is there. */
const json_t *mrp_definitions_copy(const json_t *images,
                                   const char *name,
                                   const char *source,
                                   const char *region);

/** The same ECR image in another region, by its host name. Owned; NULL: not a private ECR image. */
char *mrp_definitions_move(const char *image, const char *region);

/** The region of a private ECR image. Owned; NULL: not one. */
char *mrp_definitions_region(const char *image);

#endif
