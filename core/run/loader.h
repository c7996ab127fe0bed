/** Plugin files: where they may lie, whether they may be trusted, and mapping them. */
#ifndef MRP_RUN_LOADER_H
#define MRP_RUN_LOADER_H

#include "../spec/spec.h"
#include "run.h"

/** Where plugins are looked for, in order. Owned. */
int mrp_plugin_dirs(char ***out, char *const *dirs, struct mrp_error *err) MRP_NODISCARD;

/**
 * The files that may be plugin `name`: found by name and checked (owner, mode, sha256 of the pin)
 * without mapping them. *paths is owned and may be empty; *causes (owned) tells of those refused.
 */
int mrp_plugin_candidates(char ***paths,
                          char ***causes,
                          const char *name,
                          char *const *dirs,
                          const struct mrp_plugin_pin *pin,
                          struct mrp_error *err) MRP_NODISCARD;

/** Map a plugin and check its descriptor; `sha256` (NULL: not pinned) is that of the very bytes
 * mapped. Only in a child process. The handle is dlopen's. */
int mrp_plugin_open(const struct mrp_plugin **out,
                    void **handle,
                    const char *path,
                    const char *sha256,
                    struct mrp_error *err) MRP_NODISCARD;
/** What changes when a file is replaced or written: owned text; NULL: there is no such file. */
char *mrp_plugin_identity(const char *path);
const struct mrp_action *mrp_plugin_action(const struct mrp_plugin *plugin, const char *name);
/** The pin of a plugin, or NULL. */
const struct mrp_plugin_pin *mrp_plugin_pin_of(const struct mrp_spec *spec, const char *name);

#endif
