/* What the user writes for an end, and events. */
#include "end.h"
#include "mirror.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void codecommit_urls(void **state)
{
    (void)state;
    char *region, *profile, *name;
    assert_int_equal(mrp_codecommit_url(&region, &profile, &name, "codecommit://core"), 0);
    assert_null(region);
    assert_null(profile);
    assert_string_equal(name, "core");
    free(name);
    assert_int_equal(
        mrp_codecommit_url(&region, &profile, &name, "codecommit::eu-west-1://me@core.x"), 0);
    assert_string_equal(region, "eu-west-1");
    assert_string_equal(profile, "me");
    assert_string_equal(name, "core.x");
    free(region);
    free(profile);
    free(name);
    static const char *const bad[] = {"codecommit::",
                                      "codecommit::nowhere://x",
                                      "codecommit::us-east-1:/x",
                                      "codecommit://",
                                      "codecommit://a/b",
                                      "codecommit://@x",
                                      "codecommit::us-east-1://a@b@c",
                                      "codecommit://x.git"};
    for (size_t i = 0; i < MRP_COUNT(bad); i++) {
        assert_int_equal(mrp_codecommit_url(&region, &profile, &name, bad[i]), -1);
        struct mrp_error err = {0};
        assert_int_equal(mrp_end_check(bad[i], &err), MRP_E_CONFIG);
    }
}

static void forms(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    static const char *const good[] = {
        "core-service", "./x.git",    "/tmp/x",    "a.bundle",
        "https://h/x",  "http://h/x", "ssh://h/x", "git@host:team/x.git",
        "file:///x"};
    static const char *const bad[] = {"", "ftp://h/x", "git://h/x", "has blank", "ext::sh -c x"};
    for (size_t i = 0; i < MRP_COUNT(good); i++)
        assert_int_equal(mrp_end_check(good[i], &err), 0);
    for (size_t i = 0; i < MRP_COUNT(bad); i++)
        if (mrp_end_check(bad[i], &err) != MRP_E_CONFIG)
            fail_msg("%s", bad[i]);
    assert_int_equal(mrp_end_check("ftp://me:s3cret@h/x", &err), MRP_E_CONFIG);
    assert_null(strstr(err.msg, "s3cret"));
    assert_true(mrp_is_repository_name("a.b_c-D9"));
    assert_false(mrp_is_repository_name("a/b"));
    assert_false(mrp_is_repository_name("a.git"));
    assert_false(mrp_is_repository_name(".."));
}

static int event(char ***names, char **region, const char *text)
{
    struct mrp_error err = {0};
    return mrp_event_parse(names, region, text, strlen(text), &err);
}

static void events(void **state)
{
    (void)state;
    char **names = NULL, *region = NULL;
    assert_int_equal(
        event(&names, &region,
              "{\"source\":\"aws.codecommit\",\"region\":\"us-east-1\","
              "\"detail\":{\"repositoryName\":\"core\",\"event\":\"referenceCreated\"}}"),
        0);
    assert_int_equal(event(&names, &region,
                           "[{\"source\":\"aws.codecommit\",\"region\":\"us-east-1\","
                           "\"resources\":[\"arn:aws:codecommit:us-east-1:1:like\"]},"
                           "{\"source\":\"aws.codecommit\",\"region\":\"us-east-1\","
                           "\"detail\":{\"repositoryName\":\"core\"}}]"),
                     0);
    assert_int_equal(event(&names, &region,
                           "{\"Records\":[{\"awsRegion\":\"us-east-1\","
                           "\"eventSourceARN\":\"arn:aws:codecommit:us-east-1:1:third\"}]}"),
                     0);
    assert_int_equal(mrp_strv_len(names), 3);
    assert_string_equal(names[1], "like");
    assert_string_equal(region, "us-east-1");
    static const char *const bad[] = {
        "",
        "[1]",
        "{}",
        "{\"source\":\"aws.ecr\"}",
        "{\"source\":\"aws.codecommit\",\"region\":\"us-east-1\",\"detail\":{\"repositoryName\":\"."
        "./x\"}}",
        "{\"source\":\"aws.codecommit\",\"region\":\"eu-west-1\",\"detail\":{\"repositoryName\":"
        "\"x\"}}",
        "{\"source\":\"aws.codecommit\",\"detail\":{\"repositoryName\":\"x\"}}"};
    for (size_t i = 0; i < MRP_COUNT(bad); i++)
        if (event(&names, &region, bad[i]) != MRP_E_CONFIG)
            fail_msg("%s", bad[i]);
    mrp_free_strv(&names);
    mrp_free_str(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codecommit_urls),
        cmocka_unit_test(forms),
        cmocka_unit_test(events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
