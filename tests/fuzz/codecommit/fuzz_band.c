/* upload-pack's answer: the same pack bytes whatever the pieces are. */
#include "band.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take(void *arg, const char *data, size_t len, struct mrp_error *err)
{
    uint64_t *sum = arg;
    (void)err;
    for (size_t i = 0; i < len; i++)
        *sum = *sum * 131 + (unsigned char)data[i];
    return 0;
}

static int feed(uint64_t *sum, const char *text, size_t size, size_t piece, bool side_band)
{
    struct mrp_band b = {.side_band = side_band, .pack = take, .arg = sum};
    struct mrp_error err = {0};
    int rc = 0;
    for (size_t i = 0; i < size && !rc; i += piece)
        rc = mrp_band_feed(&b, text + i, size - i < piece ? size - i : piece, &err);
    return rc ? rc : mrp_band_finish(&b, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole = 0, parts = 0;
    if (size < 2)
        return 0;
    bool side_band = data[0] & 1;
    int a = feed(&whole, (const char *)data + 1, size - 1, size, side_band);
    int b = feed(&parts, (const char *)data + 1, size - 1, 1 + data[0] % 29u, side_band);
    if (a != b || (!a && whole != parts))
        abort();
    return 0;
}
