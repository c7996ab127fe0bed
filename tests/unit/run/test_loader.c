/* Plugin files: what is found, refused, pinned. Nothing is mapped here. */
#include "../check.h"

#include "loader.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char *dir, *file;
    char **dirs;
};

static int setup(void **state)
{
    static struct fixture f;
    struct mrp_error err = {0};
    f = (struct fixture){0};
    if (mrp_temp_dir(&f.dir, "loader", &err))
        return -1;
    f.file = mrp_path_join(f.dir, "some.so");
    *state = &f;
    return mrp_file_write(f.file, "no ELF", 6, 0644, false, &err) ||
           mrp_strv_add(&f.dirs, "/nowhere") || mrp_strv_add(&f.dirs, f.dir);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    mrp_remove_tree(f->dir, NULL);
    free(f->dir);
    free(f->file);
    mrp_free_strv(&f->dirs);
    return 0;
}

static void
expect(const struct fixture *f, const struct mrp_plugin_pin *pin, size_t found, const char *cause)
{
    mrp_auto(mrp_free_strv) char **paths = NULL;
    mrp_auto(mrp_free_strv) char **causes = NULL;
    struct mrp_error err = {0};
    assert_int_equal(mrp_plugin_candidates(&paths, &causes, "some", f->dirs, pin, &err), 0);
    assert_int_equal(mrp_strv_len(paths), found);
    assert_int_equal(mrp_strv_len(causes), cause ? 1 : 0);
    if (cause)
        assert_non_null(strstr(causes[0], cause));
}

static void test_candidates(void **state)
{
    const struct fixture *f = *state;
    expect(f, NULL, 1, NULL);
    assert_int_equal(chmod(f->file, 0664), 0);
    expect(f, NULL, 0, "may be written by others");
    assert_int_equal(chmod(f->file, 0644), 0);
    assert_int_equal(chmod(f->dir, 0777), 0);
    expect(f, NULL, 0, "may be written by others");
    assert_int_equal(chmod(f->dir, 0755), 0);
    char good[] = "2fd7f6ae22e61ea0aa8a2e6c5a1d6a3b6c6d2b1c0c5f0d8f6d3a9f1f9a3b0b1c";
    struct mrp_plugin_pin pin = {.sha256 = good};
    expect(f, &pin, 0, "the spec pins");
}

static void test_not_a_plugin(void **state)
{
    const struct fixture *f = *state;
    const struct mrp_plugin *plugin = NULL;
    void *handle = NULL;
    struct mrp_error err = {0};
    assert_int_equal(mrp_plugin_open(&plugin, &handle, f->file, NULL, &err), MRP_E_CONFIG);
    assert_non_null(strstr(err.msg, "cannot be loaded"));
    mrp_auto(mrp_free_strv) char **paths = NULL;
    mrp_auto(mrp_free_strv) char **causes = NULL;
    assert_int_equal(mrp_plugin_candidates(&paths, &causes, "../some", f->dirs, NULL, &err), 0);
    assert_int_equal(mrp_strv_len(paths), 0);
}

static void test_search_path(void **state)
{
    (void)state;
    char first[] = "/given";
    char *given[] = {first, NULL};
    mrp_auto(mrp_free_strv) char **dirs = NULL;
    struct mrp_error err = {0};
    setenv("MRPIPE_PLUGIN_PATH", "/one:/two", 1);
    assert_int_equal(mrp_plugin_dirs(&dirs, given, &err), 0);
    unsetenv("MRPIPE_PLUGIN_PATH");
    assert_int_equal(mrp_strv_len(dirs), 4);
    assert_string_equal(dirs[0], "/given");
    assert_string_equal(dirs[2], "/two");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_candidates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_a_plugin, setup, teardown),
        cmocka_unit_test(test_search_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
