/* S3 requests: addressing, hashes, buckets of other regions, errors inside of a 200. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server.h"

#include <mrpipe/auto.h>
#include <mrpipe/aws.h>
#include <mrpipe/digest.h>
#include <mrpipe/text.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct server *server;
static struct mrp_http *http;
static struct mrp_aws *aws;
static struct mrp_error err;
static struct mrp_http_response resp;
static atomic_uint count;
static char last_head[8192];

static const char inner_error[] =
    "<?xml version=\"1.0\"?>\n  <Error><Code>InternalError</Code><Message>try "
    "again</Message></Error>";

static void handle(void *arg, struct hit *hit)
{
    (void)arg;
    unsigned n = atomic_fetch_add(&count, 1);
    snprintf(last_head, sizeof last_head, "%.8000s", hit->head);
    char auth[512] = "";
    hit_header(hit, "Authorization", auth, sizeof auth);
    const char *path = hit->target;
    if (mrp_starts(path, "/east/") && !strstr(auth, "/us-east-2/s3/"))
        answer(hit, 301, "x-amz-bucket-region: us-east-2\r\n",
               "<Error><Code>PermanentRedirect</Code></Error>");
    else if (mrp_starts(path, "/south/") && !strstr(auth, "/af-south-1/s3/"))
        answer(
            hit, 400, "",
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>af-south-1</Region></Error>");
    else if (mrp_starts(path, "/lost/"))
        answer(hit, 301, "x-amz-bucket-region: us-east-9\r\n",
               "<Error><Code>PermanentRedirect</Code></Error>");
    else if (strstr(path, "uploadId=late"))
        answer(hit, 200, "", n < 2 ? inner_error : "<CompleteMultipartUploadResult/>");
    else if (strstr(path, "uploadId=gone"))
        answer(hit, 200, "", "<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>");
    else if (mrp_ends(path, "/none"))
        answer(hit, 404, "x-amz-request-id: R1\r\n",
               "<Error><Code>NoSuchKey</Code><Message>no key</Message></Error>");
    else if (mrp_ends(path, "/match"))
        answer(hit, 412, "", "<Error><Code>PreconditionFailed</Code></Error>");
    else
        answer(hit, 200, "ETag: \"x\"\r\n", "content");
}

static char header[1024];
static const char *sent(const char *name)
{
    struct hit *hit = calloc(1, sizeof *hit);
    snprintf(hit->head, sizeof hit->head, "%s", last_head);
    const char *value = hit_header(hit, name, header, sizeof header);
    free(hit);
    return value;
}

static int go(struct mrp_s3_request req)
{
    mrp_http_response_done(&resp);
    err = (struct mrp_error){0};
    atomic_store(&count, 0);
    if (!req.region)
        req.region = "us-west-2";
    return mrp_s3_do(&resp, aws, &req, &err);
}

static void objects(void **state)
{
    (void)state;
    assert_int_equal(go((struct mrp_s3_request){.method = "GET", .bucket = "b", .key = "a b/ü+x"}),
                     0);
    assert_true(mrp_starts(last_head, "GET /b/a%20b/%C3%BC%2Bx HTTP"));
    assert_string_equal(mrp_buf_str(&resp.body), "content");
    assert_string_equal(sent("x-amz-content-sha256"),
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_non_null(strstr(sent("Authorization"), "/us-west-2/s3/aws4_request"));
    const struct mrp_http_header fields[] = {{"x-amz-meta-a", "1"}, {NULL, NULL}};
    assert_int_equal(go((struct mrp_s3_request){.method = "PUT",
                                                .bucket = "b",
                                                .key = "k",
                                                .headers = fields,
                                                .body = "abc",
                                                .body_len = 3}),
                     0);
    assert_string_equal(sent("x-amz-content-sha256"),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_non_null(strstr(sent("Authorization"), ";x-amz-meta-a,"));
    assert_int_equal(go((struct mrp_s3_request){
                         .method = "POST", .bucket = "b", .key = "k", .query = "uploads"}),
                     0);
    assert_true(mrp_starts(last_head, "POST /b/k?uploads HTTP"));
    assert_int_equal(
        go((struct mrp_s3_request){.method = "GET", .bucket = "b", .query = "list-type=2"}), 0);
    assert_true(mrp_starts(last_head, "GET /b?list-type=2 HTTP"));
}

static void other_regions(void **state)
{
    (void)state;
    assert_int_equal(go((struct mrp_s3_request){.method = "GET", .bucket = "east", .key = "k"}), 0);
    assert_int_equal(atomic_load(&count), 2);
    assert_int_equal(go((struct mrp_s3_request){.method = "GET", .bucket = "east", .key = "k"}), 0);
    assert_int_equal(atomic_load(&count), 1); /* remembered */
    assert_int_equal(
        go((struct mrp_s3_request){
            .method = "PUT", .bucket = "south", .key = "k", .body = "x", .body_len = 1}),
        0);
    assert_int_equal(atomic_load(&count), 2);
    assert_int_not_equal(go((struct mrp_s3_request){.method = "GET", .bucket = "lost", .key = "k"}),
                         0);
    assert_in_range(atomic_load(&count), 1, 3);
}

