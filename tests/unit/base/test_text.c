/* Views, vectors, encodings, nearest names. */
#include "../check.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

static void views(void **state)
{
    (void)state;
    struct mrp_view rest = mrp_view_str("a,, b "), piece;
    assert_true(mrp_view_next(&piece, &rest, ','));
    assert_true(mrp_view_is(piece, "a"));
    assert_true(mrp_view_next(&piece, &rest, ','));
    assert_int_equal(piece.n, 0);
    assert_true(mrp_view_next(&piece, &rest, ','));
    assert_true(mrp_view_is(mrp_view_trim(piece), "b"));
    assert_false(mrp_view_next(&piece, &rest, ','));
}

static void vectors(void **state)
{
    (void)state;
    mrp_auto(mrp_free_strv) char **v = NULL;
    for (int i = 0; i < 100; i++) {
        mrp_auto(mrp_free_str) char *s = mrp_strf("n%d", i);
        assert_int_equal(mrp_strv_add(&v, s), 0);
    }
    assert_int_equal(mrp_strv_len(v), 100);
    assert_string_equal(v[99], "n99");
    assert_true(mrp_strv_has(v, "n42"));
    mrp_auto(mrp_free_strv) char **parts = mrp_split(" a ,,b,", ',');
    assert_int_equal(mrp_strv_len(parts), 2);
    assert_string_equal(parts[1], "b");
}

static void encodings(void **state)
{
    (void)state;
    check_owned(mrp_hex("\x00\xff", 2), "00ff");
    check_owned(mrp_base64("", 0), "");
    check_owned(mrp_base64("f", 1), "Zg==");
    check_owned(mrp_base64("foob", 4), "Zm9vYg==");
    check_owned(mrp_percent("a b/~\xc3", 6, true), "a%20b/~%C3");
    check_owned(mrp_percent("a/b", 3, false), "a%2Fb");
    check_owned(mrp_unpercent("a%2Fb%", 6), "a/b%");
    check_owned(mrp_json_escape("a\"\n\x01", 4), "a\\\"\\n\\u0001");
    size_t n;
    check_owned(mrp_unbase64(&n, "Zm9vYg", 6), "foob");
    assert_int_equal(n, 4);
    assert_null(mrp_unbase64(&n, "Zm9vY", 5));
    assert_null(mrp_unbase64(&n, "Zm9*", 4));
}

static void nearest(void **state)
{
    (void)state;
    static const char *const keys[] = {"commands", "finally", "run-as", "on-failure"};
    assert_string_equal(mrp_nearest("comands", keys, 4), "commands");
    assert_string_equal(mrp_nearest("onfailure", keys, 4), "on-failure");
    assert_string_equal(mrp_nearest("fianlly", keys, 4), "finally");
    assert_null(mrp_nearest("zzzzzz", keys, 4));
}

static void utf8(void **state)
{
    (void)state;
    assert_true(mrp_is_text("gr\xc3\xbc\xc3\x9f", 7 - 1));
    assert_false(mrp_is_text("\xc0\xaf", 2));
    assert_false(mrp_is_text("a\x1b[0m", 5));
    assert_false(mrp_is_text("\xed\xa0\x80", 3));
    assert_int_equal(mrp_text_fit("abc", 3), 3);
    assert_int_equal(mrp_text_fit("abc", 2), 2);
    assert_int_equal(mrp_text_fit("a\xe2\x82\xac", 4), 4);
    assert_int_equal(mrp_text_fit("a\xe2\x82\xac", 3), 1);
    assert_int_equal(mrp_text_fit("\xbf\xbf\xbf", 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views),   cmocka_unit_test(vectors), cmocka_unit_test(encodings),
        cmocka_unit_test(nearest), cmocka_unit_test(utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
