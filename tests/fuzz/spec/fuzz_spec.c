/* Any bytes as a spec: parsed, derived, shown, written back; what was written must be read again.
 */
#include "spec.h"

#include <mrpipe/auto.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_back(const struct mrp_spec *spec)
{
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    mrp_auto(mrp_spec_free) struct mrp_spec *again = NULL;
    mrp_auto(mrp_free_str) char *yaml = mrp_spec_pipeline_yaml(spec);
    if (yaml && mrp_spec_parse(&again, &diags, "again.yml", yaml, strlen(yaml), &err) &&
        strlen(yaml) < 1000)
        abort();
    mrp_diags_done(&diags);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char one[] = "us-east-1";
    char *const to[] = {one, NULL};
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    int rc = mrp_spec_parse(&spec, &diags, "fuzz.yml", (const char *)data, size, &err);
    if ((rc == 0) != (spec != NULL) || (rc && !diags.errors && rc != MRP_E_NOMEM))
        abort();
    if (spec && spec->pipeline.present)
        read_back(spec);
    else if (spec && !mrp_spec_derive(spec, &(struct mrp_derive){.to = to}, &diags, &err))
        read_back(spec);
    mrp_auto(mrp_free_str) char *text = mrp_diags_text(&diags, size % 2);
    if (text && diags.count && !*text)
        abort();
    mrp_diags_done(&diags);
    return 0;
}