static void errors(void **state)
{
    (void)state;
    assert_int_equal(go((struct mrp_s3_request){.method = "GET", .bucket = "b", .key = "none"}),
                     MRP_E_NOTFOUND);
    assert_string_equal(err.api, "NoSuchKey");
    assert_string_equal(err.msg, "S3 GET b/none in us-west-2: NoSuchKey: no key");
    assert_int_equal(go((struct mrp_s3_request){.method = "HEAD", .bucket = "b", .key = "none"}),
                     MRP_E_NOTFOUND);
    assert_non_null(strstr(err.msg, "request R1"));
    assert_int_equal(go((struct mrp_s3_request){.method = "PUT", .bucket = "b", .key = "match"}),
                     MRP_E_CONFLICT);
}

static void hidden_errors(void **state)
{
    (void)state;
    assert_int_equal(go((struct mrp_s3_request){.method = "POST",
                                                .bucket = "b",
                                                .key = "k",
                                                .query = "uploadId=late",
                                                .body = "<x/>",
                                                .body_len = 4}),
                     0);
    assert_int_equal(atomic_load(&count), 3);
    assert_int_equal(go((struct mrp_s3_request){
                         .method = "POST", .bucket = "b", .key = "k", .query = "uploadId=gone"}),
                     MRP_E_NOTFOUND);
    assert_int_equal(atomic_load(&count), 1);
}

struct bytes {
    size_t at;
    size_t end;
};

static long produce(void *arg, char *buf, size_t len)
{
    struct bytes *b = arg;
    size_t n = b->end - b->at < len ? b->end - b->at : len;
    memset(buf, 'x', n);
    b->at += n;
    return (long)n;
}

static int again(void *arg)
{
    struct bytes *b = arg;
    b->at = 0;
    return 0;
}

static void streams(void **state)
{
    (void)state;
    struct bytes b = {.end = 3 << 20};
    struct mrp_http_source source = {
        .read = produce, .rewind = again, .arg = &b, .length = 3 << 20};
    /* a bucket not seen before: the head goes first */
    assert_int_equal(go((struct mrp_s3_request){
                         .method = "PUT", .bucket = "new", .key = "k", .source = &source}),
                     0);
    assert_string_equal(sent("Expect"), "100-continue");
    assert_string_equal(sent("x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
    assert_string_equal(sent("Content-Length"), "3145728");
    b.at = 0;
    assert_int_equal(go((struct mrp_s3_request){.method = "PUT",
                                                .bucket = "new",
                                                .key = "k",
                                                .source = &source,
                                                .payload_sha256 = "abc"}),
                     0);
    assert_null(sent("Expect"));
    assert_string_equal(sent("x-amz-content-sha256"), "abc");
}

static int start_all(void **state)
{
    (void)state;
    server = server_start(handle, NULL);
    setenv("AWS_ENDPOINT_URL_S3", server_url(server), 1);
    setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    unsetenv("AWS_SESSION_TOKEN");
    if (mrp_http_new(&http, NULL, &err) != 0)
        return -1;
    return mrp_aws_new(&aws, http, NULL, &err);
}

static int stop_all(void **state)
{
    (void)state;
    mrp_http_response_done(&resp);
    mrp_aws_free(&aws);
    mrp_http_free(&http);
    server_stop(server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects),       cmocka_unit_test(other_regions), cmocka_unit_test(errors),
        cmocka_unit_test(hidden_errors), cmocka_unit_test(streams),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
