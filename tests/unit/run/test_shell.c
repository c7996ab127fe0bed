/* What the shell leaves behind: `export -p` of dash and bash; the source version. */
#include "../check.h"

#include "buildenv.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <stdio.h>

static void test_exports(void **state)
{
    (void)state;
    static const char text_of[] = "export A='1'\n"
                                  "export B='it'\"'\"'s\nnew line $X'\n"
                                  "export NOVALUE\n"
                                  "declare -x C=\"a \\\"q\\\" \\$d \\\\ `x\"\n"
                                  "declare -rx D=$'tab\\there\\'s\\n\\001'\n"
                                  "declare -x E\n"
                                  "garbage = 1\n"
                                  "export F=''\n";
    mrp_auto(mrp_free_strv) char **env = NULL;
    struct mrp_error err = {0};
    assert_int_equal(mrp_env_set(&env, "A", "old"), 0);
    assert_int_equal(mrp_shell_exports(&env, text_of, sizeof text_of - 1, &err), 0);
    assert_string_equal(mrp_env_get(env, "A"), "1");
    assert_string_equal(mrp_env_get(env, "B"), "it's\nnew line $X");
    assert_string_equal(mrp_env_get(env, "C"), "a \"q\" $d \\ `x");
    assert_string_equal(mrp_env_get(env, "D"), "tab\there's\n\001");
    assert_string_equal(mrp_env_get(env, "F"), "");
    assert_null(mrp_env_get(env, "NOVALUE"));
    assert_null(mrp_env_get(env, "garbage"));
    mrp_env_unset(env, "B");
    assert_null(mrp_env_get(env, "B"));
    assert_int_equal(mrp_strv_len(env), 4);
}

static void test_cut_exports(void **state)
{
    (void)state;
    static const char *const cut[] = {"export A='x", "declare -x A=\"x", "export A=$'x\\",
                                      "declare -", "export "};
    for (size_t i = 0; i < MRP_COUNT(cut); i++) {
        mrp_auto(mrp_free_strv) char **env = NULL;
        struct mrp_error err = {0};
        (void)mrp_shell_exports(&env, cut[i], strlen(cut[i]), &err);
        assert_null(mrp_env_get(env, "A"));
    }
}

static void put(const char *dir, const char *name, const char *content)
{
    mrp_auto(mrp_free_str) char *path = mrp_path_join(dir, name);
    struct mrp_error err = {0};
    assert_int_equal(mrp_file_write(path, content, strlen(content), 0644, false, &err), 0);
}

static void test_source(void **state)
{
    (void)state;
    static const char id[] = "0123456789012345678901234567890123456789";
    mrp_auto(mrp_free_str) char *dir = NULL;
    struct mrp_error err = {0};
    assert_int_equal(mrp_temp_dir(&dir, "source", &err), 0);
    mrp_auto(mrp_free_str) char *git = mrp_path_join(dir, ".git");
    mrp_auto(mrp_free_str) char *sub = mrp_path_join(dir, "a/b");
    static const char *const parts[] = {"objects", "refs"};
    for (size_t i = 0; i < MRP_COUNT(parts); i++) {
        mrp_auto(mrp_free_str) char *part = mrp_path_join(git, parts[i]);
        assert_int_equal(mrp_mkdirs(part, &err), 0);
    }
    assert_int_equal(mrp_mkdirs(sub, &err), 0);
    put(git, "HEAD", "ref: refs/heads/main\n");
    put(git, "packed-refs",
        "# pack-refs with: peeled \n0123456789012345678901234567890123456789 refs/heads/main\n");
    put(git, "config",
        "[core]\n\turl = no\n[remote \"origin\"]\n\turl = https://u:p@h.example/r@v2.git\n");
    struct mrp_checkout source;
    struct mrp_checkout_search search;
    mrp_checkout_begin(&search, sub);
    mrp_checkout_take(&source, &search);
    assert_string_equal(source.version, id);
    assert_string_equal(source.branch, "main");
    assert_string_equal(source.url, "https://h.example/r@v2.git");
    mrp_checkout_done(&source);
    put(git, "HEAD", "ref: refs/../../etc/passwd\n");
    mrp_checkout_begin(&search, dir);
    mrp_checkout_take(&source, &search);
    assert_null(source.version);
    mrp_checkout_done(&source);
    mrp_remove_tree(dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exports),
        cmocka_unit_test(test_cut_exports),
        cmocka_unit_test(test_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
