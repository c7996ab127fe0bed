/* The AWS CLI's configuration files. */
#include "ini.h"

#include <mrpipe/json.h>

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrp_error err = {0};
    json_t *j = NULL;
    ini_parse(&j, (const char *)data, size, "fuzz", &err);
    mrp_free_json(&j);
    return 0;
}
