/**
 * A growing byte buffer with a mandatory upper limit.
 *
 * On any failure it frees itself and stays failed, so callers may append many times
 * and check once. The contents are always followed by a NUL that is not counted.
 */
#ifndef MRPIPE_BUF_H
#define MRPIPE_BUF_H

#include <mrpipe/error.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct mrp_buf {
    char *data; /* NUL-terminated; NULL while empty */
    size_t len; /* bytes, without the NUL */
    size_t cap;
    size_t max; /* upper limit of len */
    bool failed;
};

#define MRP_BUF_INIT(limit)                                                                        \
    {                                                                                              \
        .max = (limit)                                                                             \
    }

MRP_EXPORT void mrp_buf_init(struct mrp_buf *buf, size_t max_bytes);
MRP_EXPORT void mrp_buf_done(struct mrp_buf *buf); /* frees; the buffer can be used again */

/** All return 0, or MRP_E_NOMEM when the limit or the memory is exhausted. */
MRP_EXPORT int mrp_buf_add(struct mrp_buf *buf, const void *data, size_t len);
MRP_EXPORT int mrp_buf_adds(struct mrp_buf *buf, const char *str);
MRP_EXPORT int mrp_buf_addc(struct mrp_buf *buf, char c);
MRP_EXPORT int mrp_buf_addf(struct mrp_buf *buf, const char *fmt, ...) MRP_PRINTF(2, 3);
MRP_EXPORT int mrp_buf_addv(struct mrp_buf *buf, const char *fmt, va_list args) MRP_PRINTF(2, 0);

/** Make room for `len` more bytes and return where they go (valid until the next call), or NULL. */
MRP_EXPORT char *mrp_buf_reserve(struct mrp_buf *buf, size_t len);

/** Drop `len` bytes from the front. */
MRP_EXPORT void mrp_buf_drop(struct mrp_buf *buf, size_t len);

/** Empty it but keep the memory. */
MRP_EXPORT void mrp_buf_reset(struct mrp_buf *buf);

/** The contents as an owned string ("" if empty), or NULL if the buffer failed; the buffer is empty
 * after. */
MRP_EXPORT char *mrp_buf_take(struct mrp_buf *buf);

/** The contents, borrowed until the next change; "" if empty. */
MRP_EXPORT const char *mrp_buf_str(const struct mrp_buf *buf);

/** 0, or MRP_E_NOMEM with a message that names `what` if the buffer failed. */
MRP_EXPORT int mrp_buf_check(const struct mrp_buf *buf, const char *what, struct mrp_error *err);

#endif
