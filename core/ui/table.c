/* Tables of text with columns that fit their cells. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

void mrp_ui_table_add(struct mrp_ui_table *table, enum mrp_ui_style style, const char *text)
{
    struct mrp_ui_cell *grown = table->cells;
    if (table->count % 64 == 0)
        grown = realloc(table->cells, (table->count + 64) * sizeof *grown);
    if (!grown)
        return;
    table->cells = grown;
    struct mrp_buf clean = MRP_BUF_INIT(64 * 1024);
    if (text)
        mrp_ui_clean(&clean, text);
    grown[table->count++] = (struct mrp_ui_cell){mrp_buf_take(&clean), style};
}

static const char *cell_text(const struct mrp_ui_table *t, size_t index)
{
    return t->cells[index].text ? t->cells[index].text : "";
}

static void measure(const struct mrp_ui_table *t, size_t widths[MRP_UI_TABLE_COLUMNS])
{
    memset(widths, 0, MRP_UI_TABLE_COLUMNS * sizeof widths[0]);
    for (size_t i = 0; i < t->count; i++) {
        const char *text = cell_text(t, i);
        size_t w = mrp_ui_columns(text, strlen(text));
        if (w > widths[i % t->columns])
            widths[i % t->columns] = w;
    }
    for (size_t c = 0; t->heads && c < t->columns; c++) {
        size_t w = strlen(t->heads[c]);
        if (widths[c] > 0 && w > widths[c])
            widths[c] = w;
    }
}

/* The last column, broken at blanks; the next lines start below its first. */
static void put_wrapped(struct mrp_buf *out, const char *text, size_t left, size_t width)
{
    size_t room = width > left + 20 ? width - left : 20;
    size_t used = 0;
    while (*text) {
        size_t n = strcspn(text, " ");
        size_t w = mrp_ui_columns(text, n);
        if (used > 0 && used + 1 + w > room) {
            mrp_buf_addc(out, '\n');
            mrp_ui_pad(out, left);
            used = 0;
        }
        if (used > 0) {
            mrp_buf_addc(out, ' ');
            used++;
        }
        mrp_buf_add(out, text, n);
        used += w;
        text += n;
        while (*text == ' ')
            text++;
    }
}

struct place {
    size_t indent, width;
    bool color;
};

static void put_row(struct mrp_buf *out,
                    const struct mrp_ui_table *t,
                    const size_t widths[MRP_UI_TABLE_COLUMNS],
                    size_t row,
                    bool head,
                    const struct place *at)
{
    size_t left = at->indent;
    size_t owed = left; /* blanks to write before the next text: none at the line's end */
    for (size_t c = 0; c < t->columns; c++) {
        if (widths[c] == 0)
            continue;
        const char *text = head ? t->heads[c] : cell_text(t, row * t->columns + c);
        enum mrp_ui_style style = head ? MRP_UI_BOLD : t->cells[row * t->columns + c].style;
        size_t w = mrp_ui_columns(text, strlen(text));
        bool right = (t->right >> c & 1) != 0, last = c + 1 == t->columns;
        size_t before = right && widths[c] > w ? widths[c] - w : 0;
        if (w > 0) {
            mrp_ui_pad(out, owed + before);
            mrp_buf_adds(out, mrp_ui_sgr(at->color && style != MRP_UI_NORMAL, style));
            if (last && at->width > 0)
                put_wrapped(out, text, left, at->width);
            else
                mrp_buf_adds(out, text);
            mrp_buf_adds(out, mrp_ui_sgr(at->color && style != MRP_UI_NORMAL, MRP_UI_RESET));
            owed = 0;
        }
        owed += widths[c] - (w > 0 ? w + before : 0) + 2;
        left += widths[c] + 2;
    }
    mrp_buf_addc(out, '\n');
}

void mrp_ui_table_print(struct mrp_buf *out,
                        const struct mrp_ui_table *table,
                        bool color,
                        size_t indent,
                        size_t width)
{
    size_t widths[MRP_UI_TABLE_COLUMNS];
    struct place at = {indent, width, color};
    measure(table, widths);
    if (table->heads)
        put_row(out, table, widths, 0, true, &at);
    for (size_t row = 0; (row + 1) * table->columns <= table->count; row++)
        put_row(out, table, widths, row, false, &at);
}

void mrp_ui_table_done(struct mrp_ui_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i].text);
    free(table->cells);
    table->cells = NULL;
    table->count = 0;
}
