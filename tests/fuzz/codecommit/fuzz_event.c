/* Events from outside name only repositories and regions. */
#include "end.h"
#include "mirror.h"

#include <mrpipe/auto.h>

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char **names = NULL, *region = NULL;
    struct mrp_error err = {0};
    if (mrp_event_parse(&names, &region, (const char *)data, size, &err) == 0)
        for (char **n = names; n && *n; n++)
            if (!mrp_is_repository_name(*n))
                abort();
    mrp_free_strv(&names);
    mrp_free_str(&region);
    return 0;
}
