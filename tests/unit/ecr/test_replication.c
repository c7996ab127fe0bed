/* Tests the merging of replication rules and registry policies. */
#include "check.h"

#include <replication.h>

#include <mrpipe/json.h>

static char *const west[] = {(char *)(uintptr_t) "us-west-2", NULL};
static char *const both[] = {(char *)(uintptr_t) "us-west-2", (char *)(uintptr_t) "eu-west-1",
                             NULL};
static char *const prefixes[] = {(char *)(uintptr_t) "team/", NULL};

static void rules(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    bool changed = false;
    mrp_auto(mrp_free_json) json_t *config =
        json_pack("{s:[{s:[{s:s, s:s}]}]}", "rules", "destinations", "region", "us-west-2",
                  "registryId", "1");
    assert_int_equal(replication_merge(config, &changed, NULL, west, "1", &err), 0);
    assert_false(changed);
    /* All repositories go there already. */
    assert_int_equal(replication_merge(config, &changed, prefixes, west, "1", &err), 0);
    assert_false(changed);
    assert_int_equal(json_array_size(mrp_json_arr(config, "rules")), 1);
    assert_int_equal(replication_merge(config, &changed, prefixes, both, "1", &err), 0);
    assert_true(changed);
    json_t *list = mrp_json_arr(config, "rules");
    assert_int_equal(json_array_size(list), 2);
    json_t *to = mrp_json_arr(json_array_get(list, 1), "destinations");
    assert_int_equal(json_array_size(to), 1);
    assert_string_equal(mrp_json_str(json_array_get(to, 0), "region"), "eu-west-1");
    /* A narrower rule is no answer to a wider wish. */
    assert_int_equal(replication_merge(config, &changed, NULL, both, "1", &err), 0);
    assert_true(changed);
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_array_size(mrp_json_arr(json_array_get(list, 0), "destinations")), 2);
    assert_int_equal(json_array_remove(mrp_json_arr(json_array_get(list, 0), "destinations"), 1),
                     0);
    assert_int_equal(replication_merge(config, &changed, prefixes, both, "1", &err), 0);
    assert_false(changed);
    char name[3] = "a/";
    char *const other[] = {name, NULL};
    int rc = 0;
    for (; !rc && name[0] < 'z'; name[0]++)
        rc = replication_merge(config, &changed, other, west, "2", &err);
    assert_int_equal(rc, MRP_E_CONFIG);
}

static void policy(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *first = NULL;
    mrp_auto(mrp_free_str) char *again = NULL;
    mrp_auto(mrp_free_str) char *more = NULL;
    assert_int_equal(replication_policy(&first, NULL, "111", "aws", "us-west-2", "222", &err), 0);
    assert_non_null(strstr(first, "arn:aws:iam::111:root"));
    assert_int_equal(replication_policy(&again, first, "111", "aws", "us-west-2", "222", &err), 0);
    assert_null(again);
    assert_int_equal(replication_policy(&more, first, "333", "aws", "us-west-2", "222", &err), 0);
    assert_non_null(strstr(more, "111"));
    assert_non_null(strstr(more, "333"));
    char *bad = NULL;
    assert_int_not_equal(replication_policy(&bad, "{", "1", "aws", "r", "2", &err), 0);
    assert_int_not_equal(replication_policy(&bad, "{}", "1", "aws", "r", "2", &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rules), cmocka_unit_test(policy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
