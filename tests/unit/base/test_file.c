/* Files and paths in a folder of their own. */
#include "../check.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <unistd.h>

static int setup(void **state)
{
    struct mrp_error err;
    return mrp_temp_dir((char **)state, "mrpipe-test", &err);
}

static int teardown(void **state)
{
    struct mrp_error err;
    int rc = mrp_remove_tree(*state, &err);
    free(*state);
    return rc;
}

static void write_and_read(void **state)
{
    struct mrp_error err;
    mrp_auto(mrp_free_str) char *path = mrp_strf("%s/f", (char *)*state);
    mrp_auto(mrp_free_str) char *text = NULL;
    size_t len;
    assert_int_equal(mrp_file_write(path, "one", 3, 0600, true, &err), 0);
    assert_int_equal(mrp_file_write(path, "three", 5, 0600, false, &err), 0);
    assert_int_equal(mrp_file_read(&text, &len, path, 5, &err), 0);
    assert_string_equal(text, "three");
    assert_int_equal(len, 5);
    char *no = NULL;
    assert_int_equal(mrp_file_read(&no, &len, path, 4, &err), MRP_E_CONFIG);
    assert_int_equal(mrp_file_read(&no, &len, *state, 4, &err), MRP_E_IO);
    assert_null(no);
}

static void joined(void **state)
{
    (void)state;
    check_owned(mrp_path_join("/a", "b/../c/./d"), "/a/c/d");
    check_owned(mrp_path_join("/a", "../../.."), "/");
    check_owned(mrp_path_join("/a", "/x//y/"), "/x/y");
    check_owned(mrp_path_join("a", "../.."), "..");
    check_owned(mrp_path_join("a", ".."), ".");
}

static void inside(void **state)
{
    struct mrp_error err;
    const char *root = *state;
    mrp_auto(mrp_free_str) char *link = mrp_strf("%s/out", root);
    mrp_auto(mrp_free_str) char *path = NULL;
    assert_int_equal(symlink("/etc", link), 0);
    assert_int_equal(mrp_path_inside(&path, root, "new/file", &err), 0);
    char *no = NULL;
    assert_int_equal(mrp_path_inside(&no, root, "../x", &err), MRP_E_CONFIG);
    assert_int_equal(mrp_path_inside(&no, root, "/etc/passwd", &err), MRP_E_CONFIG);
    assert_int_equal(mrp_path_inside(&no, root, "out/passwd", &err), MRP_E_CONFIG);
    assert_null(no);
    mrp_auto(mrp_free_str) char *up = mrp_strf("%s/up", root);
    assert_int_equal(symlink("/", up), 0);
    assert_int_equal(mrp_path_inside(&no, root, "up/new", &err), MRP_E_CONFIG);
    assert_null(no);
}

static void inside_relative_root(void **state)
{
    struct mrp_error err;
    char *out = NULL;
    mrp_auto(mrp_free_str) char *before = getcwd(NULL, 0);
    assert_int_equal(chdir(*state), 0);
    assert_int_equal(mrp_path_inside(&out, ".", "../x", &err), MRP_E_CONFIG);
    assert_null(out);
    assert_int_equal(mrp_path_inside(&out, ".", "x", &err), 0);
    assert_true(out[0] == '/');
    free(out);
    assert_int_equal(chdir(before), 0);
}

static void folders(void **state)
{
    struct mrp_error err;
    mrp_auto(mrp_free_str) char *deep = mrp_strf("%s/a/b/c", (char *)*state);
    assert_int_equal(mrp_mkdirs(deep, &err), 0);
    assert_int_equal(mrp_mkdirs(deep, &err), 0);
    assert_true(mrp_exists(deep));
    assert_int_equal(mrp_remove_tree(deep, &err), 0);
    assert_false(mrp_exists(deep));
    assert_int_equal(mrp_remove_tree(deep, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(write_and_read, setup, teardown),
        cmocka_unit_test(joined),
        cmocka_unit_test_setup_teardown(inside, setup, teardown),
        cmocka_unit_test_setup_teardown(inside_relative_root, setup, teardown),
        cmocka_unit_test_setup_teardown(folders, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
