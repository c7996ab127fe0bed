/* Encodes zip records: local headers, central directory, end records, zip64. */
#include "zip.h"

#include <string.h>
#include <time.h>

enum { MAX16 = 0xffff, FLAG_UTF8 = 0x800, UNIX = 3 << 8 };
#define MAX32 UINT64_C(0xffffffff)

static void le(struct mrp_buf *out, uint64_t v, int bytes)
{
    unsigned char b[8];
    for (int i = 0; i < bytes; i++)
        b[i] = (unsigned char)(v >> (8 * i));
    mrp_buf_add(out, b, (size_t)bytes);
}

bool mrp_zip_is_big(uint64_t size)
{
    /* deflate may add 5 bytes to 16 KiB, and a block's end marker */
    return size + size / 1024 + 64 >= MAX32;
}

static uint32_t dos_time(int64_t s)
{
    const int64_t first = 315532800; /* 1980-01-01 */
    const int64_t last = 4354819198; /* 2107-12-31 23:59:58 */
    time_t t = (time_t)(s < first ? first : s > last ? last : s);
    struct tm tm;
    if (!gmtime_r(&t, &tm))
        return 0x00210000;
    uint32_t date = (uint32_t)((tm.tm_year - 80) << 9 | (tm.tm_mon + 1) << 5 | tm.tm_mday);
    uint32_t clock = (uint32_t)(tm.tm_hour << 11 | tm.tm_min << 5 | tm.tm_sec / 2);
    return date << 16 | clock;
}

static uint16_t flags(const char *name)
{
    for (const char *s = name; *s; s++)
        if ((unsigned char)*s >= 0x80)
            return FLAG_UTF8;
    return 0;
}

/* The fields that both headers share, from "version needed" to the length of the name. */
static void shared(struct mrp_buf *out, const struct mrp_zip_entry *e, bool big)
{
    le(out, big ? 45 : 20, 2);
    le(out, flags(e->name), 2);
    le(out, e->method, 2);
    le(out, dos_time(e->mtime_s), 4);
    le(out, e->crc, 4);
    le(out, e->big ? MAX32 : e->packed, 4);
    le(out, e->big ? MAX32 : e->size, 4);
    le(out, strlen(e->name), 2);
}

void mrp_zip_local(struct mrp_buf *out, const struct mrp_zip_entry *e)
{
    le(out, 0x04034b50, 4);
    shared(out, e, e->big);
    le(out, e->big ? 20 : 0, 2);
    mrp_buf_adds(out, e->name);
    if (e->big) {
        le(out, 1, 2);
        le(out, 16, 2);
        le(out, e->size, 8);
        le(out, e->packed, 8);
    }
}

void mrp_zip_central(struct mrp_buf *out, const struct mrp_zip_entry *e)
{
    bool far_off = e->offset >= MAX32;
    unsigned extra = (e->big ? 16u : 0u) + (far_off ? 8u : 0u);

    le(out, 0x02014b50, 4);
    le(out, UNIX | (extra ? 45 : 20), 2);
    shared(out, e, extra > 0);
    le(out, extra ? extra + 4 : 0, 2);
    le(out, 0, 2); /* comment */
    le(out, 0, 2); /* disk */
    le(out, 0, 2); /* internal attributes */
    le(out, (uint64_t)(e->mode & MAX16) << 16, 4);
    le(out, far_off ? MAX32 : e->offset, 4);
    mrp_buf_adds(out, e->name);
    if (extra) {
        le(out, 1, 2);
        le(out, extra, 2);
        if (e->big) {
            le(out, e->size, 8);
            le(out, e->packed, 8);
        }
        if (far_off)
            le(out, e->offset, 8);
    }
}

void mrp_zip_end(struct mrp_buf *out, uint64_t entries, uint64_t offset, uint64_t length)
{
    if (entries >= MAX16 || offset >= MAX32 || length >= MAX32) {
        le(out, 0x06064b50, 4);
        le(out, 44, 8);
        le(out, UNIX | 45, 2);
        le(out, 45, 2);
        le(out, 0, 4);
        le(out, 0, 4);
        le(out, entries, 8);
        le(out, entries, 8);
        le(out, length, 8);
        le(out, offset, 8);
        le(out, 0x07064b50, 4);
        le(out, 0, 4);
        le(out, offset + length, 8);
        le(out, 1, 4);
    }
    le(out, 0x06054b50, 4);
    le(out, 0, 2);
    le(out, 0, 2);
    le(out, entries >= MAX16 ? MAX16 : entries, 2);
    le(out, entries >= MAX16 ? MAX16 : entries, 2);
    le(out, length >= MAX32 ? MAX32 : length, 4);
    le(out, offset >= MAX32 ? MAX32 : offset, 4);
    le(out, 0, 2);
}
