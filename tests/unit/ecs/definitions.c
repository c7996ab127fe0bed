/* Names of the sibling files, copies of an image, ECR hosts by region. */
#include "../check.h"

#include "definitions.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>

static void siblings(void **state)
{
    static const struct {
        const char *from;
        size_t secondaries;
        const char *to;
    } rows[] = {
        {"imagedefinitions_primary.json", 1, "imagedefinitions_secondary.json"},
        {"out/imagedefinitions_primary.json", 1, "out/imagedefinitions_secondary.json"},
        {"imagedefinitions_primary.json", 2, "imagedefinitions_us-east-1.json"},
        {"imagedefinitions.json", 1, "imagedefinitions_us-east-1.json"},
        {"a.b/defs", 1, "a.b/defs_us-east-1"},
        {"_primary.json", 1, "_secondary.json"},
        {"x", 3, "x_us-east-1"},
    };
    (void)state;
    for (size_t i = 0; i < MRP_COUNT(rows); i++)
        check_owned(mrp_definitions_sibling(rows[i].from, "us-east-1", rows[i].secondaries),
                    rows[i].to);
}

static void hosts(void **state)
{
    (void)state;
    check_owned(
        mrp_definitions_move("111122223333.dkr.ecr.us-west-2.amazonaws.com/a/b:1", "us-east-1"),
        "111122223333.dkr.ecr.us-east-1.amazonaws.com/a/b:1");
    check_owned(mrp_definitions_move("111122223333.dkr.ecr-fips.us-west-2.amazonaws.com/b@sha256:0",
                                     "us-east-2"),
                "111122223333.dkr.ecr-fips.us-east-2.amazonaws.com/b@sha256:0");
    check_owned(mrp_definitions_region("111122223333.dkr.ecr.eu-west-1.amazonaws.com/b"),
                "eu-west-1");
    static const char *const others[] = {
        "",
        "nginx",
        "public.ecr.aws/x/y:1",
        "11112222333.dkr.ecr.us-west-2.amazonaws.com/a",
        "111122223333.dkr.ecr.",
        "111122223333.dkr.ecr.us-west-2/x",
        "111122223333.dkr.ecr.us-west-2.amazonaws.com",
    };
    for (size_t i = 0; i < MRP_COUNT(others); i++) {
        assert_null(mrp_definitions_region(others[i]));
        assert_null(mrp_definitions_move(others[i], "us-east-1"));
    }
}

static void copies(void **state)
{
    static const char text[] =
        "[7,{\"name\":\"n\",\"source\":\"s:1\",\"copies\":[{\"region\":\"eu-west-1\",\"image\":"
        "\"e\"},"
        "{\"region\":\"us-east-1\",\"image\":\"u\"},{\"region\":\"us-east-1\"},null]},"
        "{\"name\":\"m\",\"source\":\"s:2\",\"copies\":[{\"region\":\"\",\"image\":\"anywhere\"}]},"
        "{\"name\":\"k\",\"source\":\"s:3\",\"copies\":{}}]";
    mrp_auto(mrp_free_json) json_t *images = NULL;
    struct mrp_error err = {0};
    (void)state;
    assert_int_equal(mrp_json_parse(&images, text, strlen(text), "test", &err), 0);
    const json_t *c = mrp_definitions_copy(images, "other", "s:1", "us-east-1");
    assert_string_equal(mrp_json_str(c, "image"), "u");
    c = mrp_definitions_copy(images, "n", "moved:1", "eu-west-1");
    assert_string_equal(mrp_json_str(c, "image"), "e");
    c = mrp_definitions_copy(images, "", "s:2", "us-east-1");
    assert_string_equal(mrp_json_str(c, "image"), "anywhere");
    assert_null(mrp_definitions_copy(images, "n", "s:1", "ap-south-1"));
    assert_null(mrp_definitions_copy(images, "k", "s:3", "us-east-1"));
    assert_null(mrp_definitions_copy(NULL, "n", "s:1", "us-east-1"));
    assert_null(mrp_definitions_copy(images, NULL, NULL, "us-east-1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siblings),
        cmocka_unit_test(hosts),
        cmocka_unit_test(copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
