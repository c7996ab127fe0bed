/* Globs: what fits, what does not, and that hostile patterns end. */
#include "../check.h"

#include <mrpipe/text.h>

static const struct {
    const char *pattern, *text;
    bool path, want;
} cases[] = {
    {"*", "", false, true},
    {"*", "a/b", false, true},
    {"*", "a/b", true, false},
    {"**", "a/b", true, true},
    {"**/*", "a", true, true},
    {"**/*", "a/b/c", true, true},
    {"a/**/c", "a/c", true, true},
    {"a/**/c", "a/b/b/c", true, true},
    {"a/**/c", "ab/c", true, false},
    {"a/**", "a/b/c", true, true},
    {"*.c", "x.c", true, true},
    {"*.c", "d/x.c", true, false},
    {"?", "/", true, false},
    {"[a-c]x", "bx", false, true},
    {"[!a-c]x", "bx", false, false},
    {"[]]", "]", false, true},
    {"[", "[", false, true},
    {"\\*", "*", false, true},
    {"\\*", "a", false, false},
    {"v{1,2}.*", "v2.0", false, true},
    {"v{1,2{a,b}}", "v2b", false, true},
    {"v{1,2}", "v3", false, false},
    {"{a}", "{a}", false, true},
    {"", "", false, true},
    {"", "a", false, false},
    {"a*b*c", "aXbYc", false, true},
    {"a*b*c", "aXbY", false, false},
};

static void table(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRP_COUNT(cases); i++)
        if (mrp_glob_match(cases[i].pattern, cases[i].text, cases[i].path) != cases[i].want)
            fail_msg("%s against %s", cases[i].pattern, cases[i].text);
}

static void hostile(void **state)
{
    (void)state;
    char pattern[4001], text[4001];
    for (size_t i = 0; i < 4000; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    memset(text, 'a', 4000);
    pattern[4000] = text[4000] = '\0';
    text[3999] = 'b';
    assert_false(mrp_glob_match(pattern, text, false));
    assert_false(mrp_glob_match("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", "x", false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(hostile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
