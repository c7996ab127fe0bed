/* The journal of a run: events are stamped, masked, written to events.jsonl and handed to sinks. */
#include "journal.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PENDING_MAX ((size_t)64 << 20)

const char *const mrp_level_names[4] = {"debug", "info", "warn", "error"};

void mrp_journal_init(struct mrp_journal *journal,
                      const struct mrp_masker *masker,
                      const struct mrp_sink *sinks,
                      size_t sink_count)
{
    *journal =
        (struct mrp_journal){.masker = masker, .sinks = sinks, .sink_count = sink_count, .fd = -1};
    mrp_buf_init(&journal->text, PENDING_MAX);
    journal->began_ms = mrp_now_ms();
    for (size_t i = 0; i < sink_count; i++)
        journal->has_tick = journal->has_tick || sinks[i].tick;
}

int mrp_journal_open(struct mrp_journal *journal, const char *path, struct mrp_error *err)
{
    journal->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return journal->fd < 0 ? mrp_fail_errno(err, "create %s", path) : 0;
}

void mrp_journal_flush(struct mrp_journal *journal)
{
    if (journal->fd >= 0 && journal->text.len)
        (void)mrp_write_all(journal->fd, journal->text.data, journal->text.len);
    if (journal->text.failed)
        mrp_buf_done(&journal->text);
    else
        mrp_buf_reset(&journal->text);
}

void mrp_journal_tick(struct mrp_journal *journal)
{
    int64_t now = mrp_now_ms();
    if (!journal->has_tick || now - journal->ticked_ms < 100)
        return;
    journal->ticked_ms = now;
    for (size_t i = 0; i < journal->sink_count; i++)
        if (journal->sinks[i].tick)
            journal->sinks[i].tick(journal->sinks[i].arg);
}

void mrp_journal_done(struct mrp_journal *journal)
{
    mrp_journal_flush(journal);
    mrp_buf_done(&journal->text);
    mrp_close_fd(&journal->fd);
}

json_t *mrp_event_new(const char *type)
{
    json_t *event = json_object();
    if (event)
        mrp_json_puts(event, "event", type);
    return event;
}

void mrp_journal_send(struct mrp_journal *journal, json_t *event)
{
    if (!event)
        return;
    char now[40];
    mrp_json_puts(event, "time", mrp_iso8601(now, sizeof now, mrp_wall_ms(), true));
    if (!json_object_get(event, "ms"))
        mrp_json_puti(event, "ms", mrp_now_ms() - journal->began_ms);
    mrp_mask_json(journal->masker, event);
    if (!mrp_streq(mrp_json_str(event, "event"), "progress")) {
        mrp_auto(mrp_free_str) char *line = mrp_json_text(event);
        if (line && journal->fd >= 0) {
            mrp_buf_adds(&journal->text, line);
            mrp_buf_addc(&journal->text, '\n');
            if (journal->text.len > ((size_t)256 << 10))
                mrp_journal_flush(journal);
        }
    }
    for (size_t i = 0; i < journal->sink_count; i++)
        journal->sinks[i].event(journal->sinks[i].arg, event);
    json_decref(event);
}

void mrp_note(struct mrp_journal *journal, enum mrp_level level, const char *fmt, ...)
{
    struct mrp_buf text = MRP_BUF_INIT(8192);
    va_list args;
    va_start(args, fmt);
    mrp_buf_addv(&text, fmt, args);
    va_end(args);
    json_t *event = mrp_event_new("note");
    mrp_json_puts(event, "level", mrp_level_names[level]);
    mrp_json_put(event, "text", mrp_clean_string(mrp_buf_str(&text), text.len));
    mrp_buf_done(&text);
    mrp_journal_send(journal, event);
}

/* Length of the valid UTF-8 character at p, 0 if there is none. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
                 : p[0] >= 0xe0 && p[0] <= 0xef ? 3
                 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                : 0;
    if (!len || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

json_t *mrp_clean_string(const char *text, size_t len)
{
    /* NULs are left out: a JSON text of C strings cannot carry them. */
    json_t *plain = memchr(text, 0, len) ? NULL : json_stringn(text, len);
    if (plain)
        return plain;
    struct mrp_buf out = MRP_BUF_INIT(len * 3 + 8);
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0; i < len;) {
        size_t n = utf8_len(p + i, len - i);
        if (!n)
            mrp_buf_adds(&out, "\xef\xbf\xbd");
        else if (p[i])
            mrp_buf_add(&out, text + i, n);
        i += n ? n : 1;
    }
    json_t *clean = json_stringn(mrp_buf_str(&out), out.len);
    mrp_buf_done(&out);
    return clean;
}

static void put_text(json_t *j, const char *key, const char *text)
{
    if (text && *text)
        mrp_json_put(j, key, mrp_clean_string(text, strlen(text)));
}

json_t *mrp_error_json(const struct mrp_error *err)
{
    json_t *j = json_object();
    if (!j)
        return NULL;
    mrp_json_puts(j, "code", mrp_code_name(err->code));
    put_text(j, "message", err->msg);
    put_text(j, "hint", err->hint);
    put_text(j, "api", err->api);
    if (err->upstream)
        mrp_json_puti(j, "upstream", err->upstream);
    if (err->file) {
        put_text(j, "file", err->file);
        mrp_json_puti(j, "line", err->line);
    }
    return j;
}

void mrp_error_from_json(struct mrp_error *err, const json_t *j)
{
    const char *code = mrp_json_str(j, "code"), *msg = mrp_json_str(j, "message");
    const char *hint = mrp_json_str(j, "hint"), *api = mrp_json_str(j, "api");
    *err = (struct mrp_error){.code = code ? mrp_code_from_name(code) : MRP_E_BUG};
    err->upstream = (long)mrp_json_int(j, "upstream", 0);
    mrp_copy(err->msg, sizeof err->msg, msg ? msg : "");
    mrp_copy(err->hint, sizeof err->hint, hint ? hint : "");
    mrp_copy(err->api, sizeof err->api, api ? api : "");
}
