/* Bytes of a zip file: headers and directory, with zip64 where numbers need it. No input, no
 * output. */
#ifndef MRP_S3_ZIP_H
#define MRP_S3_ZIP_H

#include <mrpipe/buf.h>

#include <stdbool.h>
#include <stdint.h>

enum { MRP_ZIP_STORED = 0, MRP_ZIP_DEFLATED = 8 };

struct mrp_zip_entry {
    const char *name; /* UTF-8, '/' between folders */
    uint32_t mode;    /* st_mode: type and permissions */
    int64_t mtime_s;  /* stored as UTC; before 1980: 1980 */
    uint16_t method;
    uint32_t crc;
    uint64_t packed;
    uint64_t size;
    uint64_t offset; /* of the local header */
    bool big;        /* sizes in zip64 form, decided before the packed size is known */
};

/** True when a file of this size might not fit the plain 32-bit fields, packed or not. */
bool mrp_zip_is_big(uint64_t size);

/* Sizes and CRC stand in the local header, never behind the data: Java's stream reader refuses
 * stored entries with a data descriptor. */
void mrp_zip_local(struct mrp_buf *out, const struct mrp_zip_entry *e);
void mrp_zip_central(struct mrp_buf *out, const struct mrp_zip_entry *e);
/** The end of the directory; zip64 records only when a number needs them. */
void mrp_zip_end(struct mrp_buf *out, uint64_t entries, uint64_t offset, uint64_t length);

#endif
