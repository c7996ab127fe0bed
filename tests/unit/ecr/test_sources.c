/* Tests where images go: regions, prefixes, other names. */
#include "check.h"

#include <actions.h>
#include <mrpipe/json.h>

static void
expect(const json_t *map, const char *repository, const char *const *regions, const char *want)
{
    mrp_auto(sources_done) struct sources sources = {0};
    mrp_auto(mrp_free_json) json_t *from =
        json_string("111122223333.dkr.ecr.us-west-2.amazonaws.com/team/app:v1");
    struct mrp_error err = {0};
    assert_int_equal(sources_read(&sources, from, &err), 0);
    char prefix[] = "mirror.example/p/";
    char full[] = "mirror.example/full:v2";
    char *to[] = {prefix, full, NULL};
    const struct destinations where = {.to = regions ? NULL : to,
                                       .regions = (char *const *)(uintptr_t)regions,
                                       .account = "444455556666",
                                       .repository = repository,
                                       .map = map};
    struct ref *list = NULL;
    size_t count = 0;
    assert_int_equal(destinations_for(&list, &count, NULL, &sources.list[0], &where, &err), 0);
    mrp_auto(mrp_free_str) char *first = ref_text(&list[0]);
    assert_string_equal(first, want);
    if (!regions) {
        assert_int_equal(count, 2);
        mrp_auto(mrp_free_str) char *second = ref_text(&list[1]);
        assert_string_equal(second, "mirror.example/full:v2");
    }
    refs_free(list, count);
}

static void names(void **state)
{
    (void)state;
    static const char *const east[] = {"us-east-1", NULL};
#define EAST "444455556666.dkr.ecr.us-east-1.amazonaws.com/"
    mrp_auto(mrp_free_json) json_t *map = json_pack("{s:s, s:s}", "team/app", "dr/app", "x", "y");
    mrp_auto(mrp_free_json) json_t *others = json_pack("{s:s}", "app", "no");
    expect(NULL, NULL, east, EAST "team/app:v1");
    expect(NULL, "copies", east, EAST "copies:v1");
    expect(map, NULL, east, EAST "dr/app:v1");
    expect(map, "copies", east, EAST "dr/app:v1");
    expect(others, "copies", east, EAST "copies:v1");
    expect(others, NULL, east, EAST "team/app:v1");
    expect(NULL, "copies", NULL, "mirror.example/p/team/app:v1");
    expect(map, NULL, NULL, "mirror.example/p/dr/app:v1");
}

static void bad_maps(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "Upper",  "a:v1", "a/",  "/a",
                                      "a//b", "../etc", "a b",  "a@b", "oci:x"};
    struct mrp_error err = {0};
    for (size_t i = 0; i < MRP_COUNT(bad); i++) {
        mrp_auto(mrp_free_json) json_t *map = json_pack("{s:s}", "app", bad[i]);
        if (destinations_check_map(map, &err) != MRP_E_CONFIG)
            fail_msg("`%s` was taken", bad[i]);
    }
    mrp_auto(mrp_free_json) json_t *number = json_pack("{s:i}", "app", 3);
    assert_int_equal(destinations_check_map(number, &err), MRP_E_CONFIG);
    mrp_auto(mrp_free_json) json_t *good = json_pack("{s:s}", "app", "team/app-2");
    assert_int_equal(destinations_check_map(good, &err), 0);
    assert_int_equal(destinations_check_map(NULL, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(bad_maps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
