/* The bodies of fetch and push requests, and the meaning of a push report. */
#include "pull_body.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { LINE = 50, PIECE = 8 << 10 }; /* "0032want OID\n" */
#define AGENT "mrpipe/1.0"

void mrp_pull_body_init(struct mrp_pull_body *b, const struct mrp_pull *pull)
{
    *b = (struct mrp_pull_body){.pull = pull};
    bool wide = mrp_refs_can(pull->refs, "side-band-64k");
    b->side_band = wide || mrp_refs_can(pull->refs, "side-band");
    char hex[MRP_OID_HEX + 1];
    int n = snprintf(b->first, sizeof b->first, "0000want %s%s%s%s%s%s\n",
                     mrp_oid_hex(hex, &pull->wants->list[0]),
                     wide           ? " side-band-64k"
                     : b->side_band ? " side-band"
                                    : "",
                     mrp_refs_can(pull->refs, "no-progress") ? " no-progress" : "",
                     pull->ofs_delta && mrp_refs_can(pull->refs, "ofs-delta") ? " ofs-delta" : "",
                     pull->thin && mrp_refs_can(pull->refs, "thin-pack") ? " thin-pack" : "",
                     mrp_refs_can(pull->refs, "agent") ? " agent=" AGENT : "");
    char head[5];
    snprintf(head, sizeof head, "%04x", (unsigned)n & 0xffffu);
    memcpy(b->first, head, 4);
}

uint64_t mrp_pull_body_length(const struct mrp_pull_body *b)
{
    uint64_t lines = b->pull->wants->count - 1 + b->pull->haves->count;
    return strlen(b->first) + lines * LINE + 4 + 9; /* flush, "0009done\n" */
}

/* The line `index` of: first want, wants, flush, haves, done. False after the last. */
static bool make_line(struct mrp_pull_body *b)
{
    size_t wants = b->pull->wants->count, i = b->index;
    char hex[MRP_OID_HEX + 1];
    int n;
    if (i == 0)
        n = snprintf(b->line, sizeof b->line, "%s", b->first);
    else if (i < wants)
        n = snprintf(b->line, sizeof b->line, "0032want %s\n",
                     mrp_oid_hex(hex, &b->pull->wants->list[i]));
    else if (i == wants)
        n = snprintf(b->line, sizeof b->line, "0000");
    else if (i - wants - 1 < b->pull->haves->count)
        n = snprintf(b->line, sizeof b->line, "0032have %s\n",
                     mrp_oid_hex(hex, &b->pull->haves->list[i - wants - 1]));
    else if (i - wants - 1 == b->pull->haves->count)
        n = snprintf(b->line, sizeof b->line, "0009done\n");
    else
        return false;
    b->index++;
    b->line_len = (size_t)n;
    b->line_sent = 0;
    return true;
}

long mrp_pull_body_read(void *arg, char *buf, size_t len)
{
    struct mrp_pull_body *b = arg;
    size_t done = 0;
    while (done < len) {
        if (b->line_sent == b->line_len && !make_line(b))
            break;
        size_t n = b->line_len - b->line_sent;
        if (n > len - done)
            n = len - done;
        memcpy(buf + done, b->line + b->line_sent, n);
        b->line_sent += n;
        done += n;
    }
    return (long)done;
}

int mrp_pull_body_rewind(void *arg)
{
    struct mrp_pull_body *b = arg;
    b->index = b->line_len = b->line_sent = 0;
    return 0;
}

static int
deflate_all(struct mrp_buf *out, struct mrp_pull_body *b, z_stream *z, char piece[static PIECE])
{
    int flush = Z_NO_FLUSH;
    for (int rc = Z_OK; rc != Z_STREAM_END;) {
        if (z->avail_in == 0 && flush == Z_NO_FLUSH) {
            long n = mrp_pull_body_read(b, piece, PIECE);
            z->next_in = (Bytef *)piece;
            z->avail_in = (uInt)n;
            flush = n ? Z_NO_FLUSH : Z_FINISH;
        }
        char *to = mrp_buf_reserve(out, PIECE);
        if (!to)
            return -1;
        z->next_out = (Bytef *)to;
        z->avail_out = PIECE;
        rc = deflate(z, flush);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return -1;
        out->len += PIECE - z->avail_out;
    }
    return 0;
}

