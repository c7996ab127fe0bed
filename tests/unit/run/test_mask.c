/* The masker: every split of a stream, lines, encoded forms, overlaps. */
#include "../check.h"

#include "mask.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

static struct mrp_masker *masker_of(const char *const *secrets)
{
    struct mrp_masker *m = mrp_masker_new();
    assert_non_null(m);
    for (; *secrets; secrets++)
        assert_int_equal(mrp_masker_add(m, *secrets, strlen(*secrets)), 0);
    return m;
}

/* The stream's output when `text` comes in two reads, cut at `cut`. */
static char *feed(const struct mrp_masker *m, const char *text, size_t cut)
{
    struct mrp_mask_stream stream;
    struct mrp_buf out = MRP_BUF_INIT(1 << 20);
    mrp_mask_init(&stream);
    assert_int_equal(mrp_mask_feed(&stream, m, text, cut, false, &out), 0);
    assert_int_equal(mrp_mask_feed(&stream, m, text + cut, strlen(text) - cut, false, &out), 0);
    assert_int_equal(mrp_mask_feed(&stream, m, "", 0, true, &out), 0);
    mrp_mask_done(&stream);
    return mrp_buf_take(&out);
}

static void expect(const struct mrp_masker *m, const char *text, const char *want)
{
    for (size_t cut = 0; cut <= strlen(text); cut++)
        check_owned(feed(m, text, cut), want);
    /* and byte by byte */
    struct mrp_mask_stream stream;
    struct mrp_buf out = MRP_BUF_INIT(1 << 20);
    mrp_mask_init(&stream);
    for (size_t i = 0; i < strlen(text); i++)
        assert_int_equal(mrp_mask_feed(&stream, m, text + i, 1, false, &out), 0);
    assert_int_equal(mrp_mask_feed(&stream, m, NULL, 0, true, &out), 0);
    assert_string_equal(mrp_buf_str(&out), want);
    mrp_buf_done(&out);
    mrp_mask_done(&stream);
}

static void test_splits(void **state)
{
    (void)state;
    struct mrp_masker *m = masker_of((const char *const[]){"password", "passwords-all", NULL});
    expect(m, "a password b", "a *** b");
    expect(m, "a passwords-all b", "a *** b");
    expect(m, "a passwords-alp b", "a ***s-alp b");
    expect(m, "pass", "pass");
    expect(m, "passpassword", "pass***");
    expect(m, "passwordpassword", "******");
    expect(m, "", "");
    mrp_masker_free(&m);
}

static void test_overlaps(void **state)
{
    (void)state;
    struct mrp_masker *m = masker_of((const char *const[]){"abcdef", "efghij", "aaaa", NULL});
    expect(m, "xabcdefghijx", "x***x");
    expect(m, "aaaaaaa", "***");
    expect(m, "abcdeabcdef", "abcde***");
    mrp_masker_free(&m);
}

static void test_short_values(void **state)
{
    (void)state;
    struct mrp_masker *m = masker_of((const char *const[]){"abc", "", "\n\n", NULL});
    expect(m, "abc \n\n", "abc \n\n");
    mrp_masker_free(&m);
    m = masker_of((const char *const[]){"abcd", NULL});
    expect(m, "abcd", "***");
    mrp_masker_free(&m);
}

static void test_lines(void **state)
{
    (void)state;
    struct mrp_masker *m =
        masker_of((const char *const[]){"first-line-1\nshort\n  second-line-2\n", NULL});
    expect(m, "is first-line-1, short, second-line-2.", "is ***, short, ***.");
    expect(m, "<first-line-1\nshort\n  second-line-2>", "<***>");
    mrp_masker_free(&m);
}

/* A secret inside a longer base64 text, at each alignment, must leave nothing decodable. */
static void test_base64(void **state)
{
    (void)state;
    const char *secret = "Tr0ub4dor&3 ?~";
    struct mrp_masker *m = masker_of((const char *const[]){secret, NULL});
    static const char *const around[] = {"%s",    "a%s",       "ab%s",
                                         "abc%s", "user:%s\n", "{\"k\":\"%s\"}"};
    for (size_t i = 0; i < MRP_COUNT(around); i++) {
        mrp_auto(mrp_free_str) char *plain = NULL;
        struct mrp_buf text = MRP_BUF_INIT(200);
        const char *at = strstr(around[i], "%s");
        mrp_buf_add(&text, around[i], (size_t)(at - around[i]));
        mrp_buf_addf(&text, "%s%s", secret, at + 2);
        plain = mrp_buf_take(&text);
        mrp_auto(mrp_free_str) char *enc = mrp_base64(plain, strlen(plain));
        mrp_auto(mrp_free_str) char *got = feed(m, enc, strlen(enc) / 2);
        assert_non_null(strstr(got, "***"));
        /* at most four characters at either end of the secret may be left */
        assert_true(strlen(got) <= strlen(enc) - strlen(secret) * 4 / 3 + 3 + 5);
        for (char *p = enc; *p; p++)
            *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
        mrp_auto(mrp_free_str) char *url = feed(m, enc, 1);
        assert_non_null(strstr(url, "***"));
    }
    mrp_masker_free(&m);
}

