/* upload-pack's answer: ACK and NAK lines, then the pack on band 1 or raw. */
#ifndef CODECOMMIT_BAND_H
#define CODECOMMIT_BAND_H

#include <mrpipe/error.h>

#include <stdbool.h>
#include <stddef.h>

struct mrp_band {
    enum {
        MRP_BAND_HEAD,
        MRP_BAND_FIRST,
        MRP_BAND_LINE,
        MRP_BAND_DATA,
        MRP_BAND_RAW,
        MRP_BAND_END
    } state;
    bool side_band; /* asked for: bands follow the lines */
    bool acked;     /* a line "ACK" came: the other side knows one of our haves */
    char head[4];
    size_t head_len;
    size_t rest; /* bytes of the packet still to come */
    int band;
    char text[512]; /* a line, or what band 3 said */
    size_t text_len;
    /** Bytes of the pack, in order. A non-zero return stops. */
    int (*pack)(void *arg, const char *data, size_t len, struct mrp_error *err);
    /** Bytes of band 2 (progress), may be NULL. */
    void (*note)(void *arg, const char *data, size_t len);
    void *arg;
};

/** 0; MRP_E_REMOTE with the server's words for band 3 and "ERR", or malformed framing. */
int mrp_band_feed(struct mrp_band *b, const char *data, size_t len, struct mrp_error *err);
/** At the end of the answer: MRP_E_NET if it was cut inside the framing. */
int mrp_band_finish(const struct mrp_band *b, struct mrp_error *err);

#endif
