/* Manifests and indexes from any bytes, trimmed to a platform. */
#include <manifest.h>

#include <mrpipe/auto.h>

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrp_error err = {0};
    mrp_auto(manifest_free) struct manifest *m = NULL;
    mrp_auto(manifest_free) struct manifest *less = NULL;
    char linux_amd64[] = "linux/amd64";
    char *platforms[] = {linux_amd64, NULL};
    if (manifest_new(&m, data, size, NULL, NULL, "it", &err))
        return 0;
    if (m->index && manifest_trim(&less, m, platforms, &err))
        return 0;
    return 0;
}
