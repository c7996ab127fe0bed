/* pkt-lines: the same packets whatever the pieces are. */
#include "pkt.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
    uint64_t packets, bytes;
};

static int
add(void *arg, enum mrp_pkt_kind kind, const char *data, size_t len, struct mrp_error *err)
{
    struct sum *s = arg;
    (void)err;
    s->packets = s->packets * 31 + (uint64_t)kind;
    for (size_t i = 0; i < len; i++)
        s->bytes = s->bytes * 131 + (unsigned char)data[i];
    return 0;
}

static int feed(struct sum *s, const char *text, size_t size, size_t piece)
{
    struct mrp_pkt_reader r = MRP_PKT_READER_INIT;
    struct mrp_error err = {0};
    int rc = 0;
    for (size_t i = 0; i < size && !rc; i += piece)
        rc = mrp_pkt_feed(&r, text + i, size - i < piece ? size - i : piece, add, s, &err);
    mrp_pkt_reader_done(&r);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sum whole = {0}, parts = {0};
    if (!size)
        return 0;
    int a = feed(&whole, (const char *)data, size, size);
    int b = feed(&parts, (const char *)data, size, 1 + data[0] % 17u);
    if (a != b || whole.packets != parts.packets || whole.bytes != parts.bytes)
        abort();
    return 0;
}
