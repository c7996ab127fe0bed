/* The masker: whatever the secrets and the cuts are, no secret stands in the output. */
#include "mask.h"

#include <mrpipe/text.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first line is the secret (at least 4 bytes), the second byte after it says where to cut. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    if (!end || end - data < 4 || size > 4096)
        return 0;
    size_t n = (size_t)(end - data), left = size - n - 1;
    const char *text = (const char *)end + 1;
    while (n && data[n - 1] == '\r')
        n--;
    struct mrp_masker *m = mrp_masker_new();
    struct mrp_mask_stream stream;
    struct mrp_buf out = MRP_BUF_INIT(1 << 20);
    if (n < 4 || !m || mrp_masker_add(m, (const char *)data, n)) {
        mrp_masker_free(&m);
        return 0;
    }
    mrp_mask_init(&stream);
    size_t step = left ? (size_t)(unsigned char)text[0] % 13 + 1 : 1;
    for (size_t at = 0; at < left; at += step)
        if (mrp_mask_feed(&stream, m, text + at, left - at < step ? left - at : step, false, &out))
            abort();
    if (mrp_mask_feed(&stream, m, NULL, 0, true, &out))
        abort();
    /* *** may complete a secret that has stars itself */
    if (out.len && !memchr(data, '*', n) && memmem(out.data, out.len, data, n))
        abort();
    mrp_mask_done(&stream);
    mrp_buf_done(&out);
    mrp_masker_free(&m);
    return 0;
}
