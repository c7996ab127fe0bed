/* URLs, header lists, XML and configuration files: everything that only reads text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ini.h"

#include <mrpipe/auto.h>
#include <mrpipe/http.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/url.h>
#include <mrpipe/xml.h>

#include <stdlib.h>
#include <string.h>

static void url_parts(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    struct mrp_url url;
    assert_int_equal(
        mrp_url_parse(&url, "HTTPS://a%40b:p%3aw@Example.COM:8443/x/%20y?q=1&r#frag", &err), 0);
    assert_string_equal(url.scheme, "https");
    assert_string_equal(url.user, "a@b");
    assert_string_equal(url.password, "p:w");
    assert_string_equal(url.host, "example.com");
    assert_int_equal(url.port, 8443);
    assert_true(url.port_given);
    assert_string_equal(url.path, "/x/%20y");
    assert_string_equal(url.query, "q=1&r");
    mrp_auto(mrp_free_str) char *text = mrp_url_text(&url);
    assert_string_equal(text, "https://example.com:8443/x/%20y?q=1&r");
    mrp_url_done(&url);

    assert_int_equal(mrp_url_parse(&url, "http://[::1]:80", &err), 0);
    assert_string_equal(url.host, "[::1]");
    assert_string_equal(url.path, "/");
    mrp_auto(mrp_free_str) char *authority = mrp_url_authority(&url);
    assert_string_equal(authority, "[::1]");
    mrp_url_done(&url);

    assert_int_equal(mrp_url_parse(&url, "ssh://git@host/x", &err), 0);
    assert_int_equal(url.port, 22);
    mrp_url_done(&url);
    assert_int_equal(mrp_url_parse(&url, "codecommit://host", &err), 0);
    assert_int_equal(url.port, 0);
    mrp_url_done(&url);
}

static void bad_urls(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "x",
                                      "/path",
                                      "http:/a",
                                      "http://",
                                      "http:///x",
                                      "http://a b/",
                                      "http://a\r\nHost: x/",
                                      "http://a:0/",
                                      "http://a:99999/",
                                      "http://a:8x/",
                                      "http://[::1",
                                      "http://[zz]/",
                                      "http://a<b/",
                                      "1http://a/"};
    for (size_t i = 0; i < MRP_COUNT(bad); i++) {
        struct mrp_error err = {0};
        struct mrp_url url;
        if (mrp_url_parse(&url, bad[i], &err) != MRP_E_CONFIG)
            fail_msg("took `%s`", bad[i]);
        mrp_url_done(&url);
    }
    struct mrp_error err = {0};
    struct mrp_url url;
    mrp_auto(mrp_free_str) char *text = malloc(9001);
    memset(text, 'a', 9000);
    memcpy(text, "http://", 7);
    text[9000] = '\0';
    assert_int_equal(mrp_url_parse(&url, text, &err), MRP_E_CONFIG);
    assert_int_equal(mrp_url_parse(&url, NULL, &err), MRP_E_CONFIG);
    assert_int_equal(mrp_url_parse(&url, "ht!tp://user:hunter2@", &err), MRP_E_CONFIG);
    assert_null(strstr(err.msg, "hunter2"));
}

static void resolve(void **state)
{
    (void)state;
    static const struct {
        const char *reference;
        const char *result; /* NULL: refused */
    } cases[] = {
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g"},
        {"?y", "http://a/b/c/d?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"", "http://a/b/c/d?q"},
        {"..", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/a/b/.", "http://a/a/b/"},
        {"https://x.y/z?w", "https://x.y/z?w"},
        {"a b", "http://a/b/c/a%20b"},
        {"g#s", "http://a/b/c/g"},
        {"http://u:p@x/", NULL},
        {"a\r\nb", NULL},
        {"http:g", NULL},
        {"javascript:alert", NULL},
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        mrp_auto(mrp_free_str) char *got = mrp_url_resolve("http://a/b/c/d?q", cases[i].reference);
        if (!mrp_streq(got, cases[i].result))
            fail_msg("`%s` gave %s", cases[i].reference, got ? got : "nothing");
    }
}

static void redact(void **state)
{
    (void)state;
    mrp_auto(mrp_free_str) char *text = mrp_url_redact(
        "https://user:secret@h/p?X-Amz-Signature=abc&partNumber=1&X-Amz-Security-Token=t&x#f");
    assert_string_equal(text,
                        "https://h/p?X-Amz-Signature=***&partNumber=1&X-Amz-Security-Token=***&x");
    mrp_auto(mrp_free_str) char *plain = mrp_url_redact("no url");
    assert_string_equal(plain, "no url");
}

static void headers(void **state)
{
    (void)state;
    struct mrp_headers h = {0};
    for (int i = 0; i < 9; i++)
        assert_int_equal(mrp_headers_add(&h, i % 2 ? "A" : "b", "1"), 0);
    assert_int_equal(mrp_headers_set(&h, "a", "2"), 0);
    assert_int_equal(h.count, 6);
    assert_string_equal(mrp_headers_get(&h, "A"), "2");
    for (int i = 0; i < 20; i++)
        assert_int_equal(mrp_headers_add(&h, "c", "x"), 0);
    assert_int_equal(mrp_headers_add(&h, "d", "a\r\nb: c"), MRP_E_CONFIG);
    assert_int_equal(mrp_headers_add(&h, "d:", "a"), MRP_E_CONFIG);
    assert_int_equal(mrp_headers_set(&h, "", "a"), MRP_E_CONFIG);
    assert_null(mrp_headers_get(&h, "d"));
    mrp_headers_done(&h);
    assert_int_equal(h.count, 0);
}

static char *xml(const char *text)
{
    struct mrp_error err = {0};
    mrp_auto(mrp_free_json) json_t *j = NULL;
    if (mrp_xml_parse(&j, text, strlen(text), "test", &err) != 0)
        return NULL;
    return mrp_json_text(j);
}

static void xml_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *json; /* NULL: refused */
    } cases[] = {
        {"<a/>", "{\"a\":\"\"}"},
        {"<a><b>1</b><c>x &amp; y</c></a>", "{\"a\":{\"b\":\"1\",\"c\":\"x & y\"}}"},
        {"<a><b>1</b><b>2</b><b>3</b></a>", "{\"a\":{\"b\":[\"1\",\"2\",\"3\"]}}"},
        {"<a><member>1</member></a>", "{\"a\":[\"1\"]}"},
        {"<a><L><item><x>1</x></item><item><x>2</x></item></L></a>",
         "{\"a\":{\"L\":[{\"x\":\"1\"},{\"x\":\"2\"}]}}"},
        {"<a><member><member>1</member></member><member><member>2</member></member></a>",
         "{\"a\":[[\"1\"],[\"2\"]]}"},
        {"<?xml version='1.0'?>\n<n:a xmlns:n='u' k='v'>\n <n:b/>\n</n:a>", "{\"a\":{\"b\":\"\"}}"},
        {"<a><member>1</member><other>2</other></a>", "{\"a\":{\"member\":\"1\",\"other\":\"2\"}}"},
        {"<a>", NULL},
        {"", NULL},
        {"<a></b>", NULL},
        {"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", NULL},
        {"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", NULL},
        {"<a>&unknown;</a>", NULL},
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        mrp_auto(mrp_free_str) char *got = xml(cases[i].text);
        if (!mrp_streq(got, cases[i].json))
            fail_msg("%s gave %s", cases[i].text, got ? got : "nothing");
    }
}

