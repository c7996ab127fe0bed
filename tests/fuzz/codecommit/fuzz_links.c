/* The look through a pack: index and pack as they come, or well-formed ones around hostile objects.
 */
#include "links.h"

#include <mrpipe/buf.h>

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OBJECTS = 12, HEAD = 12, FANOUT = 1024, TRAILER = 20, OFS_DELTA = 6 };

static void add32(struct mrp_buf *b, size_t v)
{
    const char bytes[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    mrp_buf_add(b, bytes, sizeof bytes);
}

/* One object in its packed form: KIND, BACK (which object before it is its base), content. */
static void
add_object(struct mrp_buf *pack, const size_t *starts, size_t n, const uint8_t *p, size_t len)
{
    unsigned kind = p[0] & 7u;
    if (kind == OFS_DELTA && n == 0)
        kind = 2;
    size_t size = len - 2;
    mrp_buf_addc(pack, (char)(kind << 4 | (size & 15) | (size > 15 ? 0x80 : 0)));
    for (size_t rest = size >> 4; rest; rest >>= 7)
        mrp_buf_addc(pack, (char)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0)));
    if (kind == OFS_DELTA) {
        size_t here = starts[n], back = here - starts[n - 1 - p[1] % n];
        char digits[10];
        size_t at = sizeof digits;
        digits[--at] = (char)(back & 0x7f);
        while (back >>= 7)
            digits[--at] = (char)(0x80 | (--back & 0x7f));
        mrp_buf_add(pack, digits + at, sizeof digits - at);
    }
    /* Stored, not compressed: much faster. */
    const char head[] = {
        0x78, 0x01, 1, (char)size, (char)(size >> 8), (char)~size, (char)(~size >> 8)};
    mrp_buf_add(pack, head, sizeof head);
    mrp_buf_add(pack, p + 2, size);
    add32(pack, adler32(1, p + 2, (uInt)size));
}

/* Objects are named 00..., 01... so that the content can name them. */
static void build(struct mrp_buf *pack, struct mrp_buf *idx, const uint8_t *data, size_t size)
{
    size_t starts[OBJECTS], n = 0;
    mrp_buf_add(pack, "PACK\0\0\0\2\0\0\0\0", HEAD);
    for (size_t at = 0; n < OBJECTS && at + 3 < size; n++) {
        size_t len = 2 + data[at];
        len = len < size - at - 1 ? len : size - at - 1;
        if (len < 2)
            break;
        starts[n] = pack->len;
        add_object(pack, starts, n, data + at + 1, len);
        at += 1 + len;
    }
    mrp_buf_add(pack, "01234567890123456789", TRAILER);
    mrp_buf_add(idx, "\377tOc\0\0\0\2", 8);
    for (size_t i = 0; i < 256; i++)
        add32(idx, i < n ? i + 1 : n);
    for (size_t i = 0; i < n; i++) {
        char id[MRP_OID_BYTES];
        memset(id, (int)i, sizeof id);
        mrp_buf_add(idx, id, sizeof id);
    }
    for (size_t i = 0; i < n; i++)
        add32(idx, 0);
    for (size_t i = 0; i < n; i++)
        add32(idx, starts[i]);
    mrp_buf_add(idx, "0123456789012345678901234567890123456789", 2 * TRAILER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    struct mrp_buf pack = MRP_BUF_INIT(1 << 20), idx = MRP_BUF_INIT(1 << 20);
    struct mrp_links outside = {0};
    struct mrp_oids tips = {0};
    struct mrp_error err = {0};
    if (data[0] & 1) {
        size_t cut = (size_t)(data[1] << 8 | data[2]) % (size - 2);
        mrp_buf_add(&idx, data + 3, cut < size - 3 ? cut : size - 3);
        mrp_buf_add(&pack, data + 3 + idx.len, size - 3 - idx.len);
    } else {
        build(&pack, &idx, data + 1, size - 1);
    }
    if (mrp_pack_links_in(&outside, &tips, (struct mrp_view){mrp_buf_str(&pack), pack.len},
                          (struct mrp_view){mrp_buf_str(&idx), idx.len}, &err) == 0)
        for (size_t i = 0; i < outside.count; i++)
            if (outside.list[i].kind < MRP_KIND_COMMIT || outside.list[i].kind > MRP_KIND_TAG)
                abort();
    mrp_links_done(&outside);
    mrp_oids_done(&tips);
    mrp_buf_done(&pack);
    mrp_buf_done(&idx);
    return 0;
}
