/* Task definitions as JSON: what Register takes, edits, and whether two mean the same. Pure. */
#ifndef MRP_ECS_TASKDEF_H
#define MRP_ECS_TASKDEF_H

#include <mrpipe/error.h>

#include <jansson.h>
#include <stdbool.h>

/** A described task definition (and its tags, may be NULL) as input of RegisterTaskDefinition: all
 * members but the nine that only Describe has, unknown ones kept. Owned. */
json_t *mrp_taskdef_input(const json_t *described, const json_t *tags);

/** Set images by container name ({container: image}). MRP_E_CONFIG names an unknown container. */
int mrp_taskdef_images(json_t *input, const json_t *images, struct mrp_error *err) MRP_NODISCARD;

/** Merge patches by container name (RFC 7396; environment as {NAME: value or null}). */
int mrp_taskdef_patch(json_t *input, const json_t *patches, struct mrp_error *err) MRP_NODISCARD;

/** Equal in meaning: defaults filled in, lists without order sorted. */
bool mrp_taskdef_equal(const json_t *a, const json_t *b);

/** The image of a container, or of the first one when name is NULL. Borrowed; NULL: none. */
const char *mrp_taskdef_image(const json_t *taskdef, const char *container);

/** What differs, in few words: "service: repo:1 -> repo:2; cpu". Owned. */
char *mrp_taskdef_diff(const json_t *from, const json_t *to);

/** Tag or digest of an image: what is compared between regions. Borrowed from `image`. */
const char *mrp_taskdef_version(const char *image);

#endif