static void xml_deep(void **state)
{
    (void)state;
    struct mrp_buf deep = MRP_BUF_INIT(1 << 20);
    for (int i = 0; i < 70; i++)
        mrp_buf_adds(&deep, "<a>");
    assert_null(xml(mrp_buf_str(&deep)));
    mrp_buf_done(&deep);
}

static void config_file(void **state)
{
    (void)state;
    static const char text[] =
        "# comment\n[default]\nregion = us-east-1 # west?\nKEY=a=b\n\n"
        "[profile  \"two words\"]\ns3 =\n  max = 10\n  other= 2\nrole_arn=x\r\n"
        "[sso-session main]\nsso_region=eu-west-1\n[default]\noutput=json\n";
    struct mrp_error err = {0};
    mrp_auto(mrp_free_json) json_t *j = NULL;
    assert_int_equal(ini_parse(&j, text, strlen(text), "test", &err), 0);
    const json_t *section = mrp_json_obj(j, "default");
    assert_string_equal(mrp_json_str(section, "region"), "us-east-1");
    assert_string_equal(mrp_json_str(section, "key"), "a=b");
    assert_string_equal(mrp_json_str(section, "output"), "json");
    section = mrp_json_obj(j, "two words");
    assert_string_equal(mrp_json_str(section, "s3.max"), "10");
    assert_string_equal(mrp_json_str(section, "s3.other"), "2");
    assert_string_equal(mrp_json_str(section, "role_arn"), "x");
    assert_string_equal(mrp_json_str(mrp_json_obj(j, "sso-session main"), "sso_region"),
                        "eu-west-1");
    json_t *bad = NULL;
    assert_int_equal(ini_parse(&bad, "[x\n", 3, "test", &err), MRP_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(url_parts), cmocka_unit_test(bad_urls),    cmocka_unit_test(resolve),
        cmocka_unit_test(redact),    cmocka_unit_test(headers),     cmocka_unit_test(xml_forms),
        cmocka_unit_test(xml_deep),  cmocka_unit_test(config_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
