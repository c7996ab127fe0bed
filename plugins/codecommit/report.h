/* receive-pack's answer: report-status, inside side-band or plain. */
#ifndef CODECOMMIT_REPORT_H
#define CODECOMMIT_REPORT_H

#include "pkt.h"

#include <stdbool.h>

/** What is told of one ref: words NULL means ok. Everything borrowed for the call. */
typedef int (*mrp_report_fn)(void *arg,
                             const char *ref,
                             size_t ref_len,
                             const char *words,
                             size_t words_len,
                             struct mrp_error *err);

struct mrp_report {
    struct mrp_pkt_reader outer;
    struct mrp_pkt_reader inner; /* the lines inside band 1 */
    mrp_report_fn each;
    void *arg;
    bool banded; /* the answer is in bands (told by its first byte: some servers ignore the wish) */
    bool any;    /* a line was read */
    bool unpacked; /* "unpack ok" came */
    bool ended;    /* the flush after the lines came */
    size_t refs;
    char unpack_words[256]; /* why unpacking failed; "" if it did not */
    struct mrp_buf notes;   /* band 2: what hooks and the server print, cut at 4 KiB */
};

/** Free with mrp_report_done. */
void mrp_report_init(struct mrp_report *r, mrp_report_fn each, void *arg);
/** 0, MRP_E_REMOTE (malformed, band 3, ERR), or what `each` returned. */
int mrp_report_feed(struct mrp_report *r, const char *data, size_t len, struct mrp_error *err);
void mrp_report_done(struct mrp_report *r);

#endif
