/* A pointer is a blob of 100 to 250 bytes that begins with LFS's version line. Only entries whose
 * header says so are inflated, so a pack of gigabytes costs a memchr. */
#include "lfs.h"

#include <stdbool.h>
#include <string.h>
#include <zlib.h>

static const char mark[] = "version https://git-lfs";

enum { NEED = 96 }; /* bytes of deflate that surely hold the first words */

/* Does the zlib stream at p begin with LFS's first words? */
static bool is_pointer(const unsigned char *p)
{
    unsigned char in[NEED], out[sizeof mark - 1] = {0};
    memcpy(in, p, sizeof in);
    z_stream z = {.next_in = in, .avail_in = sizeof in, .next_out = out, .avail_out = sizeof out};
    if (inflateInit(&z) != Z_OK)
        return false;
    int rc = inflate(&z, Z_SYNC_FLUSH);
    inflateEnd(&z);
    return (rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR) && z.avail_out == 0 &&
           memcmp(out, mark, sizeof out) == 0;
}

/* Entry header of a blob (type 3) with a size of two bytes in pack form, then zlib's own header. */
static uint64_t count(const unsigned char *data, size_t from, size_t end)
{
    uint64_t found = 0;
    const unsigned char *stop = data + end;
    for (const unsigned char *p = data + from;
         p < stop && (p = memchr(p, 0x78, (size_t)(stop - p))) != NULL; p++) {
        unsigned size = (p[-2] & 15u) | (unsigned)p[-1] << 4;
        if ((p[-2] & 0xf0) == 0xb0 && p[-1] <= 15 && size >= 100 && (0x7800 + p[1]) % 31 == 0)
            found += is_pointer(p);
    }
    return found;
}

void mrp_lfs_scan(struct mrp_lfs *s, const unsigned char *data, size_t len)
{
    /* Streams that begin too near to the end of a piece are looked at with the next one. */
    unsigned char both[2 * sizeof s->tail];
    size_t n = len < sizeof s->tail ? len : sizeof s->tail;
    memcpy(both, s->tail, s->tail_len);
    memcpy(both + s->tail_len, data, n);
    size_t all = s->tail_len + n;
    size_t from = s->tail_len + 1 > NEED + 2 ? s->tail_len + 1 - NEED : 2;
    size_t end = all >= NEED ? all - NEED + 1 : 0;
    if (end > s->tail_len + 2)
        end = s->tail_len + 2;
    if (s->tail_len && from < end)
        s->found += count(both, from, end);
    if (len >= NEED + 2)
        s->found += count(data, 2, len - NEED + 1);
    if (len >= sizeof s->tail) {
        memcpy(s->tail, data + len - sizeof s->tail, sizeof s->tail);
        s->tail_len = sizeof s->tail;
        return;
    }
    size_t keep = s->tail_len + len > sizeof s->tail ? sizeof s->tail - len : s->tail_len;
    memmove(s->tail, s->tail + s->tail_len - keep, keep);
    memcpy(s->tail + keep, data, len);
    s->tail_len = keep + len;
}
