/* ssh, and HTTP on request, through libgit2's own transports. Its calls block: other repositories
 * of the same run wait meanwhile. */
#include "band.h"
#include "git2_wire.h"
#include "pull_body.h"
#include "report.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { PIECE = 32 << 10 };

static int git2_list(struct mrp_end *end,
                     struct mrp_refs *out,
                     enum mrp_service service,
                     struct mrp_error *err)
{
    mrp_git2_wire_free(&end->wire);
    int rc = mrp_git2_wire_open(&end->wire, end, service, out, err);
    if (rc == MRP_E_AUTH && end->login.kind == MRP_LOGIN_NONE && mrp_starts(end->url, "http")) {
        struct mrp_error first = *err;
        if (mrp_login_ask(end, err)) {
            *err = first;
            return rc;
        }
        mrp_refs_done(out);
        rc = mrp_git2_wire_open(&end->wire, end, service, out, err);
        mrp_login_tell(end, rc == MRP_OK);
    }
    if (rc)
        mrp_refs_done(out);
    return rc;
}

/* The connection of the list, if it still waits for a request; else a new one. */
static int take_wire(struct mrp_git2_wire **out,
                     struct mrp_end *end,
                     enum mrp_service service,
                     struct mrp_error *err)
{
    struct mrp_git2_wire *wire = end->wire;
    end->wire = NULL;
    if (wire && mrp_git2_wire_service(wire) != service)
        mrp_git2_wire_free(&wire);
    if (!wire) {
        struct mrp_refs again = {0};
        int rc = mrp_git2_wire_open(&wire, end, service, &again, err);
        mrp_refs_done(&again);
        if (rc)
            return rc;
    }
    *out = wire;
    return mrp_git2_wire_begin(wire, err);
}

static int pack(void *arg, const char *data, size_t len, struct mrp_error *err)
{
    return mrp_hub_put(arg, data, len, err);
}

static int git2_pull(struct mrp_end *end,
                     const struct mrp_pull *pull,
                     struct mrp_hub *hub,
                     struct mrp_error *err)
{
    mrp_auto(mrp_git2_wire_free) struct mrp_git2_wire *wire = NULL;
    struct mrp_pull_body body;
    mrp_pull_body_init(&body, pull);
    struct mrp_band band = {.side_band = body.side_band, .pack = pack, .arg = hub};
    char *buf = malloc(PIECE);
    int rc = buf ? take_wire(&wire, end, MRP_UPLOAD_PACK, err)
                 : mrp_fail(err, MRP_E_NOMEM, "fetch from %s", end->text);
    /* libgit2's HTTP sends each write of a fetch as one request, so the body goes in one. */
    struct mrp_buf ask = MRP_BUF_INIT(256 << 20);
    for (long n; !rc && (n = mrp_pull_body_read(&body, buf, PIECE)) > 0;)
        if (mrp_buf_add(&ask, buf, (size_t)n))
            rc = mrp_fail(err, MRP_E_NOMEM, "ask %s", end->text);
    if (!rc)
        rc = mrp_git2_wire_write(wire, mrp_buf_str(&ask), ask.len, err);
    mrp_buf_done(&ask);
    for (size_t n = 1; !rc && n && band.state != MRP_BAND_END;) {
        rc = mrp_git2_wire_read(wire, buf, PIECE, &n, err);
        if (!rc && n)
            rc = mrp_band_feed(&band, buf, n, err);
    }
    free(buf);
    if (!rc)
        rc = mrp_band_finish(&band, err);
    if (!rc)
        rc = mrp_hub_close(hub, err);
    return rc ? (int)mrp_wrap(err, "fetch from %s", end->text) : MRP_OK;
}

struct telling {
    struct mrp_push *push;
    size_t next;
};

static int told(void *arg,
                const char *ref,
                size_t ref_len,
                const char *words,
                size_t words_len,
                struct mrp_error *err)
{
    struct telling *t = arg;
    return mrp_push_told(t->push, &t->next, ref, ref_len, words, words_len, err);
}

static int send_all(struct mrp_git2_wire *wire,
                    struct mrp_push *push,
                    struct mrp_hub_reader *reader,
                    struct mrp_error *err)
{
    struct mrp_buf commands = MRP_BUF_INIT(64 << 20);
    int rc = mrp_push_commands(&commands, push, err);
    if (!rc)
        rc = mrp_git2_wire_write(wire, mrp_buf_str(&commands), commands.len, err);
    push->sent_bytes += commands.len;
    mrp_buf_done(&commands);
    while (!rc && reader) {
        const char *data;
        size_t len;
        rc = mrp_hub_peek(&data, &len, reader, err);
        if (rc || !len)
            break;
        rc = mrp_git2_wire_write(wire, data, len, err);
        mrp_hub_took(reader, len);
        push->sent_bytes += len;
    }
    return rc;
}

static int git2_push(struct mrp_end *end,
                     struct mrp_push *push,
                     struct mrp_hub_reader *reader,
                     struct mrp_error *err)
{
    mrp_auto(mrp_git2_wire_free) struct mrp_git2_wire *wire = NULL;
    mrp_auto(mrp_free_str) char *what = mrp_strf("push to %s", end->text);
    struct telling telling = {push, push->first};
    struct mrp_report report;
    int rc = what ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "push to %s", end->text);
    if (!rc && reader)
        rc = mrp_hub_wait_start(reader, err);
    if (!rc)
        rc = take_wire(&wire, end, MRP_RECEIVE_PACK, err);
    if (!rc)
        rc = send_all(wire, push, reader, err);
    if (rc)
        return mrp_wrap(err, "%s", what ? what : "push");
    mrp_report_init(&report, told, &telling);
    char buf[4096];
    for (size_t n = 1; !rc && n && !(report.ended && !report.banded);) {
        rc = mrp_git2_wire_read(wire, buf, sizeof buf, &n, err);
        if (!rc && n)
            rc = mrp_report_feed(&report, buf, n, err);
    }
    if (!rc)
        rc = mrp_push_finish(push, &report, what, err);
    mrp_report_done(&report);
    return rc;
}

const struct mrp_end_ops mrp_end_git2 = {.name = "git2",
                                         .list = git2_list,
                                         .pull = git2_pull,
                                         .push = git2_push};
