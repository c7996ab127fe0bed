/* pkt-lines: git's framing, read in any pieces and written to a buffer. */
#ifndef CODECOMMIT_PKT_H
#define CODECOMMIT_PKT_H

#include <mrpipe/buf.h>
#include <mrpipe/error.h>

#include <stddef.h>

#define MRP_PKT_MAX 65520 /* with the 4 digits */

enum mrp_pkt_kind { MRP_PKT_DATA, MRP_PKT_FLUSH, MRP_PKT_DELIM };

/** Zero it with .body = MRP_BUF_INIT(MRP_PKT_MAX). */
struct mrp_pkt_reader {
    char head[4];
    size_t head_len;
    size_t rest; /* bytes of the body still to come */
    bool in_body;
    struct mrp_buf body;
};
#define MRP_PKT_READER_INIT                                                                        \
    {                                                                                              \
        .body = MRP_BUF_INIT(MRP_PKT_MAX)                                                          \
    }

/** One packet; data is borrowed for the call. A non-zero return stops the reading. */
typedef int (*mrp_pkt_fn)(void *arg,
                          enum mrp_pkt_kind kind,
                          const char *data,
                          size_t len,
                          struct mrp_error *err);

/** 4 hex digits: the length they stand for, or -1. */
int mrp_pkt_length(const char head[4]);

/** Cut `data` into packets. 0, MRP_E_REMOTE (bad framing), or what fn returned. */
int mrp_pkt_feed(struct mrp_pkt_reader *r,
                 const char *data,
                 size_t len,
                 mrp_pkt_fn fn,
                 void *arg,
                 struct mrp_error *err);
/** True between packets: nothing half-read is left. */
bool mrp_pkt_idle(const struct mrp_pkt_reader *r);
void mrp_pkt_reader_done(struct mrp_pkt_reader *r);

/** Append one packet of formatted text. */
int mrp_pkt_addf(struct mrp_buf *out, const char *fmt, ...) MRP_PRINTF(2, 3);
int mrp_pkt_flush(struct mrp_buf *out);

#endif
