/* Tests how credentials are found in docker's config.json. */
#include "check.h"

#include <dockercfg.h>

#include <mrpipe/json.h>

static json_t *config(const char *text)
{
    struct mrp_error err = {0};
    json_t *j = NULL;
    assert_int_equal(mrp_json_parse(&j, text, strlen(text), "config", &err), 0);
    return j;
}

static void look(struct docker_login *out, const char *text, const char *host)
{
    struct mrp_error err = {0};
    mrp_auto(mrp_free_json) json_t *j = config(text);
    assert_int_equal(dockercfg_lookup(out, j, host, &err), 0);
}

static void plain(void **state)
{
    (void)state;
    static const char *const keys[] = {"h.example:5000", "https://h.example:5000",
                                       "https://h.example:5000/v2/", "h.example:5000/team"};
    for (size_t i = 0; i < MRP_COUNT(keys); i++) {
        mrp_auto(docker_login_done) struct docker_login l = {0};
        mrp_auto(mrp_free_str) char *text =
            mrp_strf("{\"auths\":{\"other\":{},\"%s\":{\"auth\":\"dXNlcjpwYTpzcw==\"}}}", keys[i]);
        look(&l, text, "h.example:5000");
        assert_string_equal(l.user, "user");
        assert_string_equal(l.password, "pa:ss");
    }
}

static void others(void **state)
{
    (void)state;
    mrp_auto(docker_login_done) struct docker_login a = {0};
    look(&a, "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"YTpi\"}}}", "docker.io");
    assert_string_equal(a.user, "a");
    mrp_auto(docker_login_done) struct docker_login b = {0};
    look(&b, "{\"auths\":{\"h\":{\"identitytoken\":\"t\"}}}", "h");
    assert_string_equal(b.user, "<token>");
    mrp_auto(docker_login_done) struct docker_login c = {0};
    look(&c, "{\"credHelpers\":{\"h\":\"ecr-login\"},\"auths\":{\"h\":{\"auth\":\"YTpi\"}}}", "h");
    assert_string_equal(c.helper, "ecr-login");
    mrp_auto(docker_login_done) struct docker_login d = {0};
    look(&d, "{\"credsStore\":\"pass\",\"auths\":{\"h\":{}}}", "h");
    assert_string_equal(d.helper, "pass");
    mrp_auto(docker_login_done) struct docker_login e = {0};
    look(&e, "{\"auths\":{\"hh\":{\"auth\":\"YTpi\"}}}", "h");
    assert_null(e.user);
    mrp_auto(docker_login_done) struct docker_login f = {0};
    look(&f, "{\"auths\":[1],\"credHelpers\":3,\"credsStore\":{}}", "h");
    assert_null(f.user);
    assert_null(f.helper);
}

static void malformed(void **state)
{
    (void)state;
    static const char *const cases[] = {"!!!!", "bm9jb2xvbg==", "AGE6Yg=="};
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        struct mrp_error err = {0};
        mrp_auto(docker_login_done) struct docker_login l = {0};
        mrp_auto(mrp_free_str) char *text =
            mrp_strf("{\"auths\":{\"h\":{\"auth\":\"%s\"}}}", cases[i]);
        mrp_auto(mrp_free_json) json_t *j = config(text);
        assert_int_equal(dockercfg_lookup(&l, j, "h", &err), MRP_E_AUTH);
        assert_null(strstr(err.msg, cases[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(others),
        cmocka_unit_test(malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
