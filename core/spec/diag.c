/* Diagnostics: collecting problems, and showing them with their line and a caret. */
#include "spec.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define KEPT 100        /* problems */
#define SHOWN_CHARS 160 /* of a source line */
#define LINE_MAX_BYTES 16384
#define TEXT_MAX (1 << 20)

void mrp_diags_done(struct mrp_diags *diags)
{
    for (size_t i = 0; i < diags->count; i++) {
        struct mrp_diag *d = &diags->list[i];
        free(d->file);
        free(d->message);
        free(d->hint);
        free(d->source);
    }
    free(diags->list);
    *diags = (struct mrp_diags){0};
}

/* A copy of the line, unless the column is too far out in an endless one. */
static char *copy_line(const char *line, int col)
{
    if (!line || strnlen(line, LINE_MAX_BYTES + 1) <= LINE_MAX_BYTES)
        return mrp_strdup(line);
    return col > LINE_MAX_BYTES / 4 ? NULL
                                    : mrp_strndup(line, (size_t)mrp_text_fit(line, LINE_MAX_BYTES));
}

void mrp_diag_add(struct mrp_diags *diags,
                  bool warning,
                  const char *file,
                  struct mrp_mark mark,
                  int width,
                  const char *source,
                  const char *hint,
                  const char *fmt,
                  ...)
{
    if (warning)
        diags->warnings++;
    else
        diags->errors++;
    if (diags->count >= KEPT)
        return;
    struct mrp_diag *list = realloc(diags->list, (diags->count + 1) * sizeof *list);
    if (!list)
        return;
    diags->list = list;
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(16384);
    va_list args;
    va_start(args, fmt);
    mrp_buf_addv(&buf, fmt, args);
    va_end(args);
    char *message = mrp_buf_take(&buf);
    list[diags->count++] = (struct mrp_diag){
        .warning = warning,
        .file = mrp_strdup(file),
        .mark = mark,
        .width = width < 1 ? 1 : width,
        .message = message ? message : mrp_strdup("(message too long)"),
        .hint = mrp_strdup(hint),
        .source = copy_line(source, mark.col),
    };
}

struct entry {
    const struct mrp_diag *diag;
    size_t index;
};

static int by_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    const struct mrp_mark *p = &x->diag->mark, *q = &y->diag->mark;
    int files = strcmp(x->diag->file ? x->diag->file : "", y->diag->file ? y->diag->file : "");
    if (files)
        return files;
    if (p->line != q->line)
        return p->line < q->line ? -1 : 1;
    if (p->col != q->col)
        return p->col < q->col ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static const char *skip_chars(const char *s, int n)
{
    for (; n > 0 && *s; n--) {
        s++;
        while ((*s & 0xC0) == 0x80)
            s++;
    }
    return s;
}

static int count_chars(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += (*s & 0xC0) != 0x80;
    return n > INT_MAX ? INT_MAX : (int)n;
}

/* The source line around the column, and where the caret goes in what is shown. */
static void show_source(struct mrp_buf *buf, const struct mrp_diag *d, bool color)
{
    int total = count_chars(d->source);
    int col = d->mark.col > total + 1 ? total + 1 : d->mark.col;
    int from = 0;
    if (total > SHOWN_CHARS && col > SHOWN_CHARS / 2)
        from = col - SHOWN_CHARS / 2;
    const char *start = skip_chars(d->source, from);
    const char *stop = skip_chars(start, SHOWN_CHARS);
    const char *lead = from ? "..." : "";

    mrp_buf_addf(buf, "%5d | %s", d->mark.line, lead);
    for (const char *p = start; p < stop; p++)
        mrp_buf_addc(buf, (unsigned char)*p < 0x20 || *p == 0x7F ? ' ' : *p);
    mrp_buf_adds(buf, *stop ? "...\n" : "\n");

    int before = col - 1 - from + (int)strlen(lead);
    int room = total - (col - 1);
    int limit = SHOWN_CHARS - (col - 1 - from);
    int width = d->width > room ? room : d->width;
    if (width > limit)
        width = limit;
    mrp_buf_addf(buf, "      | %*s%s^", before < 0 ? 0 : before, "", color ? "\033[1;32m" : "");
    for (int i = 1; i < width; i++)
        mrp_buf_addc(buf, '~');
    if (d->hint)
        mrp_buf_addf(buf, " %s", d->hint);
    mrp_buf_adds(buf, color ? "\033[0m\n" : "\n");
}

static void show(struct mrp_buf *buf, const struct mrp_diag *d, bool color)
{
    const char *word = d->warning ? "warning" : "error";
    if (color)
        mrp_buf_adds(buf, "\033[1m");
    if (d->file)
        mrp_buf_addf(buf, "%s:", d->file);
    if (d->mark.line > 0)
        mrp_buf_addf(buf, "%d:%d:", d->mark.line, d->mark.col);
    if (buf->len && d->file)
        mrp_buf_addc(buf, ' ');
    if (color)
        mrp_buf_addf(buf, "%s%s:\033[0m\033[1m %s\033[0m\n",
                     d->warning ? "\033[1;35m" : "\033[1;31m", word, d->message);
    else
        mrp_buf_addf(buf, "%s: %s\n", word, d->message);
    if (d->source && d->mark.line > 0)
        show_source(buf, d, color);
    else if (d->hint)
        mrp_buf_addf(buf, "      hint: %s\n", d->hint);
}

char *mrp_diags_text(const struct mrp_diags *diags, bool color)
{
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(TEXT_MAX);
    struct entry order[KEPT] = {0};
    for (size_t i = 0; i < diags->count; i++)
        order[i] = (struct entry){&diags->list[i], i};
    qsort(order, diags->count, sizeof *order, by_place);
    for (size_t i = 0; i < diags->count; i++)
        show(&buf, order[i].diag, color);
    size_t all = diags->errors + diags->warnings;
    if (all > diags->count)
        mrp_buf_addf(&buf, "(%zu more problems are not shown)\n", all - diags->count);
    return mrp_buf_take(&buf);
}
