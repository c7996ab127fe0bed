/** How wide text is on a terminal, and text made harmless for one. */
#ifndef MRP_UI_COLUMNS_H
#define MRP_UI_COLUMNS_H

#include <mrpipe/buf.h>

#include <stdbool.h>
#include <stddef.h>

enum mrp_ui_style {
    MRP_UI_NORMAL,
    MRP_UI_BOLD,
    MRP_UI_DIM,
    MRP_UI_GREEN,
    MRP_UI_YELLOW,
    MRP_UI_RED,
    MRP_UI_CYAN,
    MRP_UI_RESET
};

/** The escape sequence of a style, "" without colour. */
const char *mrp_ui_sgr(bool color, enum mrp_ui_style style);

/** Make wcwidth know UTF-8; call before the functions below. Changes LC_CTYPE only. */
void mrp_ui_locale(void);

/** Columns of UTF-8 text; our own colour sequences count nothing. */
size_t mrp_ui_columns(const char *s, size_t len);

/** Append text that came from outside: escape sequences dropped, other control characters and
 * invalid bytes replaced, what a carriage return would overwrite left out, tabs as blanks. One
 * line only: line ends become blanks. */
void mrp_ui_clean(struct mrp_buf *out, const char *s);

/** Append `s` (clean text) cut to `columns`, with "..." in place of what does not fit. Returns the
 * columns used. */
size_t mrp_ui_cut(struct mrp_buf *out, const char *s, size_t columns);

/** Append `count` blanks. */
void mrp_ui_pad(struct mrp_buf *out, size_t count);

#endif
