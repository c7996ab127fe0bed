/** env/resolve. */
#ifndef ENV_RESOLVE_H
#define ENV_RESOLVE_H

#include <mrpipe/plugin.h>

struct resolve {
    json_t *parameters;
    json_t *secrets;
};

int resolve_check(const void *options, const char **bad, struct mrp_error *err);
int resolve_run(void *options,
                struct mrp_stage *stage,
                enum mrp_result *result,
                struct mrp_error *err);

/** A reference to a secret: all parts owned, "" where left out. */
struct secret_ref {
    char *id, *key, *stage, *version;
};
int secret_ref_parse(struct secret_ref *out, const char *text, struct mrp_error *err);
void secret_ref_done(struct secret_ref *ref);

#endif
