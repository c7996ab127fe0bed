/* The buffer keeps its limit and fails for good. */
#include "../check.h"

#include <mrpipe/buf.h>

static void grows(void **state)
{
    (void)state;
    struct mrp_buf buf = MRP_BUF_INIT(10000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(mrp_buf_addf(&buf, "%d,", i % 10), 0);
    assert_int_equal(buf.len, 2000);
    mrp_buf_drop(&buf, 1998);
    assert_string_equal(mrp_buf_str(&buf), "9,");
    check_owned(mrp_buf_take(&buf), "9,");
    check_owned(mrp_buf_take(&buf), "");
}

static void limited(void **state)
{
    (void)state;
    struct mrp_error err;
    struct mrp_buf buf = MRP_BUF_INIT(4);
    assert_int_equal(mrp_buf_adds(&buf, "1234"), 0);
    assert_int_equal(mrp_buf_addc(&buf, '5'), MRP_E_NOMEM);
    assert_int_equal(mrp_buf_adds(&buf, "1"), MRP_E_NOMEM);
    assert_int_equal(mrp_buf_check(&buf, "answer", &err), MRP_E_NOMEM);
    assert_null(mrp_buf_take(&buf));
    mrp_buf_reset(&buf);
    assert_int_equal(mrp_buf_adds(&buf, "1"), 0);
    mrp_buf_done(&buf);
}

static void errors(void **state)
{
    (void)state;
    struct mrp_error err;
    mrp_fail(&err, MRP_E_NET, "connect to %s", "host");
    mrp_hint(&err, "check the network");
    assert_int_equal(mrp_wrap(&err, "push %s", "app"), MRP_E_NET);
    assert_string_equal(err.msg, "push app: connect to host");
    assert_string_equal(err.hint, "check the network");
    mrp_fail(&err, MRP_E_NET, "again: %s", err.msg);
    assert_string_equal(err.msg, "again: push app: connect to host");
    char long_text[600];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    mrp_wrap(&err, "%s", long_text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    assert_int_equal(mrp_code_from_name(mrp_code_name(MRP_E_CONFLICT)), MRP_E_CONFLICT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),
        cmocka_unit_test(limited),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
