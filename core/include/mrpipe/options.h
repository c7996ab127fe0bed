/** From a `with:` object to an action's option struct, by the action's table. For the runner and
 * for plugin tests. */
#ifndef MRPIPE_OPTIONS_H
#define MRPIPE_OPTIONS_H

#include <mrpipe/error.h>
#include <mrpipe/plugin.h>

#include <jansson.h>

/** Called for each problem; `option` is the key as the user wrote it (or the missing one's name).
 */
typedef void (*mrp_option_problem_fn)(void *arg,
                                      const char *option,
                                      const char *message,
                                      const char *nearest);

/**
 * Fill `state` (options_size bytes, zeroed by the caller) from `with` (an object; NULL: empty).
 *
 * All problems are reported through `problem` (may be NULL), not only the first: unknown names
 * (with the nearest right one), wrong types, missing required ones. Scalars may come as text or as
 * JSON values.
 * @return 0 or MRP_E_CONFIG with the first problem in err. `state` must be freed with
 * mrp_options_done in any case.
 */
MRP_EXPORT int mrp_options_parse(void *state,
                                 const struct mrp_option *table,
                                 const json_t *with,
                                 mrp_option_problem_fn problem,
                                 void *arg,
                                 struct mrp_error *err);
MRP_EXPORT void mrp_options_done(void *state, const struct mrp_option *table);

/** Check one value alone (NULL value: absent): 0 or MRP_E_CONFIG. */
MRP_EXPORT int
mrp_option_check(const struct mrp_option *option, const json_t *value, struct mrp_error *err);

/** "string", "size", ...: static string. */
MRP_EXPORT const char *mrp_option_type_name(enum mrp_option_type type);

#endif
