/* XML answers. */
#include <mrpipe/json.h>
#include <mrpipe/xml.h>

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrp_error err = {0};
    json_t *j = NULL;
    if (mrp_xml_parse(&j, (const char *)data, size, "fuzz", &err) == 0 && json_object_size(j) != 1)
        abort();
    mrp_free_json(&j);
    return 0;
}
