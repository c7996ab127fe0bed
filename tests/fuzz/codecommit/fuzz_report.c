/* receive-pack's report. */
#include "report.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int each(void *arg,
                const char *ref,
                size_t ref_len,
                const char *words,
                size_t words_len,
                struct mrp_error *err)
{
    size_t *sum = arg;
    (void)err;
    for (size_t i = 0; i < ref_len; i++)
        *sum += (unsigned char)ref[i];
    for (size_t i = 0; words && i < words_len; i++)
        *sum += (unsigned char)words[i];
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t sum = 0;
    struct mrp_report r;
    struct mrp_error err = {0};
    int rc = 0;
    if (!size)
        return 0;
    size_t piece = 1 + data[0] % 64u;
    mrp_report_init(&r, each, &sum);
    for (size_t i = 1; i < size && !rc; i += piece)
        rc = mrp_report_feed(&r, (const char *)data + i, size - i < piece ? size - i : piece, &err);
    mrp_report_done(&r);
    return 0;
}
