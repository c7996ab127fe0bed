/* The side-band demultiplexer: a packet's bytes go on as they come, none is collected. */
#include "band.h"
#include "pkt.h"
#include "refs.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <string.h>

static void keep_text(struct mrp_band *b, const char *data, size_t len)
{
    size_t room = sizeof b->text - b->text_len;
    size_t n = len < room ? len : room;
    memcpy(b->text + b->text_len, data, n);
    b->text_len += n;
}

static int server_says(const struct mrp_band *b, size_t skip, struct mrp_error *err)
{
    struct mrp_view words = mrp_view_trim(
        (struct mrp_view){b->text + skip, b->text_len > skip ? b->text_len - skip : 0});
    mrp_auto(mrp_free_str) char *shown = mrp_show_name(words.p, words.n);
    return mrp_fail(err, MRP_E_REMOTE, "the source says: %s", shown ? shown : "");
}

/* A whole line before the pack. */
static int end_line(struct mrp_band *b, struct mrp_error *err)
{
    if (b->text_len >= 4 && memcmp(b->text, "ERR ", 4) == 0)
        return server_says(b, 4, err);
    if (b->text_len >= 3 && memcmp(b->text, "ACK", 3) == 0)
        b->acked = true;
    else if (b->text_len < 3 || (memcmp(b->text, "NAK", 3) != 0 && memcmp(b->text, "sha", 3) != 0))
        return server_says(b, 0, err);
    b->text_len = 0;
    return MRP_OK;
}

static int end_packet(struct mrp_band *b, struct mrp_error *err)
{
    int state = b->state;
    b->state = MRP_BAND_HEAD;
    if (state == MRP_BAND_LINE)
        return end_line(b, err);
    if (state == MRP_BAND_DATA && b->band == 3)
        return server_says(b, 0, err);
    return MRP_OK;
}

static int begin_packet(struct mrp_band *b, struct mrp_error *err)
{
    /* Without side-band the pack begins where the next length would be. */
    if (!b->side_band && memcmp(b->head, "PACK", 4) == 0) {
        b->state = MRP_BAND_RAW;
        return b->pack(b->arg, b->head, 4, err);
    }
    int n = mrp_pkt_length(b->head);
    b->head_len = 0;
    if (n < 0 || n == 2 || n == 3 || n > MRP_PKT_MAX)
        return mrp_fail(err, MRP_E_REMOTE, "the source's answer is malformed (no pkt-line length)");
    if (n == 0 || n == 1) {
        if (n == 0 && b->side_band)
            b->state = MRP_BAND_END;
        return MRP_OK;
    }
    b->rest = (size_t)n - 4;
    if (b->rest)
        b->state = MRP_BAND_FIRST;
    return MRP_OK;
}

static int inside(struct mrp_band *b, const char *data, size_t n, struct mrp_error *err)
{
    b->rest -= n;
    if (b->state == MRP_BAND_LINE || b->band == 3)
        keep_text(b, data, n);
    else if (b->band == 2 && b->note)
        b->note(b->arg, data, n);
    else if (b->band == 1) {
        int rc = b->pack(b->arg, data, n, err);
        if (rc)
            return rc;
    }
    return b->rest ? MRP_OK : end_packet(b, err);
}

int mrp_band_feed(struct mrp_band *b, const char *data, size_t len, struct mrp_error *err)
{
    int rc = MRP_OK;
    while (len && !rc) {
        size_t n = 1;
        switch (b->state) {
        case MRP_BAND_HEAD:
            b->head[b->head_len++] = *data;
            if (b->head_len == 4)
                rc = begin_packet(b, err);
            break;
        case MRP_BAND_FIRST:
            b->band = (unsigned char)*data;
            b->state = b->side_band && b->band >= 1 && b->band <= 3 ? MRP_BAND_DATA : MRP_BAND_LINE;
            if (b->state == MRP_BAND_LINE) {
                b->band = 0;
                keep_text(b, data, 1);
            }
            if (--b->rest == 0)
                rc = end_packet(b, err);
            break;
        case MRP_BAND_LINE:
        case MRP_BAND_DATA:
            n = len < b->rest ? len : b->rest;
            rc = inside(b, data, n, err);
            break;
        case MRP_BAND_RAW:
            return b->pack(b->arg, data, len, err);
        case MRP_BAND_END:
            return MRP_OK;
        }
        data += n;
        len -= n;
    }
    return rc;
}

int mrp_band_finish(const struct mrp_band *b, struct mrp_error *err)
{
    if (b->state == MRP_BAND_END || b->state == MRP_BAND_RAW)
        return MRP_OK;
    if (!b->side_band && b->state == MRP_BAND_HEAD && b->head_len == 0)
        return MRP_OK;
    return mrp_fail(err, MRP_E_NET, "the source's answer was cut");
}
