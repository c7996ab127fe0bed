/* Tests image references and ECR host names. */
#include "check.h"

#include <ref.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void good_references(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *repo, *tag, *digest;
    } cases[] = {
        {"localhost:5000/core:1.4", "localhost:5000", "core", "1.4", NULL},
        {"LOCALHOST:5000/core", "localhost:5000", "core", NULL, NULL},
        {"alpine:3", "docker.io", "library/alpine", "3", NULL},
        {"team/core", "docker.io", "team/core", NULL, NULL},
        {"ghcr.io/a/b_c.d-e/f@sha256:" HEX64, "ghcr.io", "a/b_c.d-e/f", NULL, "sha256:" HEX64},
        {"ghcr.io/a:t@sha256:" HEX64, "ghcr.io", "a", "t", "sha256:" HEX64},
        {"[::1]:5000/x", "[::1]:5000", "x", NULL, NULL},
        {"docker://r.example/x__y:z", "r.example", "x__y", "z", NULL},
        {"https://r.example:5000/x:z", "r.example:5000", "x", "z", NULL},
        {"111122223333.dkr.ecr.us-west-2.amazonaws.com/mysfits/core:9a",
         "111122223333.dkr.ecr.us-west-2.amazonaws.com", "mysfits/core", "9a", NULL},
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        struct mrp_error err = {0};
        mrp_auto(ref_done) struct ref ref;
        assert_int_equal(ref_parse(&ref, cases[i].text, &err), 0);
        assert_string_equal(ref.host, cases[i].host);
        assert_string_equal(ref.repo, cases[i].repo);
        assert_true(mrp_streq(ref.tag, cases[i].tag));
        assert_true(mrp_streq(ref.digest, cases[i].digest));
    }
}

static void bad_references(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        " ",
        "Core:1",
        "host.example/Core",
        "host.example/core:",
        "host.example/core:-x",
        "host.example/core@sha256:12",
        "host.example/core@md5:" HEX64,
        "host.example//core",
        "host.example/core/../x",
        "host.example/.core",
        "host.example/core-",
        "host:99999/core",
        "host.example:0/core",
        "-host.example/core",
        "http://host.example/core",
        "https://core",
        "https:///core",
        "host.example/a b",
        "host.example/a?b",
        "host.example/a#b",
        "host.example/a%2fb",
        "host.example/core:a\nb",
        "oci:",
        "oci:@sha256:" HEX64,
        "host.example/a@b",
        "[::1/x",
        "host.example/\x80",
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        struct mrp_error err = {0};
        mrp_auto(ref_done) struct ref ref;
        if (!ref_parse(&ref, cases[i], &err))
            fail_msg("`%s` was taken", cases[i]);
        assert_true(err.msg[0] && err.hint[0]);
    }
    char *longest = malloc(5001);
    memset(longest, 'a', 5000);
    longest[5000] = '\0';
    struct mrp_error err = {0};
    mrp_auto(ref_done) struct ref ref;
    assert_int_equal(ref_parse(&ref, longest, &err), MRP_E_CONFIG);
    free(longest);
}

static void words_about_bad_references(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why, *next;
    } cases[] = {
        {"dir:folder", "not known here", "skopeo"},
        {"docker-daemon:core:1", "not known here", "skopeo"},
        {"./layout", "a path", "oci:FOLDER"},
        {"/srv/layout", "a path", "oci:FOLDER"},
        {"http://host.example/core", "URL", "insecure"},
        {"host.example/core:1,host.example/core:2", "a list", ":="},
        {"host.example/core:", "nothing follows", "TAG"},
        {"host.example/core:.x", "a tag is", "TAG"},
        {"oci:folder:", "nothing follows", "TAG"},
        {"host.example/Core", "lower case", "TAG"},
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        struct mrp_error err = {0};
        mrp_auto(ref_done) struct ref ref;
        assert_int_equal(ref_parse(&ref, cases[i].text, &err), MRP_E_CONFIG);
        assert_non_null(strstr(err.msg, cases[i].why));
        assert_non_null(strstr(err.hint, cases[i].next));
    }
    struct mrp_error err = {0};
    char text[400];
    snprintf(text, sizeof text, "host.example/core:%0129d", 1);
    mrp_auto(ref_done) struct ref tag;
    assert_int_equal(ref_parse(&tag, text, &err), MRP_E_CONFIG);
    assert_non_null(strstr(err.msg, "longer than 128"));
    snprintf(text, sizeof text, "host.example/%0256d", 1);
    mrp_auto(ref_done) struct ref name;
    assert_int_equal(ref_parse(&name, text, &err), MRP_E_CONFIG);
    assert_non_null(strstr(err.msg, "longer than 255"));
}

static void files_and_prefixes(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    mrp_auto(ref_done) struct ref a;
    mrp_auto(ref_done) struct ref b;
    mrp_auto(ref_done) struct ref c;
    mrp_auto(ref_done) struct ref d;
    assert_int_equal(ref_parse(&a, "oci:out/dir:v1", &err), 0);
    assert_int_equal(a.kind, REF_LAYOUT);
    assert_string_equal(a.path, "out/dir");
    assert_string_equal(a.tag, "v1");
    assert_int_equal(ref_parse(&b, "docker-archive:/tmp/x.tar", &err), 0);
    assert_int_equal(b.kind, REF_DOCKER_ARCHIVE);
    assert_null(b.tag);
    assert_int_equal(ref_parse(&c, "host.example/team/", &err), 0);
    assert_true(c.prefix);
    assert_string_equal(c.repo, "team");
    assert_int_equal(ref_parse(&d, "localhost:1/", &err), 0);
    assert_true(d.prefix);
    assert_string_equal(d.repo, "");
    mrp_auto(mrp_free_str) char *text = ref_text(&a);
    assert_string_equal(text, "oci:out/dir:v1");
    mrp_auto(mrp_free_str) char *prefix = ref_text(&c);
    assert_string_equal(prefix, "host.example/team/");
}

static void ecr_names(void **state)
{
    (void)state;
    struct ecr_name n;
    assert_true(ecr_name_parse(&n, "111122223333.dkr.ecr.us-west-2.amazonaws.com"));
    assert_string_equal(n.region, "us-west-2");
    assert_string_equal(n.account, "111122223333");
    assert_true(ecr_name_parse(&n, "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn"));
    assert_true(ecr_name_parse(&n, "111122223333.dkr.ecr-fips.us-east-1.amazonaws.com"));
    assert_true(n.fips);
    assert_true(ecr_name_parse(&n, "111122223333.dkr-ecr.us-east-1.on.aws"));
    assert_true(n.dual);
    static const char *const others[] = {
        "public.ecr.aws",
        "11112222333.dkr.ecr.us-west-2.amazonaws.com",
        "localhost:5000",
        "111122223333.dkr.ecr.us-west-2.amazonaws.com.evil.example",
        "111122223333.dkr.ecr.nowhere.amazonaws.com",
        "111122223333.dkr.ecr.us-west-2.example.com",
        "111122223333.dkr.ecr.us-west-2",
        "",
        "x.111122223333.dkr.ecr.us-west-2.amazonaws.com"};
    for (size_t i = 0; i < MRP_COUNT(others); i++)
        if (ecr_name_parse(&n, others[i]))
            fail_msg("`%s` was taken for ECR", others[i]);
    mrp_auto(mrp_free_str) char *host = ecr_host("111122223333", "cn-north-1");
    assert_string_equal(host, "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_references),
        cmocka_unit_test(bad_references),
        cmocka_unit_test(words_about_bad_references),
        cmocka_unit_test(files_and_prefixes),
        cmocka_unit_test(ecr_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
