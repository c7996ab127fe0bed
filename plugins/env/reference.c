/* SECRET-ID[:JSON-KEY[:STAGE[:VERSION-ID]]], where SECRET-ID may be an ARN with colons of its own.
 */
#include "resolve.h"

#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { ARN_FIELDS = 7 };

void secret_ref_done(struct secret_ref *ref)
{
    free(ref->id);
    free(ref->key);
    free(ref->stage);
    free(ref->version);
    *ref = (struct secret_ref){0};
}

int secret_ref_parse(struct secret_ref *out, const char *text, struct mrp_error *err)
{
    *out = (struct secret_ref){0};
    size_t id_fields = mrp_starts(text, "arn:") ? ARN_FIELDS : 1, field = 0;
    const char *end = text;
    for (; *end; end++)
        if (*end == ':' && ++field == id_fields)
            break;
    char **parts[] = {&out->key, &out->stage, &out->version};
    const char *rest = *end ? end + 1 : end;
    out->id = mrp_strndup(text, (size_t)(end - text));
    for (size_t i = 0; i < MRP_COUNT(parts); i++) {
        size_t n = strcspn(rest, ":");
        *parts[i] = mrp_strndup(rest, n);
        rest += rest[n] ? n + 1 : n;
    }
    if (!out->id || !out->key || !out->stage || !out->version)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    if (!*out->id || *rest) {
        mrp_fail(err, MRP_E_CONFIG, "`%s` does not name a secret", text);
        return mrp_hint(err, "the form is SECRET-ID[:JSON-KEY[:STAGE[:VERSION-ID]]]");
    }
    if (*out->stage && *out->version)
        return mrp_fail(err, MRP_E_CONFIG, "`%s`: give a version stage or a version id, not both",
                        text);
    return 0;
}
