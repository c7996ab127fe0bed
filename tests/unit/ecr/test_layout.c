/* Tests image layout folders. */
#include "check.h"

#include <layout.h>

#include <mrpipe/file.h>

static void write_and_read(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *dir = NULL;
    assert_int_equal(mrp_temp_dir(&dir, "layout", &err), 0);
    mrp_auto(layout_free) struct layout *l = NULL;
    mrp_auto(manifest_free) struct manifest *m = NULL;
    mrp_auto(manifest_free) struct manifest *back = NULL;
    assert_int_equal(layout_open(&l, dir, "oci:x", LAYOUT_CREATE, &err), 0);
    const char *text = "{\"schemaVersion\":2,\"manifests\":[]}";
    assert_int_equal(manifest_new(&m, text, strlen(text), NULL, NULL, "it", &err), 0);
    assert_int_equal(layout_put(l, m, "v1", true, &err), 0);
    assert_int_equal(layout_put(l, m, "v2", true, &err), 0);
    assert_int_equal(layout_put(l, m, "v1", true, &err), 0); /* replaced, not doubled */
    mrp_auto(mrp_free_strv) char **tags = NULL;
    assert_int_equal(layout_tags(&tags, l, &err), 0);
    assert_int_equal(mrp_strv_len(tags), 2);
    char digest[DIGEST_SIZE];
    assert_true(layout_find(digest, l, "v2"));
    assert_string_equal(digest, m->digest);
    assert_true(layout_find(digest, l, "")); /* one image with two tags */
    assert_string_equal(digest, m->digest);
    assert_false(layout_find(digest, l, "v3"));
    assert_int_equal(layout_get(&back, l, digest, &err), 0);
    assert_memory_equal(back->bytes, text, strlen(text));
    assert_int_equal(layout_put_blob(l, m->digest, "other", 5, &err), MRP_E_REMOTE);
    mrp_auto(manifest_free) struct manifest *other = NULL;
    const char *more = "{\"schemaVersion\":2,\"manifests\":[],\"annotations\":{}}";
    assert_int_equal(manifest_new(&other, more, strlen(more), NULL, NULL, "it", &err), 0);
    assert_int_equal(layout_put(l, other, "v3", true, &err), 0);
    assert_false(layout_find(digest, l, "")); /* which one? */
    assert_null(layout_blob_path(l, "sha256:../../../etc/passwd"));
    layout_free(&l);
    mrp_remove_tree(dir, &err);
}

static void absent(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    struct layout *l = NULL;
    assert_int_equal(layout_open(&l, "/nonexistent-layout", "oci:y", LAYOUT_READ, &err),
                     MRP_E_NOTFOUND);
    assert_non_null(strstr(err.msg, "oci:y"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(write_and_read), cmocka_unit_test(absent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