static void test_wrapped_base64(void **state)
{
    (void)state;
    char secret[300];
    for (size_t i = 0; i < sizeof secret - 1; i++)
        secret[i] = (char)('!' + (i * 37) % 90);
    secret[sizeof secret - 1] = '\0';
    struct mrp_masker *m = masker_of((const char *const[]){secret, NULL});
    mrp_auto(mrp_free_str) char *enc = mrp_base64(secret, strlen(secret));
    struct mrp_buf wrapped = MRP_BUF_INIT(2000);
    for (size_t at = 0; at < strlen(enc); at += 76)
        mrp_buf_addf(&wrapped, "%.76s\n", enc + at);
    mrp_auto(mrp_free_str) char *got = feed(m, mrp_buf_str(&wrapped), 100);
    assert_true(strlen(got) < 40);
    mrp_buf_done(&wrapped);
    mrp_masker_free(&m);
}

/* The same in a longer text, broken at every place, with and without indentation. */
static void test_base64_broken_anywhere(void **state)
{
    (void)state;
    static const char secret[] = "correct horse battery staple";
    struct mrp_masker *m = masker_of((const char *const[]){secret, NULL});
    for (size_t before = 0; before < 3; before++) {
        mrp_auto(mrp_free_str) char *text = mrp_strf("%.*s%s!!", (int)before, "xyz", secret);
        mrp_auto(mrp_free_str) char *enc = mrp_base64(text, strlen(text));
        for (size_t cut = 1; cut < strlen(enc); cut++) {
            mrp_auto(mrp_free_str) char *broken =
                mrp_strf("%.*s%s%s\n", (int)cut, enc, cut % 2 ? "\n" : "\r\n    ", enc + cut);
            mrp_auto(mrp_free_str) char *got = feed(m, broken, cut / 2);
            assert_non_null(strstr(got, MRP_MASK));
            /* At its ends a few characters are left, and up to three before a break. */
            assert_true(strlen(got) < 30);
        }
    }
    /* Blanks without end are no line end. */
    struct mrp_buf flood = MRP_BUF_INIT(1 << 20);
    mrp_auto(mrp_free_str) char *enc = mrp_base64(secret, strlen(secret));
    mrp_buf_addf(&flood, "%.8s\n", enc);
    for (int i = 0; i < 100000; i++)
        mrp_buf_addc(&flood, ' ');
    mrp_auto(mrp_free_str) char *got = feed(m, mrp_buf_str(&flood), 50);
    assert_int_equal(strlen(got), flood.len);
    mrp_buf_done(&flood);
    mrp_masker_free(&m);
}

static void test_other_forms(void **state)
{
    (void)state;
    struct mrp_masker *m = masker_of((const char *const[]){"a/b c\"d'\n\\e", NULL});
    expect(m, "x=a%2Fb%20c%22d%27%0A%5Ce;", "x=***;");
    expect(m, "x=a%2fb%20c%22d%27%0a%5ce;", "x=***;");
    expect(m, "x=a/b%20c%22d%27%0A%5Ce;", "x=***;");
    expect(m, "x=a%2Fb+c%22d%27%0A%5Ce;", "x=***;");
    expect(m, "{\"k\":\"a/b c\\\"d'\\n\\\\e\"}", "{\"k\":\"***\"}");
    expect(m, "{\"k\":\"a\\/b c\\\"d'\\n\\\\e\"}", "{\"k\":\"***\"}");
    expect(m, "export X='a/b c\"d'\"'\"'\n\\e'", "export X='***'");
    mrp_masker_free(&m);
}

static void test_json(void **state)
{
    (void)state;
    struct mrp_masker *m = masker_of((const char *const[]){"topsecret", NULL});
    mrp_auto(mrp_free_json) json_t *j = json_pack("{s:s, s:[s, {s:s}], s:i}", "a", "x topsecret y",
                                                  "b", "topsecret", "topsecret", "v", "n", 7);
    assert_ptr_equal(mrp_mask_json(m, j), j);
    mrp_auto(mrp_free_str) char *text = mrp_json_text(j);
    assert_string_equal(text, "{\"a\":\"x *** y\",\"b\":[\"***\",{\"***\":\"v\"}],\"n\":7}");
    mrp_masker_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_overlaps),
        cmocka_unit_test(test_short_values),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_wrapped_base64),
        cmocka_unit_test(test_base64_broken_anywhere),
        cmocka_unit_test(test_other_forms),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
