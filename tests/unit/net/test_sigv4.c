/* Signature Version 4 against the published vectors; CodeCommit passwords. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <mrpipe/auto.h>
#include <mrpipe/aws.h>
#include <mrpipe/digest.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdlib.h>
#include <string.h>

#define VECTORS "../../vectors/sigv4"

static char *read_part(const char *name, const char *part)
{
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *path = mrp_strf(VECTORS "/%s/%s", name, part);
    char *text = NULL;
    if (mrp_file_read(&text, NULL, path, 1 << 20, &err) != 0)
        fail_msg("%s", err.msg);
    return text;
}

/* Header lines up to an empty one; folded lines continue the value. Returns the body. */
static char *read_headers(struct mrp_headers *headers, char *text)
{
    while (*text && *text != '\n') {
        char *end = text + strcspn(text, "\n");
        while (*end && (end[1] == ' ' || end[1] == '\t')) {
            *end = ' ';
            end += strcspn(end, "\n");
        }
        char *next = *end ? end + 1 : end;
        *end = '\0';
        char *colon = strchr(text, ':');
        assert_non_null(colon);
        *colon = '\0';
        assert_int_equal(mrp_headers_add(headers, text, colon + 1), 0);
        text = next;
    }
    return *text ? text + 1 : text;
}

static void check_case(const char *name)
{
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *request = read_part(name, "request.txt");
    mrp_auto(mrp_free_str) char *context_text = read_part(name, "context.json");
    mrp_auto(mrp_free_str) char *canonical_text = read_part(name, "header-canonical-request.txt");
    mrp_auto(mrp_free_str) char *signature = read_part(name, "header-signature.txt");
    mrp_auto(mrp_free_json) json_t *context = NULL;
    assert_int_equal(mrp_json_parse(&context, context_text, strlen(context_text), name, &err), 0);

    char *line_end = request + strcspn(request, "\n");
    *line_end = '\0';
    char *method = request;
    char *target = strchr(request, ' ') + 1;
    target[-1] = '\0';
    *strrchr(target, ' ') = '\0'; /* " HTTP/1.1"; the target itself may hold blanks */
    struct mrp_headers headers = {0};
    char *body = read_headers(&headers, line_end + 1);

    const json_t *keys = mrp_json_obj(context, "credentials");
    struct mrp_credentials c = {
        .access_key = mrp_strdup(mrp_json_str(keys, "access_key_id")),
        .secret_key = mrp_strdup(mrp_json_str(keys, "secret_access_key")),
        .session_token = mrp_strdup(mrp_json_str(keys, "token")),
    };
    struct mrp_sigv4 how = {
        .credentials = &c,
        .region = mrp_json_str(context, "region"),
        .service = mrp_json_str(context, "service"),
        .s3 = !mrp_json_bool(context, "normalize", true),
        .token_after = mrp_json_bool(context, "omit_session_token", false),
    };
    assert_int_equal(mrp_parse_iso8601(&how.wall_ms, mrp_json_str(context, "timestamp")), 0);
    char digest[MRP_SHA256_HEX];
    mrp_sha256_hex(digest, body, strlen(body));
    if (mrp_json_bool(context, "sign_body", false))
        mrp_headers_set(&headers, "x-amz-content-sha256", digest);

    mrp_auto(mrp_free_str) char *url = mrp_strf("https://example.amazonaws.com%s", target);
    mrp_auto(mrp_free_str) char *canonical = NULL;
    int rc = mrp_sigv4_sign(&headers, &how, method, url, digest, &canonical, &err);
    if (rc != 0)
        fail_msg("%s: %s", name, err.msg);
    if (strcmp(canonical, canonical_text) != 0)
        fail_msg("%s: canonical request\n%s\nbut wanted\n%s", name, canonical, canonical_text);
    const char *authorization = mrp_headers_get(&headers, "Authorization");
    assert_non_null(strstr(authorization, signature));
    const char *token = mrp_headers_get(&headers, "X-Amz-Security-Token");
    assert_true(mrp_streq(token, c.session_token));
    mrp_headers_done(&headers);
    mrp_credentials_done(&c);
}

static void vectors(void **state)
{
    (void)state;
    mrp_auto(mrp_close_dir) DIR *dir = opendir(VECTORS);
    assert_non_null(dir);
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        check_case(entry->d_name);
        count++;
    }
    assert_int_equal(count, 38);
}

