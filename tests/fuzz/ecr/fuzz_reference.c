/* Image references, ECR host names and version ranges from any bytes. */
#include <ref.h>
#include <select.h>

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mrp_auto(mrp_free_str) char *text = mrp_strndup((const char *)data, size);
    struct mrp_error err = {0};
    mrp_auto(ref_done) struct ref ref;
    struct ecr_name name;
    struct version v;
    if (!text)
        return 0;
    if (!ref_parse(&ref, text, &err)) {
        /* What was read must read the same again. */
        mrp_auto(mrp_free_str) char *shown = ref_text(&ref);
        mrp_auto(ref_done) struct ref again;
        if (!shown || ref_parse(&again, shown, &err))
            abort();
        if (ref.host)
            ecr_name_parse(&name, ref.host);
    }
    ecr_name_parse(&name, text);
    if (version_parse(&v, text, size))
        range_match("^1.2 || >=2 <3", &v);
    range_check(text, &err);
    return 0;
}
