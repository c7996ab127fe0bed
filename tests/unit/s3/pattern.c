/* Artifact patterns: the table of CodeBuild's rules, and what is refused. */
#include "../check.h"

#include "pattern.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

static bool matches(const char *pattern, const char *path)
{
    struct mrp_patterns p = {0};
    struct mrp_error err = {0};
    assert_int_equal(mrp_patterns_add(&p, pattern, 0, &err), 0);
    bool yes = mrp_patterns_match(&p, path);
    mrp_patterns_done(&p);
    return yes;
}

static void table(void **state)
{
    static const struct {
        const char *pattern, *path;
        bool match;
    } rows[] = {
        {"a.txt", "a.txt", true},
        {"./a.txt", "a.txt", true},
        {"././/a.txt", "a.txt", true},
        {"a.txt", "b/a.txt", false},
        {"*", "a.txt", true},
        {"*", ".hidden", true},
        {"*", "b/a.txt", false},
        {"dir/*", "dir/a", true},
        {"dir/*", "dir/sub/a", false},
        {"dir/*", "dir", false},
        {"dir/**/*", "dir/a", true},
        {"dir/**/*", "dir/sub/deep/a", true},
        {"dir/**/*", "other/a", false},
        {"dir/**/*", "dir", false},
        {"dir/**", "dir/a", true},
        {"dir/**", "dir/sub/a", true},
        {"**/*", "a", true},
        {"**/*", "x/y/z/.a", true},
        {"**", "x/y", true},
        {"**/a.txt", "a.txt", true},
        {"**/a.txt", "x/y/a.txt", true},
        {"**/a.txt", "x/y/ba.txt", false},
        {"**/**/a", "a", true},
        {"**/x/**/a", "x/a", true},
        {"**/x/**/a", "b/x/c/d/a", true},
        {"**/x/**/a", "b/c/a", false},
        {"*/a.txt", "x/a.txt", true},
        {"*/a.txt", "a.txt", false},
        {"*/a.txt", "x/y/a.txt", false},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"a?c/d", "abc/d", true},
        {"[a-c]*", "beta", true},
        {"[a-c]*", "delta", false},
        {"[!a-c]*", "delta", true},
        {"*.{js,css}", "x.css", true},
        {"*.{js,css}", "x.c", false},
        {"{a,b/c}/*.{x,y}", "b/c/q.y", true},
        {"{a,b/c}/*.{x,y}", "a/q.x", true},
        {"{a,b/c}/*.{x,y}", "b/q.x", false},
        {"{a,{b,c}}d", "cd", true},
        {"{a,}b", "b", true},
        {"{a}b", "ab", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"\\{a,b\\}", "{a,b}", true},
        {"**/\xc3\xb6*", "x/\xc3\xb6.txt", true},
        {"a*b*c", "aXbYc", true},
    };
    (void)state;
    for (size_t i = 0; i < MRP_COUNT(rows); i++)
        if (matches(rows[i].pattern, rows[i].path) != rows[i].match)
            fail_msg("%s on %s", rows[i].pattern, rows[i].path);
}

static void refused(void **state)
{
    static const char *const bad[] = {"", ".", "./", "..", "../x", "a/../b", "/etc/passwd", "a/.."};
    (void)state;
    for (size_t i = 0; i < MRP_COUNT(bad); i++) {
        struct mrp_patterns p = {0};
        struct mrp_error err = {0};
        assert_int_equal(mrp_patterns_add(&p, bad[i], 0, &err), MRP_E_CONFIG);
        assert_true(err.msg[0] != '\0');
        assert_int_equal(p.count, 0);
        mrp_patterns_done(&p);
    }
}

/* Brace bombs end at a limit, with what was made so far freed. */
static void bombs(void **state)
{
    static const char *const bad[] = {
        "{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}",
        "{{{{{{{{{{{{{{{{{{{{a}}}}}}}}}}}}}}}}}}}}",
        "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/"
        "a/a/"
        "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a",
    };
    (void)state;
    for (size_t i = 0; i < MRP_COUNT(bad); i++) {
        struct mrp_patterns p = {0};
        struct mrp_error err = {0};
        assert_int_equal(mrp_patterns_add(&p, bad[i], 0, &err), MRP_E_CONFIG);
        mrp_patterns_done(&p);
    }
}

static void open_braces(void **state)
{
    (void)state;
    assert_false(matches("{a", "a"));
    assert_false(matches("a}", "a"));
    assert_false(matches("[a", "a"));
    assert_false(matches("a\\", "b"));
}

/* Many `**` cost positions, not walks. */
static void deep(void **state)
{
    (void)state;
    assert_true(matches("**/a/**/a/**/a/**/a/**/a/**/b", "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/b"));
    assert_false(matches("**/a/**/a/**/a/**/a/**/a/**/b", "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/c"));
}

static void literal(void **state)
{
    struct mrp_patterns p = {0};
    struct mrp_error err = {0};
    (void)state;
    assert_int_equal(mrp_patterns_add(&p, "dir/\\[x\\].txt", 7, &err), 0);
    assert_int_equal(mrp_patterns_add(&p, "**/x", 8, &err), 0);
    uint64_t at = mrp_pattern_start(&p.list[0]);
    check_owned(mrp_pattern_literal(&p.list[0], at), "dir");
    assert_int_equal(mrp_pattern_step(&p.list[0], at, "other"), 0);
    at = mrp_pattern_step(&p.list[0], at, "dir");
    assert_true(mrp_pattern_alive(&p.list[0], at));
    assert_null(mrp_pattern_literal(&p.list[0], at)); /* `[` makes it look into the folder */
    at = mrp_pattern_step(&p.list[0], at, "[x].txt");
    assert_true(mrp_pattern_accepts(&p.list[0], at));
    assert_false(mrp_pattern_alive(&p.list[0], at));
    assert_null(mrp_pattern_literal(&p.list[1], mrp_pattern_start(&p.list[1])));
    assert_int_equal(p.list[1].origin, 8);
    mrp_patterns_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table), cmocka_unit_test(refused),     cmocka_unit_test(bombs),
        cmocka_unit_test(deep),  cmocka_unit_test(open_braces), cmocka_unit_test(literal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
