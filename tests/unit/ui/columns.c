/* Widths and cleaning of text that children and remote hosts wrote; tables. */
#include "columns.h"
#include "table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_clean(const char *in, const char *expected)
{
    struct mrp_buf out = MRP_BUF_INIT(4096);
    mrp_ui_clean(&out, in);
    assert_string_equal(mrp_buf_str(&out), expected);
    mrp_buf_done(&out);
}

static void test_width(void **state)
{
    (void)state;
    assert_int_equal(mrp_ui_columns("abc", 3), 3);
    assert_int_equal(mrp_ui_columns("\xC3\xA9", 2), 1);     /* e with acute */
    assert_int_equal(mrp_ui_columns("\xE4\xB8\x96", 3), 2); /* a CJK character */
    assert_int_equal(mrp_ui_columns("e\xCC\x81", 3), 1);    /* combining acute */
    assert_int_equal(mrp_ui_columns("\xFF\xFE", 2), 2);     /* no UTF-8: one column each */
    assert_int_equal(mrp_ui_columns("\x1b[31mred\x1b[0m", 12), 3);
}

static void test_control_characters(void **state)
{
    (void)state;
    assert_clean("plain", "plain");
    assert_clean("\x1b[31mred\x1b[0m", "red");
    assert_clean("title\x1b]0;owned\x07!", "title!");
    assert_clean("link\x1b]8;;http://x/\x1b\\text", "linktext");
    assert_clean("half \x1b[", "half ");
    assert_clean("half \x1b", "half ");
    assert_clean("bell\x07 back\x08", "bell back");
    assert_clean("10%\r50%\r100%\r", "100%");
    assert_clean("a\tb", "a       b");
    assert_clean("one\ntwo\n", "one two");
    assert_clean("\xC2\x9B"
                 "31m",
                 "\xEF\xBF\xBD"
                 "31m");                                /* the one-byte form of ESC [ */
    assert_clean("\xE2\x80\xAEgpj", "\xEF\xBF\xBDgpj"); /* right-to-left override */
    assert_clean("bad \xC3(", "bad \xEF\xBF\xBD(");
    assert_clean("overlong \xC0\xAF", "overlong \xEF\xBF\xBD\xEF\xBF\xBD");
    assert_clean("", "");
    assert_clean("\r\n", "");
}

static void test_cut(void **state)
{
    (void)state;
    struct mrp_buf out = MRP_BUF_INIT(4096);
    assert_int_equal(mrp_ui_cut(&out, "hello", 5), 5);
    assert_string_equal(mrp_buf_str(&out), "hello");
    mrp_buf_reset(&out);
    assert_int_equal(mrp_ui_cut(&out, "hello world", 8), 8);
    assert_string_equal(mrp_buf_str(&out), "hello...");
    mrp_buf_reset(&out);
    /* A wide character that does not fit whole is left out. */
    assert_int_equal(mrp_ui_cut(&out, "ab\xE4\xB8\x96\xE4\xB8\x96\xE4\xB8\x96", 6), 5);
    assert_string_equal(mrp_buf_str(&out), "ab...");
    mrp_buf_reset(&out);
    assert_int_equal(mrp_ui_cut(&out, "hello", 2), 2);
    assert_string_equal(mrp_buf_str(&out), "..");
    mrp_buf_done(&out);
}

static void test_table(void **state)
{
    (void)state;
    static const char *const heads[] = {"Name", "None", "Size", "Text"};
    struct mrp_ui_table t = {.heads = heads, .columns = 4, .right = 1u << 2};
    const char *cells[] = {"a",  "",    "5", "some words that wrap", "\xE4\xB8\x96\xE4\xB8\x96x",
                           NULL, "100", ""};
    for (size_t i = 0; i < MRP_COUNT(cells); i++)
        mrp_ui_table_add(&t, MRP_UI_NORMAL, cells[i]);
    struct mrp_buf out = MRP_BUF_INIT(4096);
    mrp_ui_table_print(&out, &t, false, 1, 0);
    assert_string_equal(mrp_buf_str(&out), " Name   Size  Text\n"
                                           " a         5  some words that wrap\n"
                                           " \xE4\xB8\x96\xE4\xB8\x96x   100\n");
    mrp_buf_done(&out);
    mrp_ui_table_done(&t);
}

static int setup(void **state)
{
    (void)state;
    mrp_ui_locale();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
