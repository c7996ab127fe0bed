/**
 * JSON on jansson: bounded parsing and safe getters.
 *
 * Getters return borrowed values. A missing member or one of another type gives the fallback, so
 * hostile answers cannot crash a reader; check presence explicitly where it matters.
 */
#ifndef MRPIPE_JSON_H
#define MRPIPE_JSON_H

#include <mrpipe/error.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

MRP_EXPORT void mrp_free_json(json_t **j); /* for mrp_auto */
MRP_EXPORT json_t *mrp_take_json(json_t **j);

/** Parse one whole document (duplicate keys refused, at most 64 MiB, depth as jansson's). `what`
 * names the source in the message. *out is owned: json_decref. 0, MRP_E_REMOTE (bad JSON) or
 * MRP_E_NOMEM. */
MRP_EXPORT int mrp_json_parse(json_t **out,
                              const char *text,
                              size_t len,
                              const char *what,
                              struct mrp_error *err) MRP_NODISCARD;
MRP_EXPORT int mrp_json_read(json_t **out,
                             const char *path,
                             size_t max_bytes,
                             struct mrp_error *err) MRP_NODISCARD;

/** Compact text, keys in order of insertion; owned; NULL: no memory. */
MRP_EXPORT char *mrp_json_text(const json_t *j);

MRP_EXPORT const char *mrp_json_str(const json_t *obj,
                                    const char *key); /* NULL if absent or no string */
MRP_EXPORT int64_t mrp_json_int(const json_t *obj, const char *key, int64_t fallback);
MRP_EXPORT double mrp_json_real(const json_t *obj, const char *key, double fallback);
MRP_EXPORT bool mrp_json_bool(const json_t *obj, const char *key, bool fallback);
MRP_EXPORT json_t *mrp_json_arr(const json_t *obj,
                                const char *key); /* NULL if absent or no array */
MRP_EXPORT json_t *mrp_json_obj(const json_t *obj,
                                const char *key); /* NULL if absent or no object */

/** Set a member, taking over `value` (NULL: ignored and an error). 0 or MRP_E_NOMEM. */
MRP_EXPORT int mrp_json_put(json_t *obj, const char *key, json_t *value);
MRP_EXPORT int
mrp_json_puts(json_t *obj, const char *key, const char *value); /* NULL value: not set */
MRP_EXPORT int mrp_json_puti(json_t *obj, const char *key, int64_t value);

#endif