int mrp_pull_body_gzip(struct mrp_buf *out, struct mrp_pull_body *b, struct mrp_error *err)
{
    enum { GZIP_WINDOW = 15 + 16, MEMORY = 8 };
    char piece[PIECE];
    z_stream z = {0};
    mrp_pull_body_rewind(b);
    int rc = deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MEMORY,
                          Z_DEFAULT_STRATEGY);
    if (!rc)
        rc = deflate_all(out, b, &z, piece);
    deflateEnd(&z);
    mrp_pull_body_rewind(b);
    return rc ? mrp_fail(err, MRP_E_NOMEM, "compress a request") : MRP_OK;
}

int mrp_push_commands(struct mrp_buf *out, const struct mrp_push *push, struct mrp_error *err)
{
    char old[MRP_OID_HEX + 1], now[MRP_OID_HEX + 1];
    for (size_t i = push->first; i < push->end; i++) {
        const struct mrp_update *u = &push->plan->list[i];
        mrp_oid_hex(old, &u->old);
        mrp_oid_hex(now, &u->now);
        if (i > push->first) {
            mrp_pkt_addf(out, "%s %s %s", old, now, u->name);
            continue;
        }
        const struct mrp_refs *refs = push->refs;
        mrp_pkt_addf(out, "%s %s %s%c%s%s%s%s%s%s", old, now, u->name, '\0',
                     mrp_refs_can(refs, "report-status") ? " report-status" : "",
                     mrp_refs_can(refs, "side-band-64k") ? " side-band-64k" : "",
                     mrp_refs_can(refs, "quiet") ? " quiet" : "",
                     push->atomic && mrp_refs_can(refs, "atomic") ? " atomic" : "",
                     mrp_refs_can(refs, "object-format") ? " object-format=sha1" : "",
                     mrp_refs_can(refs, "agent") ? " agent=" AGENT : "");
    }
    mrp_pkt_flush(out);
    return mrp_buf_check(out, "the list of ref updates", err);
}

int mrp_push_told(struct mrp_push *push,
                  size_t *next,
                  const char *ref,
                  size_t ref_len,
                  const char *words,
                  size_t words_len,
                  struct mrp_error *err)
{
    struct mrp_update *u = mrp_plan_find(push->plan, *next, push->end, ref, ref_len);
    if (!u)
        u = mrp_plan_find(push->plan, push->first, *next, ref, ref_len);
    if (!u) {
        mrp_auto(mrp_free_str) char *shown = mrp_show_name(ref, ref_len < 200 ? ref_len : 200);
        return mrp_fail(err, MRP_E_REMOTE, "the destination reports on %s, which was not sent",
                        shown ? shown : "a ref");
    }
    *next = (size_t)(u - push->plan->list) + 1;
    mrp_free_str(&u->words);
    u->state = words ? MRP_UPDATE_REFUSED : MRP_UPDATE_DONE;
    if (!words)
        return MRP_OK;
    u->words = mrp_show_name(words, words_len < 300 ? words_len : 300);
    return u->words ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "keep the server's words");
}

int mrp_push_finish(struct mrp_push *push,
                    const struct mrp_report *report,
                    const char *what,
                    struct mrp_error *err)
{
    if (!mrp_refs_can(push->refs, "report-status")) {
        for (size_t i = push->first; i < push->end; i++)
            push->plan->list[i].state = MRP_UPDATE_DONE; /* the caller reads the refs again */
        return MRP_OK;
    }
    if (report->any && !report->unpacked) {
        push->unpack_failed = true;
        const char *notes = mrp_buf_str(&report->notes);
        mrp_auto(mrp_free_str) char *shown = mrp_show_name(notes, strnlen(notes, 160));
        return mrp_fail(err, MRP_E_REMOTE, "%s: the pack was refused: %s%s%s", what,
                        report->unpack_words, shown && shown[0] ? "; " : "", shown ? shown : "");
    }
    for (size_t i = push->first; i < push->end; i++)
        if (push->plan->list[i].state == MRP_UPDATE_PENDING)
            return mrp_fail(err, MRP_E_NET, "%s: the answer was cut before its report ended", what);
    return MRP_OK;
}
