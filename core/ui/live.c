/* Live lines below the log of a terminal: one for each running stage, redrawn in one write.
 *
 * Nothing of the terminal is changed (no cursor hiding, no modes), so nothing has to be restored
 * after a crash; the lines are cut to the width, and its present value is asked for at each draw.
 */
#include "view.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR 20
#define OUT_MAX (32u << 20)

struct size {
    size_t columns, rows;
};

static struct size screen(FILE *f)
{
    struct winsize w = {0};
    if (ioctl(fileno(f), TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
        return (struct size){80, 24};
    return (struct size){w.ws_col, w.ws_row ? w.ws_row : 24};
}

/* Rows that the drawn lines take now: after the window was made narrower they are folded. */
static size_t rows_drawn(const struct mrp_ui_live *live, size_t columns)
{
    size_t rows = 0;
    for (size_t i = 0; i < live->count; i++)
        rows += live->widths[i] ? (live->widths[i] + columns - 1) / columns : 1;
    return rows;
}

/* To the first column of the first live line. */
static void go_up(struct mrp_buf *out, size_t rows)
{
    mrp_buf_addc(out, '\r');
    if (rows > 1)
        mrp_buf_addf(out, "\x1b[%zuA", rows - 1);
}

/* Finished lines over what is there: each clears the rest of its row. */
static void put_lines(struct mrp_buf *out, const struct mrp_buf *lines, size_t columns)
{
    const char *p = mrp_buf_str(lines), *end = p + lines->len;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((stop ? stop : end) - p);
        mrp_buf_adds(out, "\x1b[K");
        mrp_buf_add(out, p, n);
        if (mrp_ui_columns(p, n) % columns != 0)
            mrp_buf_adds(out, "\x1b[K");
        mrp_buf_adds(out, "\r\n");
        p = stop ? stop + 1 : end;
    }
}

/* Whole seconds: tenths would only make the line restless. */
static const char *show_seconds(char *buf, size_t len, int64_t ms)
{
    if (ms >= 60000)
        return mrp_show_ms(buf, len, ms / 1000 * 1000);
    snprintf(buf, len, "%d s", (int)(ms / 1000));
    return buf;
}

static void put_bar(struct mrp_buf *out, const struct mrp_ui *ui, const struct mrp_ui_node *n)
{
    uint64_t total = n->total_bytes ? n->total_bytes : n->total_items;
    uint64_t done = n->total_bytes ? n->done_bytes : n->done_items;
    if (total == 0)
        return;
    if (done > total)
        done = total;
    size_t full = (size_t)((double)done / (double)total * BAR);
    for (size_t i = 0; i < BAR; i++) {
        if (ui->utf8)
            mrp_buf_adds(out, i < full ? "\xE2\x94\x81" : "\xE2\x94\x84");
        else
            mrp_buf_addc(out, i < full ? '#' : '.');
    }
    mrp_buf_addf(out, " %3d%%  ", (int)((double)done / (double)total * 100));
}

static void put_amounts(struct mrp_buf *out, const struct mrp_ui_node *n)
{
    char done[32], total[32];
    if (n->total_bytes > 0)
        mrp_buf_addf(out, "%s of %s  ", mrp_show_bytes(done, sizeof done, n->done_bytes),
                     mrp_show_bytes(total, sizeof total, n->total_bytes));
    else if (n->done_bytes > 0)
        mrp_buf_addf(out, "%s  ", mrp_show_bytes(done, sizeof done, n->done_bytes));
    if (n->total_items > 0)
        mrp_buf_addf(out, "%llu of %llu %s  ", (unsigned long long)n->done_items,
                     (unsigned long long)n->total_items, n->unit ? n->unit : "");
    else if (n->done_items > 0)
        mrp_buf_addf(out, "%llu %s  ", (unsigned long long)n->done_items, n->unit ? n->unit : "");
}

static void add_line(struct mrp_ui *ui,
                     struct mrp_buf *out,
                     const char *text,
                     enum mrp_ui_style style,
                     size_t columns)
{
    struct mrp_ui_live *live = &ui->live;
    if (live->count > 0)
        mrp_buf_adds(out, "\r\n");
    mrp_buf_adds(out, "\x1b[K");
    mrp_buf_adds(out, mrp_ui_sgr(ui->options.color, style));
    live->widths[live->count++] = mrp_ui_cut(out, text, columns - 1);
    mrp_buf_adds(out, mrp_ui_sgr(ui->options.color, MRP_UI_RESET));
}

/* What it is at goes behind the amounts; where it does not fit, under them. The number of lines. */
static size_t put_node(struct mrp_ui *ui,
                       struct mrp_buf *out,
                       const struct mrp_ui_node *n,
                       size_t name,
                       size_t columns,
                       size_t room,
                       int64_t now)
{
    char took[32];
    struct mrp_buf text = MRP_BUF_INIT(64 * 1024), what = MRP_BUF_INIT(64 * 1024);
    mrp_buf_addc(&text, ' ');
    size_t used = mrp_ui_cut(&text, n->id, name);
    mrp_ui_pad(&text, name - used + 2);
    size_t indent = name + 3;
    put_bar(&text, ui, n);
    put_amounts(&text, n);
    mrp_buf_addf(&text, "%s", show_seconds(took, sizeof took, now - n->started));
    if (n->what && *n->what)
        mrp_ui_clean(&what, n->what);
    bool fits = mrp_ui_columns(mrp_buf_str(&text), text.len) + 2 +
                    mrp_ui_columns(mrp_buf_str(&what), what.len) <
                columns;
    bool under = what.len > 0 && !fits && n->total_bytes > 0 && room > 1;
    if (what.len > 0 && !under) {
        mrp_buf_adds(&text, "  ");
        mrp_buf_add(&text, mrp_buf_str(&what), what.len);
    }
    add_line(ui, out, mrp_buf_str(&text), MRP_UI_NORMAL, columns);
    if (under) {
        mrp_buf_reset(&text);
        mrp_ui_pad(&text, indent);
        mrp_buf_add(&text, mrp_buf_str(&what), what.len);
        add_line(ui, out, mrp_buf_str(&text), MRP_UI_DIM, columns);
    }
    mrp_buf_done(&text);
    mrp_buf_done(&what);
    return under ? 2 : 1;
}

static void
put_total(struct mrp_ui *ui, struct mrp_buf *out, size_t hidden, size_t columns, int64_t now)
{
    char took[32];
    size_t stages = 0, ended = 0, running = 0;
    for (size_t i = 0; i < ui->model.count; i++) {
        const struct mrp_ui_node *n = &ui->model.nodes[i];
        stages += !n->phase;
        ended += !n->phase && n->state == MRP_UI_ENDED;
        running += !n->phase && n->state == MRP_UI_RUNNING;
    }
    show_seconds(took, sizeof took, now - ui->model.began);
    mrp_auto(mrp_free_str) char *more =
        hidden ? mrp_strf(", %zu not shown", hidden) : mrp_strdup("");
    mrp_auto(mrp_free_str) char *text =
        stages ? mrp_strf(" %zu of %zu stages done, %zu running%s, %s", ended, stages, running,
                          more ? more : "", took)
               : mrp_strf(" %s", took);
    if (text)
        add_line(ui, out, text, MRP_UI_DIM, columns);
}

static void put_live(struct mrp_ui *ui, struct mrp_buf *out, struct size at, int64_t now)
{
    size_t room = at.rows > 4 ? at.rows - 3 : 1, name = 0, shown = 0, hidden = 0;
    if (room > MRP_UI_LIVE_MAX)
        room = MRP_UI_LIVE_MAX;
    for (size_t i = 0; i < ui->model.count; i++) {
        const struct mrp_ui_node *n = &ui->model.nodes[i];
        size_t w = n->state == MRP_UI_RUNNING ? mrp_ui_columns(n->id, strlen(n->id)) : 0;
        name = w > name ? w : name;
    }
    if (name > at.columns / 3)
        name = at.columns / 3;
    ui->live.count = 0;
    for (size_t i = 0; i < ui->model.count; i++) {
        if (ui->model.nodes[i].state != MRP_UI_RUNNING)
            continue;
        if (shown + 1 < room) {
            shown +=
                put_node(ui, out, &ui->model.nodes[i], name, at.columns, room - 1 - shown, now);
        } else {
            hidden++;
        }
    }
    put_total(ui, out, hidden, at.columns, now);
}

static void flush(struct mrp_ui *ui, struct mrp_buf *out)
{
    mrp_buf_adds(out, "\x1b[J");
    fwrite(mrp_buf_str(out), 1, out->len, ui->options.out);
    fflush(ui->options.out);
    mrp_buf_done(out);
    mrp_buf_reset(&ui->lines);
}

void mrp_ui_live_draw(struct mrp_ui *ui, int64_t now)
{
    struct mrp_ui_live *live = &ui->live;
    struct mrp_buf out = MRP_BUF_INIT(OUT_MAX), body = MRP_BUF_INIT(OUT_MAX);
    struct size at = screen(ui->options.out);
    size_t rows = rows_drawn(live, at.columns);
    put_live(ui, &body, at, now);
    live->drawn = now;
    if (ui->lines.len == 0 && live->columns == at.columns &&
        strcmp(mrp_buf_str(&body), mrp_buf_str(&live->body)) == 0) {
        mrp_buf_done(&body);
        return;
    }
    go_up(&out, rows);
    put_lines(&out, &ui->lines, at.columns);
    mrp_buf_add(&out, mrp_buf_str(&body), body.len);
    mrp_buf_done(&live->body);
    live->body = body;
    live->columns = at.columns;
    flush(ui, &out);
}

void mrp_ui_live_erase(struct mrp_ui *ui)
{
    struct mrp_buf out = MRP_BUF_INIT(OUT_MAX);
    struct size at = screen(ui->options.out);
    mrp_buf_done(&ui->live.body);
    if (ui->live.count == 0 && ui->lines.len == 0)
        return;
    go_up(&out, rows_drawn(&ui->live, at.columns));
    put_lines(&out, &ui->lines, at.columns);
    ui->live.count = 0;
    flush(ui, &out);
}