/* The last lines of a canonical request of S3, by hand. */
static void s3_paths_and_queries(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *path;
        const char *query;
    } cases[] = {
        {"https://b.s3.amazonaws.com/a//../b", "/a//../b", ""},
        {"https://b.s3.amazonaws.com/a%2Bb%20c", "/a%2Bb%20c", ""},
        {"https://b.s3.amazonaws.com/a+b@c:(d)", "/a%2Bb%40c%3A%28d%29", ""},
        {"https://b.s3.amazonaws.com/%e4", "/%E4", ""},
        {"https://b.s3.amazonaws.com?uploads", "/", "uploads="},
        {"https://b.s3.amazonaws.com/k?id-type=1&id=2", "/k", "id=2&id-type=1"},
        {"https://b.s3.amazonaws.com/?prefix=a/b&list-type=2", "/", "list-type=2&prefix=a%2Fb"},
        {"https://b.s3.amazonaws.com/?a=%2f&a=%2B&a=+", "/", "a=%2B&a=%2B&a=%2F"},
        {"https://b.s3.amazonaws.com/?x=a=b&&y", "/", "x=a%3Db&y="},
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        struct mrp_error err = {0};
        struct mrp_headers headers = {0};
        mrp_headers_add(&headers, "Host", "b.s3.amazonaws.com");
        mrp_headers_add(&headers, "User-Agent", "not signed");
        struct mrp_credentials c = {.access_key = mrp_strdup("AK"), .secret_key = mrp_strdup("SK")};
        struct mrp_sigv4 how = {
            .credentials = &c, .region = "us-east-1", .service = "s3", .s3 = true};
        mrp_auto(mrp_free_str) char *canonical = NULL;
        assert_int_equal(mrp_sigv4_sign(&headers, &how, "GET", cases[i].url, "UNSIGNED-PAYLOAD",
                                        &canonical, &err),
                         0);
        mrp_auto(mrp_free_str) char *wanted =
            mrp_strf("GET\n%s\n%s\nhost:b.s3.amazonaws.com\n", cases[i].path, cases[i].query);
        if (!mrp_starts(canonical, wanted))
            fail_msg("%s gave\n%s", cases[i].url, canonical);
        assert_null(strstr(canonical, "user-agent"));
        assert_true(mrp_ends(canonical, "\nUNSIGNED-PAYLOAD"));
        mrp_headers_done(&headers);
        mrp_credentials_done(&c);
    }
}

/* Other services: the path as sent is encoded once more. */
static void double_encoding(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    struct mrp_headers headers = {0};
    mrp_headers_add(&headers, "Host", "lambda.us-east-1.amazonaws.com");
    struct mrp_credentials c = {.access_key = mrp_strdup("AK"), .secret_key = mrp_strdup("SK")};
    struct mrp_sigv4 how = {.credentials = &c, .region = "us-east-1", .service = "lambda"};
    mrp_auto(mrp_free_str) char *canonical = NULL;
    assert_int_equal(mrp_sigv4_sign(&headers, &how, "GET",
                                    "https://lambda.us-east-1.amazonaws.com/f/arn%3Aaws/./x:y", "d",
                                    &canonical, &err),
                     0);
    assert_true(mrp_starts(canonical, "GET\n/f/arn%253Aaws/x%3Ay\n\n"));
    mrp_headers_done(&headers);
    mrp_credentials_done(&c);
}

static void codecommit(void **state)
{
    (void)state;
    static const struct {
        const char *host, *region, *key, *token, *user, *password;
    } cases[] = {
        {"git-codecommit.us-east-1.amazonaws.com", "us-east-1", "AKIDEXAMPLE", NULL, "AKIDEXAMPLE",
         "20260115T083000Z978578a14d7624805be9ca979e8eebcd7fca9dddb5da3a942c32eaf09702f294"},
        {"git-codecommit.eu-west-1.amazonaws.com:443", "eu-west-1", "ASIDEXAMPLE",
         "FwoGZX/IvYXdz+EXAMPLE==", "ASIDEXAMPLE%FwoGZX/IvYXdz+EXAMPLE==",
         "20260115T083000Zb5fd02051db8c4415bc52f8efa5f5b41e2fd15f7d3fbbec2ddd7dc20229859b5"},
    };
    int64_t when = 0;
    assert_int_equal(mrp_parse_iso8601(&when, "2026-01-15T08:30:00Z"), 0);
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        struct mrp_error err = {0};
        struct mrp_credentials c = {
            .access_key = mrp_strdup(cases[i].key),
            .secret_key = mrp_strdup("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            .session_token = mrp_strdup(cases[i].token),
        };
        mrp_auto(mrp_free_str) char *user = NULL;
        mrp_auto(mrp_free_str) char *password = NULL;
        assert_int_equal(mrp_codecommit_password(&user, &password, &c, cases[i].region,
                                                 cases[i].host, "/v1/repos/my-repo", when, &err),
                         0);
        assert_string_equal(user, cases[i].user);
        assert_string_equal(password, cases[i].password);
        mrp_credentials_done(&c);
    }
}

static void digests(void **state)
{
    (void)state;
    char hex[MRP_SHA256_HEX];
    mrp_sha256_hex(hex, "abc", 3);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    mrp_auto(mrp_sha256_free) struct mrp_sha256 *h = mrp_sha256_new();
    for (int round = 0; round < 2; round++) {
        mrp_sha256_add(h, "a", 1);
        mrp_sha256_add(h, "bc", 2);
        char again[MRP_SHA256_HEX];
        mrp_sha256_end_hex(h, again);
        assert_string_equal(hex, again);
        mrp_sha256_reset(h);
    }
    unsigned char sum[MRP_SHA256_BYTES];
    mrp_hmac_sha256(sum, "Jefe", 4, "what do ya want for nothing?", 28);
    mrp_auto(mrp_free_str) char *text = mrp_hex(sum, sizeof sum);
    assert_string_equal(text, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    mrp_md5(sum, "abc", 3);
    mrp_auto(mrp_free_str) char *md5 = mrp_hex(sum, 16);
    assert_string_equal(md5, "900150983cd24fb0d6963f7d28e17f72");
    assert_true(mrp_random() != mrp_random());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),         cmocka_unit_test(s3_paths_and_queries),
        cmocka_unit_test(double_encoding), cmocka_unit_test(codecommit),
        cmocka_unit_test(digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
