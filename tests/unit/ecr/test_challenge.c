/* Tests the reader of WWW-Authenticate. */
#include "check.h"

#include <challenge.h>

static void bearer(void **state)
{
    (void)state;
    mrp_auto(challenge_done) struct challenge c = {0};
    challenge_read(&c, "Bearer realm=\"https://a.example/t\\\"x\",service=\"s, with comma\" , "
                       "scope=\"repository:a:pull,push\", error=insufficient_scope");
    assert_int_equal(c.scheme, CHALLENGE_BEARER);
    assert_string_equal(c.realm, "https://a.example/t\"x");
    assert_string_equal(c.service, "s, with comma");
    assert_string_equal(c.scope, "repository:a:pull,push");
    assert_string_equal(c.error, "insufficient_scope");
}

static void several(void **state)
{
    (void)state;
    mrp_auto(challenge_done) struct challenge c = {0};
    challenge_read(&c, "Negotiate, Digest realm=\"no\", nonce=\"x\", Basic realm=\"b\", bearer "
                       "REALM=\"https://t\"");
    assert_int_equal(c.scheme, CHALLENGE_BEARER);
    assert_string_equal(c.realm, "https://t");
    mrp_auto(challenge_done) struct challenge d = {0};
    challenge_read(&d, "Bearer realm=\"https://t\"");
    challenge_read(&d, "Basic realm=\"b\"");
    assert_int_equal(d.scheme, CHALLENGE_BEARER);
    mrp_auto(challenge_done) struct challenge e = {0};
    challenge_read(&e, "Basic realm=\"https://HOST/\",service=\"ecr.amazonaws.com\"");
    assert_int_equal(e.scheme, CHALLENGE_BASIC);
}

static void hostile(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        ",",
        ",,,,",
        "=",
        "\"",
        "Bearer",
        "Bearer realm",
        "Bearer realm=",
        "Bearer realm=\"",
        "Bearer realm=\"x\\",
        "Bearer ====",
        "\x80\xff",
        "Bearer realm=a,realm=b,=c",
        "a=b c=d",
        "Basic\trealm = \"x\"\t",
        "Bearer realm=\"a\r\nb\"",
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        mrp_auto(challenge_done) struct challenge c = {0};
        challenge_read(&c, cases[i]);
        if (c.realm)
            assert_null(strpbrk(c.realm, "\r\n"));
    }
    challenge_read(&(struct challenge){0}, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bearer),
        cmocka_unit_test(several),
        cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
