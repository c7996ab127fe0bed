/* Numbers, sizes and durations as text. */
#include "../check.h"

#include <mrpipe/text.h>

static void integers(void **state)
{
    (void)state;
    int64_t v = 7;
    assert_int_equal(mrp_parse_int(&v, "-12", -20, 20), 0);
    assert_int_equal(v, -12);
    assert_int_not_equal(mrp_parse_int(&v, "21", -20, 20), 0);
    assert_int_not_equal(mrp_parse_int(&v, "99999999999999999999", INT64_MIN, INT64_MAX), 0);
    assert_int_not_equal(mrp_parse_int(&v, "1x", 0, 9), 0);
    assert_int_not_equal(mrp_parse_int(&v, "", 0, 9), 0);
    assert_int_equal(v, -12);
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"10", 10},
                {"10KiB", 10240},
                {"10kb", 10000},
                {"1.5GiB", 1610612736},
                {"16M", 16777216},
                {"15TiB", 16492674416640}};
    static const char *const bad[] = {"",    "-1",          "1.",         "x",
                                      "1XB", "99999999TiB", "1.1234567M", "1 M"};
    uint64_t v;
    for (size_t i = 0; i < MRP_COUNT(good); i++) {
        assert_int_equal(mrp_parse_size(&v, good[i].text), 0);
        assert_int_equal(v, good[i].bytes);
    }
    for (size_t i = 0; i < MRP_COUNT(bad); i++)
        assert_int_not_equal(mrp_parse_size(&v, bad[i]), 0);
}

static void durations(void **state)
{
    (void)state;
    int64_t v;
    assert_int_equal(mrp_parse_duration(&v, "30"), 0);
    assert_int_equal(v, 30000);
    assert_int_equal(mrp_parse_duration(&v, "1m30s"), 0);
    assert_int_equal(v, 90000);
    assert_int_equal(mrp_parse_duration(&v, "500ms"), 0);
    assert_int_equal(v, 500);
    assert_int_not_equal(mrp_parse_duration(&v, "1y"), 0);
    assert_int_not_equal(mrp_parse_duration(&v, ""), 0);
    assert_int_not_equal(mrp_parse_duration(&v, "99999999999999d"), 0);
}

static void shown(void **state)
{
    (void)state;
    char buf[32];
    assert_string_equal(mrp_show_bytes(buf, sizeof buf, 512), "512 B");
    assert_string_equal(mrp_show_bytes(buf, sizeof buf, 1536), "1.5 KiB");
    assert_string_equal(mrp_show_bytes(buf, sizeof buf, 1048575), "1.0 MiB");
    assert_string_equal(mrp_show_ms(buf, sizeof buf, 850), "850 ms");
    assert_string_equal(mrp_show_ms(buf, sizeof buf, 72000), "1m 12s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(sizes),
        cmocka_unit_test(durations),
        cmocka_unit_test(shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
