/* ssh, and HTTP on request, through libgit2's own transports, in a thread: its calls block. */
#include "aside.h"
#include "band.h"
#include "git2_wire.h"
#include "pull_body.h"
#include "report.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { PIECE = 32 << 10, PUSH_PIECE = 128 << 10 };

static int ask_login(void *arg, struct mrp_error *err)
{
    return mrp_login_ask(arg, err);
}

static int tell_good(void *arg, struct mrp_error *err)
{
    (void)err;
    mrp_login_tell(arg, true);
    return MRP_OK;
}

static int tell_bad(void *arg, struct mrp_error *err)
{
    (void)err;
    mrp_login_tell(arg, false);
    return MRP_OK;
}

static void git2_close(struct mrp_end *end)
{
    mrp_git2_wire_adopt(end->wire, end->aside);
    mrp_git2_wire_free(&end->wire);
}

static int git2_list(struct mrp_end *end,
                     struct mrp_refs *out,
                     enum mrp_service service,
                     struct mrp_error *err)
{
    git2_close(end);
    int rc = mrp_git2_wire_open(&end->wire, end, service, out, err);
    if (rc == MRP_E_AUTH && end->login.kind == MRP_LOGIN_NONE && mrp_starts(end->url, "http")) {
        struct mrp_error first = *err;
        if (mrp_aside_ask(end->aside, ask_login, end, err)) {
            *err = first;
            return rc;
        }
        mrp_refs_done(out);
        rc = mrp_git2_wire_open(&end->wire, end, service, out, err);
        struct mrp_error ignored;
        mrp_aside_ask(end->aside, rc ? tell_bad : tell_good, end, &ignored);
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
    mrp_git2_wire_adopt(wire, end->aside);
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

struct pulling {
    struct mrp_end *end;
    struct mrp_hub *hub;
};

static int pack(void *arg, const char *data, size_t len, struct mrp_error *err)
{
    const struct pulling *p = arg;
    return mrp_aside_hub_put(p->end, p->hub, data, len, err);
}

static int git2_pull(struct mrp_end *end,
                     const struct mrp_pull *pull,
                     struct mrp_hub *hub,
                     struct mrp_error *err)
{
    mrp_auto(mrp_git2_wire_free) struct mrp_git2_wire *wire = NULL;
    struct mrp_pull_body body;
    mrp_pull_body_init(&body, pull);
    struct pulling pulling = {end, hub};
    struct mrp_band band = {.side_band = body.side_band, .pack = pack, .arg = &pulling};
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
        rc = mrp_aside_hub_close(end, hub, err);
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

static int send_all(struct mrp_end *end,
                    struct mrp_git2_wire *wire,
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
    mrp_auto(mrp_free_str) char *piece = reader && !rc ? malloc(PUSH_PIECE) : NULL;
    if (reader && !rc && !piece)
        return mrp_fail(err, MRP_E_NOMEM, "push to %s", end->text);
    for (size_t len = 1; !rc && reader && len;) {
        rc = mrp_aside_hub_take(end, reader, piece, PUSH_PIECE, &len, err);
        if (!rc && len)
            rc = mrp_git2_wire_write(wire, piece, len, err);
        push->sent_bytes += rc ? 0 : len;
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
        rc = mrp_aside_hub_start(end, reader, err);
    if (!rc)
        rc = take_wire(&wire, end, MRP_RECEIVE_PACK, err);
    if (!rc)
        rc = send_all(end, wire, push, reader, err);
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

static const struct mrp_end_ops blocking = {.name = "git2",
                                            .list = git2_list,
                                            .pull = git2_pull,
                                            .push = git2_push,
                                            .close = git2_close};

const struct mrp_end_ops mrp_end_git2 = {.name = "git2",
                                         .list = mrp_aside_list,
                                         .pull = mrp_aside_pull,
                                         .push = mrp_aside_push,
                                         .close = mrp_aside_close,
                                         .blocking = &blocking};
