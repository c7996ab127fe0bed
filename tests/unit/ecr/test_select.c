/* Tests versions, ranges and the selection of tags. */
#include "check.h"

#include <select.h>

static struct version parse(const char *text)
{
    struct version v;
    assert_true(version_parse(&v, text, strlen(text)));
    return v;
}

static void order(void **state)
{
    (void)state;
    /* semver.org, 11.4 */
    static const char *const rising[] = {"1.0.0-alpha",
                                         "1.0.0-alpha.1",
                                         "1.0.0-alpha.beta",
                                         "1.0.0-beta",
                                         "1.0.0-beta.2",
                                         "1.0.0-beta.11",
                                         "1.0.0-rc.1",
                                         "1.0.0",
                                         "1.0.1",
                                         "1.2",
                                         "v2",
                                         "10.0.0"};
    for (size_t i = 0; i + 1 < MRP_COUNT(rising); i++) {
        struct version a = parse(rising[i]);
        struct version b = parse(rising[i + 1]);
        if (version_compare(&a, &b) >= 0 || version_compare(&b, &a) <= 0)
            fail_msg("%s is not below %s", rising[i], rising[i + 1]);
    }
    struct version v;
    static const char *const bad[] = {
        "", "v", "latest", "1.2.3.4", "1..2", "1.2.", "1.2.3-", "-1", "99999999999999999999999"};
    for (size_t i = 0; i < MRP_COUNT(bad); i++)
        assert_false(version_parse(&v, bad[i], strlen(bad[i])));
}

static void ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range, *version;
        bool match;
    } cases[] = {
        {"^1.2", "1.2.0", true},       {"^1.2", "1.9.9", true},
        {"^1.2", "2.0.0", false},      {"^0.2.3", "0.2.9", true},
        {"^0.2.3", "0.3.0", false},    {"^0.0.3", "0.0.4", false},
        {"~1.4.1", "1.4.9", true},     {"~1.4.1", "1.5.0", false},
        {"~1", "1.9.0", true},         {">=1.2 <2", "1.2", true},
        {">=1.2 <2", "2.0", false},    {">= 1.2", "3", true},
        {">1.2.3", "1.2.3", false},    {">1.2", "1.2.9", false},
        {">1.2", "1.3.0", true},       {"<=1.2", "1.2.9", true},
        {"<=1.2", "1.3.0", false},     {"1.x", "1.7.1", true},
        {"1.x", "2.0.0", false},       {"*", "0.1", true},
        {"1.2 - 1.4", "1.4.7", true},  {"1.2 - 1.4", "1.5.0", false},
        {"1.1 || 3.x", "3.4", true},   {"1.1 || 3.x", "2.0", false},
        {"^1.2", "1.3.0-rc.1", false}, {">=1.3.0-rc.1", "1.3.0-rc.2", true},
        {"=1.2.3", "v1.2.3", true},    {"1.2.3", "1.2.4", false},
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        struct version v = parse(cases[i].version);
        if (range_match(cases[i].range, &v) != cases[i].match)
            fail_msg("%s in %s", cases[i].version, cases[i].range);
    }
    struct mrp_error err = {0};
    static const char *const bad[] = {"", "||", "[1", ">", "1.2 -", "=>1", "a", "1.2 || ", "<>1"};
    for (size_t i = 0; i < MRP_COUNT(bad); i++)
        if (!range_check(bad[i], &err))
            fail_msg("`%s` was taken", bad[i]);
}

static size_t fill(struct tag *tags, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tags[i] = (struct tag){mrp_strdup(names[i]), NULL, 0};
    return count;
}

static void drop(struct tag *tags, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(tags[i].name);
}

static const char *const names[] = {"latest", "1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1", "dev-1"};

static void selected(const struct selection *how, const char *first, size_t want)
{
    struct tag tags[8];
    struct mrp_error err = {0};
    size_t n = fill(tags, names, MRP_COUNT(names));
    assert_int_equal(selection_apply(tags, &n, how, &err), 0);
    assert_int_equal(n, want);
    if (first)
        assert_string_equal(tags[0].name, first);
    drop(tags, n);
}

static void selections(void **state)
{
    (void)state;
    char *dev[] = {(char *)(uintptr_t) "dev-*", (char *)(uintptr_t) "latest", NULL};
    selected(&(struct selection){0}, NULL, 6);
    selected(&(struct selection){.globs = dev}, NULL, 2);
    selected(&(struct selection){.exclude = dev}, NULL, 4);
    selected(&(struct selection){.semver = "1.x"}, "1.10.0", 3);
    selected(&(struct selection){.semver = "1.x", .newest = 1}, "1.10.0", 1);
    selected(&(struct selection){.regex = "^[0-9.]+$"}, NULL, 3);
    selected(&(struct selection){.pushed_after_ms = 5}, NULL, 0);
    struct mrp_error err = {0};
    assert_int_equal(selection_check(&(struct selection){.regex = "["}, &err), MRP_E_CONFIG);
    assert_int_equal(selection_check(&(struct selection){.semver = "]"}, &err), MRP_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order),
        cmocka_unit_test(ranges),
        cmocka_unit_test(selections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
