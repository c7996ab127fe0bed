/** Small text tables: columns as wide as their cells, empty columns left out, the last one wrapped.
 */
#ifndef MRP_UI_TABLE_H
#define MRP_UI_TABLE_H

#include "columns.h"

#define MRP_UI_TABLE_COLUMNS 8

struct mrp_ui_cell {
    char *text;
    enum mrp_ui_style style;
};
struct mrp_ui_table {
    const char *const *heads; /* one for each column; NULL: no head line */
    size_t columns;           /* at most MRP_UI_TABLE_COLUMNS */
    unsigned right;           /* bit set of right-aligned columns */
    struct mrp_ui_cell *cells;
    size_t count;
};

/** Append a cell (copied and cleaned; NULL: empty); rows fill from left to right. */
void mrp_ui_table_add(struct mrp_ui_table *table, enum mrp_ui_style style, const char *text);
/** Print with `indent` blanks in front; `width` columns wrap the last column, 0: never. */
void mrp_ui_table_print(struct mrp_buf *out,
                        const struct mrp_ui_table *table,
                        bool color,
                        size_t indent,
                        size_t width);
void mrp_ui_table_done(struct mrp_ui_table *table);

#endif
