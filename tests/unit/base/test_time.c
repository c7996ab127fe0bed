/* Dates in the forms of AWS, ISO 8601 and HTTP. */
#include "../check.h"

#include <mrpipe/attrs.h>
#include <mrpipe/time.h>

static void formats(void **state)
{
    (void)state;
    char buf[32];
    assert_string_equal(mrp_iso8601(buf, sizeof buf, 1440938160123, true),
                        "2015-08-30T12:36:00.123Z");
    assert_string_equal(mrp_iso8601(buf, sizeof buf, 1440938160123, false), "2015-08-30T12:36:00Z");
    assert_string_equal(mrp_amz_date(buf, sizeof buf, 1440938160123), "20150830T123600Z");
}

static void parses(void **state)
{
    (void)state;
    static const char *const good[] = {"2015-08-30T12:36:00Z", "20150830T123600Z",
                                       "2015-08-30T14:36:00.000+02:00", "2015-08-30 12:36:00Z"};
    static const char *const bad[] = {
        "", "2015-08-30", "2015-13-30T12:36:00Z", "2015-08-30T12:36:00", "2015-08-30T25:36:00Z",
        "x"};
    int64_t ms;
    for (size_t i = 0; i < MRP_COUNT(good); i++) {
        assert_int_equal(mrp_parse_iso8601(&ms, good[i]), 0);
        assert_int_equal(ms, 1440938160000);
    }
    for (size_t i = 0; i < MRP_COUNT(bad); i++)
        assert_int_equal(mrp_parse_iso8601(&ms, bad[i]), -1);
    assert_int_equal(mrp_parse_http_date(&ms, "Sun, 30 Aug 2015 12:36:00 GMT"), 0);
    assert_int_equal(ms, 1440938160000);
    assert_int_equal(mrp_parse_http_date(&ms, "Sun, 30 Xyz 2015 12:36:00 GMT"), -1);
    assert_int_equal(mrp_parse_http_date(&ms, "Sun, 3"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(formats), cmocka_unit_test(parses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
