/* The report-status parser; an "ok" counts only when its line is complete. */
#include "report.h"
#include "refs.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <string.h>

enum { NOTES_MAX = 4096 };

void mrp_report_init(struct mrp_report *r, mrp_report_fn each, void *arg)
{
    *r = (struct mrp_report){.outer = MRP_PKT_READER_INIT,
                             .inner = MRP_PKT_READER_INIT,
                             .each = each,
                             .arg = arg,
                             .notes = MRP_BUF_INIT(NOTES_MAX)};
}

void mrp_report_done(struct mrp_report *r)
{
    mrp_pkt_reader_done(&r->outer);
    mrp_pkt_reader_done(&r->inner);
    mrp_buf_done(&r->notes);
}

static int server_says(const char *data, size_t len, struct mrp_error *err)
{
    struct mrp_view words = mrp_view_trim((struct mrp_view){data, len});
    mrp_auto(mrp_free_str) char *shown = mrp_show_name(words.p, words.n < 300 ? words.n : 300);
    return mrp_fail(err, MRP_E_REMOTE, "the destination says: %s", shown ? shown : "");
}

static bool starts(const char *data, size_t len, const char *word)
{
    size_t n = strlen(word);
    return len >= n && memcmp(data, word, n) == 0;
}

static int
line(void *arg, enum mrp_pkt_kind kind, const char *data, size_t len, struct mrp_error *err)
{
    struct mrp_report *r = arg;
    if (kind == MRP_PKT_FLUSH) {
        r->ended = r->ended || r->any;
        return MRP_OK;
    }
    while (len && data[len - 1] == '\n')
        len--;
    if (r->ended || kind == MRP_PKT_DELIM)
        return MRP_OK;
    r->any = true;
    if (starts(data, len, "unpack ")) {
        r->unpacked = len == 9 && memcmp(data + 7, "ok", 2) == 0;
        if (!r->unpacked) {
            mrp_auto(mrp_free_str) char *shown = mrp_show_name(data + 7, len - 7);
            mrp_copy(r->unpack_words, sizeof r->unpack_words, shown ? shown : "");
        }
        return MRP_OK;
    }
    if (starts(data, len, "ok ")) {
        r->refs++;
        return r->each(r->arg, data + 3, len - 3, NULL, 0, err);
    }
    if (starts(data, len, "ng ")) {
        const char *name = data + 3;
        const char *blank = memchr(name, ' ', len - 3);
        size_t name_len = blank ? (size_t)(blank - name) : len - 3;
        const char *words = blank ? blank + 1 : "";
        r->refs++;
        return r->each(r->arg, name, name_len, words, blank ? len - 4 - name_len : 0, err);
    }
    if (starts(data, len, "option "))
        return MRP_OK;
    if (starts(data, len, "ERR "))
        return server_says(data + 4, len - 4, err);
    mrp_auto(mrp_free_str) char *shown = mrp_show_name(data, len < 120 ? len : 120);
    return mrp_fail(err, MRP_E_REMOTE, "the destination's report is malformed: \"%s\"",
                    shown ? shown : "");
}

static void keep_notes(struct mrp_report *r, const char *data, size_t len)
{
    size_t room = NOTES_MAX - r->notes.len;
    mrp_buf_add(&r->notes, data, len < room ? len : room);
}

static int
outer(void *arg, enum mrp_pkt_kind kind, const char *data, size_t len, struct mrp_error *err)
{
    struct mrp_report *r = arg;
    if (kind == MRP_PKT_DATA && !r->any && len && data[0] >= 1 && data[0] <= 3)
        r->banded = true;
    if (!r->banded)
        return line(r, kind, data, len, err);
    if (kind != MRP_PKT_DATA || len == 0)
        return MRP_OK;
    switch (data[0]) {
    case 1:
        return mrp_pkt_feed(&r->inner, data + 1, len - 1, line, r, err);
    case 2:
        keep_notes(r, data + 1, len - 1);
        return MRP_OK;
    case 3:
        return server_says(data + 1, len - 1, err);
    default:
        return mrp_fail(err, MRP_E_REMOTE, "the destination's report has a band %d", data[0]);
    }
}

int mrp_report_feed(struct mrp_report *r, const char *data, size_t len, struct mrp_error *err)
{
    return mrp_pkt_feed(&r->outer, data, len, outer, r, err);
}
