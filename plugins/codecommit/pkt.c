/* The pkt-line reader and writer. */
#include "pkt.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int mrp_pkt_length(const char head[4])
{
    int n = 0;
    for (int i = 0; i < 4; i++) {
        char c = head[i];
        int v = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (v < 0)
            return -1;
        n = n * 16 + v;
    }
    return n;
}

/* The 4 digits are complete: what follows? */
static int begin(struct mrp_pkt_reader *r, mrp_pkt_fn fn, void *arg, struct mrp_error *err)
{
    int n = mrp_pkt_length(r->head);
    r->head_len = 0;
    if (n < 0 || n == 2 || n == 3 || n > MRP_PKT_MAX) {
        char shown[5];
        for (int i = 0; i < 4; i++)
            shown[i] = r->head[i] >= 0x20 && r->head[i] < 0x7f ? r->head[i] : '?';
        shown[4] = '\0';
        return mrp_fail(err, MRP_E_REMOTE, "\"%s\" is no pkt-line length", shown);
    }
    if (n <= 1)
        return fn(arg, n ? MRP_PKT_DELIM : MRP_PKT_FLUSH, "", 0, err);
    if (n == 4)
        return fn(arg, MRP_PKT_DATA, "", 0, err);
    r->in_body = true;
    r->rest = (size_t)n - 4;
    return MRP_OK;
}

int mrp_pkt_feed(struct mrp_pkt_reader *r,
                 const char *data,
                 size_t len,
                 mrp_pkt_fn fn,
                 void *arg,
                 struct mrp_error *err)
{
    int rc = MRP_OK;
    while (len && !rc) {
        if (!r->in_body) {
            r->head[r->head_len++] = *data++;
            len--;
            if (r->head_len == 4)
                rc = begin(r, fn, arg, err);
            continue;
        }
        size_t n = len < r->rest ? len : r->rest;
        if (r->body.len == 0 && n == r->rest) {
            r->in_body = false; /* the whole packet is in this piece: no copy */
            rc = fn(arg, MRP_PKT_DATA, data, n, err);
        } else {
            if (mrp_buf_add(&r->body, data, n))
                return mrp_fail(err, MRP_E_NOMEM, "keep a pkt-line");
            if (n == r->rest) {
                r->in_body = false;
                rc = fn(arg, MRP_PKT_DATA, r->body.data, r->body.len, err);
                mrp_buf_reset(&r->body);
            }
        }
        r->rest -= n;
        data += n;
        len -= n;
    }
    return rc;
}

bool mrp_pkt_idle(const struct mrp_pkt_reader *r)
{
    return !r->in_body && r->head_len == 0;
}

void mrp_pkt_reader_done(struct mrp_pkt_reader *r)
{
    mrp_buf_done(&r->body);
    r->in_body = false;
    r->head_len = r->rest = 0;
}

int mrp_pkt_addf(struct mrp_buf *out, const char *fmt, ...)
{
    size_t start = out->len;
    if (mrp_buf_add(out, "0000", 4))
        return MRP_E_NOMEM;
    va_list args;
    va_start(args, fmt);
    int rc = mrp_buf_addv(out, fmt, args);
    va_end(args);
    size_t n = out->len - start;
    if (rc || n > MRP_PKT_MAX)
        return MRP_E_NOMEM;
    char head[5];
    snprintf(head, sizeof head, "%04zx", n & 0xffffu);
    memcpy(out->data + start, head, 4);
    return MRP_OK;
}

int mrp_pkt_flush(struct mrp_buf *out)
{
    return mrp_buf_add(out, "0000", 4);
}
