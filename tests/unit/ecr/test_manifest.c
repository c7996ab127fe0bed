/* Tests the reader of manifests and indexes. */
#include "check.h"

#include <manifest.h>

#define D(c) "sha256:" c c c c c c c c "00000000000000000000000000000000000000000000000000000000"
#define CONFIG                                                                                     \
    "\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":\"" D("1") "\",\"size\":10}"

static int
read_text(struct manifest **out, const char *text, const char *digest, struct mrp_error *err)
{
    return manifest_new(out, text, strlen(text), NULL, digest, "it", err);
}

static void image(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    mrp_auto(manifest_free) struct manifest *m = NULL;
    const char *text = "{ \"schemaVersion\" : 2, " CONFIG ",\"layers\":[{\"mediaType\":"
                       "\"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip\",\"digest\":"
                       "\"" D("2") "\",\"size\":5}], \"subject\":{\"digest\":\"" D("3") "\"}}\n";
    assert_int_equal(read_text(&m, text, NULL, &err), 0);
    assert_false(m->index);
    assert_int_equal(m->count, 2);
    assert_true(m->items[1].foreign);
    assert_string_equal(m->subject, D("3"));
    assert_string_equal(m->media_type, MEDIA_OCI_MANIFEST);
    assert_memory_equal(m->bytes, text, strlen(text)); /* byte for byte */
    assert_true(digest_matches(m->digest, text, strlen(text)));
}

static void wrong_digest(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    struct manifest *m = NULL;
    assert_int_equal(read_text(&m, "{\"schemaVersion\":2," CONFIG "}", D("9"), &err), MRP_E_REMOTE);
    assert_non_null(strstr(err.msg, D("9")));
}

static void hostile(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "[]",
        "{}",
        "nonsense",
        "{\"schemaVersion\":1,\"fsLayers\":[]}",
        "{\"layers\":[{\"digest\":\"sha256:12\",\"size\":1}]}",
        "{\"layers\":[{\"digest\":\"" D("1") "\",\"size\":-1}]}",
        "{\"layers\":[{\"digest\":\"" D("1") "\",\"size\":9223372036854775807}]}",
        "{\"layers\":[{\"digest\":\"" D("1") "\"}]}",
        "{\"layers\":[{\"digest\":\"../../etc/passwd\",\"size\":1}]}",
        "{\"layers\":[1,2,3]}",
        "{\"manifests\":[],\"layers\":[]}",
        "{\"layers\":[{\"digest\":\"" D("1") "\",\"size\":3,\"data\":\"aGk=\"}]}",
        "{" CONFIG ",\"subject\":{\"digest\":\"x\"}}",
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        struct mrp_error err = {0};
        struct manifest *m = NULL;
        if (!read_text(&m, cases[i], NULL, &err))
            fail_msg("case %zu was taken", i);
        assert_null(m);
    }
}

static void too_much(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    struct manifest *m = NULL;
    char *big = malloc(MANIFEST_MAX + 2);
    memset(big, ' ', MANIFEST_MAX + 1);
    assert_int_equal(manifest_new(&m, big, MANIFEST_MAX + 1, NULL, NULL, "it", &err), MRP_E_REMOTE);
    assert_non_null(strstr(err.msg, "4 MiB"));
    size_t n = (size_t)snprintf(big, 20, "{\"layers\":[");
    for (int i = 0; i < 10001; i++)
        n += (size_t)snprintf(big + n, 200, "%s{\"digest\":\"" D("1") "\",\"size\":1}",
                              i ? "," : "");
    n += (size_t)snprintf(big + n, 3, "]}");
    assert_int_equal(manifest_new(&m, big, n, NULL, NULL, "it", &err), MRP_E_REMOTE);
    assert_non_null(strstr(err.msg, "10001"));
    free(big);
}

#define CHILD(d, os, arch, rest)                                                                   \
    "{\"digest\":\"" d "\",\"size\":1,\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch    \
    "\"" rest "}}"

static void trimmed_index(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    mrp_auto(manifest_free) struct manifest *m = NULL;
    mrp_auto(manifest_free) struct manifest *less = NULL;
    mrp_auto(manifest_free) struct manifest *same = NULL;
    const char *text =
        "{\"schemaVersion\":2, \"manifests\":[" CHILD(D("1"), "linux", "amd64", "") "," CHILD(
            D("2"), "linux", "arm64", ",\"variant\":\"v8\"") "],\"annotations\":{\"a\":\"b\"}}";
    assert_int_equal(read_text(&m, text, NULL, &err), 0);
    assert_true(m->index);
    char *arm[] = {(char *)(uintptr_t) "linux/arm64", NULL};
    char *all[] = {(char *)(uintptr_t) "linux/arm64/v8", (char *)(uintptr_t) "linux/amd64", NULL};
    char *none[] = {(char *)(uintptr_t) "linux/s390x", NULL};
    assert_int_equal(manifest_trim(&less, m, arm, &err), 0);
    assert_int_equal(less->count, 1);
    assert_string_equal(less->items[0].digest, D("2"));
    assert_non_null(strstr(less->bytes, "annotations"));
    assert_int_equal(manifest_trim(&same, m, all, &err), 0);
    assert_string_equal(same->digest, m->digest);
    struct manifest *nothing = NULL;
    assert_int_equal(manifest_trim(&nothing, m, none, &err), MRP_E_NOTFOUND);
}

static void platforms(void **state)
{
    (void)state;
    assert_true(platform_match("linux/arm64", "linux/arm64"));
    assert_true(platform_match("linux/arm64", "linux/arm64/v8"));
    assert_false(platform_match("linux/arm64/v8", "linux/arm64"));
    assert_false(platform_match("linux/arm", "linux/arm64"));
    assert_false(platform_match("linux", "linux/arm64"));
    assert_false(platform_match("linux/arm64", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image),    cmocka_unit_test(wrong_digest),  cmocka_unit_test(hostile),
        cmocka_unit_test(too_much), cmocka_unit_test(trimmed_index), cmocka_unit_test(platforms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
