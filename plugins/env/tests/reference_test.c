/* The forms of a reference to a secret. */
#include "resolve.h"

#include <mrpipe/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
expect(const char *text, const char *id, const char *key, const char *stage, const char *version)
{
    struct secret_ref ref;
    struct mrp_error err = {0};
    assert_int_equal(secret_ref_parse(&ref, text, &err), 0);
    assert_string_equal(ref.id, id);
    assert_string_equal(ref.key, key);
    assert_string_equal(ref.stage, stage);
    assert_string_equal(ref.version, version);
    secret_ref_done(&ref);
}

static void test_forms(void **state)
{
    (void)state;
    expect("db", "db", "", "", "");
    expect("prod/db:password", "prod/db", "password", "", "");
    expect("db:password::", "db", "password", "", "");
    expect("db:password:AWSPREVIOUS", "db", "password", "AWSPREVIOUS", "");
    expect("db:::0123", "db", "", "", "0123");
    expect("arn:aws:secretsmanager:us-west-2:111122223333:secret:db-AbCdEf",
           "arn:aws:secretsmanager:us-west-2:111122223333:secret:db-AbCdEf", "", "", "");
    expect("arn:aws:secretsmanager:us-west-2:111122223333:secret:db-AbCdEf:user:AWSCURRENT:",
           "arn:aws:secretsmanager:us-west-2:111122223333:secret:db-AbCdEf", "user", "AWSCURRENT",
           "");
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", ":key", "db:k:AWSCURRENT:0123", "db:k:s:v:more"};
    for (size_t i = 0; i < MRP_COUNT(bad); i++) {
        struct secret_ref ref;
        struct mrp_error err = {0};
        assert_int_equal(secret_ref_parse(&ref, bad[i], &err), MRP_E_CONFIG);
        secret_ref_done(&ref);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
