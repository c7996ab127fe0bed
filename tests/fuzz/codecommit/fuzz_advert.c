/* Advertisements: whatever comes, the names that are kept are fit for a command line of a push. */
#include "advert.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct mrp_refs refs = {0};
    struct mrp_advert a;
    struct mrp_error err = {0};
    size_t piece = 1 + data[1] % 64u;
    mrp_advert_init(&a, &refs, data[0] & 1 ? MRP_UPLOAD_PACK : MRP_RECEIVE_PACK, data[0] & 2);
    int rc = 0;
    for (size_t i = 2; i < size && !rc; i += piece)
        rc = mrp_advert_feed(&a, (const char *)data + i, size - i < piece ? size - i : piece, &err);
    if (!rc)
        rc = mrp_advert_finish(&a, &err);
    for (size_t i = 0; i < refs.count; i++)
        if (!mrp_ref_name_ok(refs.list[i].name, strlen(refs.list[i].name)))
            abort();
    for (size_t i = 1; i < refs.count && !rc; i++)
        if (strcmp(refs.list[i - 1].name, refs.list[i].name) >= 0)
            abort();
    mrp_refs_can(&refs, "side-band-64k");
    mrp_advert_done(&a);
    mrp_refs_done(&refs);
    return 0;
}
