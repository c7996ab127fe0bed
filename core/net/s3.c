/* S3's REST interface: addressing, payload hashes, buckets of other regions, errors inside of a
 * 200. */
#include "aws_sign.h"
#include "call.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EXPECT_ABOVE ((int64_t)1 << 20)
#define INNER_TRIES 4

static void credentials_done(struct mrp_credentials *c)
{
    mrp_credentials_done(c);
}

/* A name that a TLS wildcard covers. */
static bool is_host_label(const char *bucket)
{
    return bucket[strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0' &&
           strlen(bucket) <= 63;
}

static int make_url(char **out,
                    struct mrp_aws *aws,
                    const struct mrp_s3_request *req,
                    const char *region,
                    struct mrp_error *err)
{
    const struct aws_service *s3 = aws_service_find("s3");
    mrp_auto(mrp_free_str) char *base = NULL;
    bool mapped = false;
    int rc = endpoint_find(&base, &mapped, aws, s3, region, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_str) char *key =
        mrp_percent(req->key ? req->key : "", req->key ? strlen(req->key) : 0, true);
    mrp_auto(mrp_free_str) char *bucket = mrp_percent(req->bucket, strlen(req->bucket), false);
    const char *mark = req->query && *req->query ? "?" : "";
    const char *query = req->query ? req->query : "";
    if (!key || !bucket)
        return mrp_fail(err, MRP_E_NOMEM, "ask S3");
    char *host = strstr(base, "://") + 3;
    char *url = mapped || !is_host_label(req->bucket)
                    ? mrp_strf("%s/%s%s%s%s%s", base, bucket, req->key ? "/" : "", key, mark, query)
                    : mrp_strf("https://%s.%s/%s%s%s", bucket, host, key, mark, query);
    if (!url)
        return mrp_fail(err, MRP_E_NOMEM, "ask S3");
    *out = url;
    return 0;
}

static const char *known_region(const struct mrp_aws *aws, const struct mrp_s3_request *req)
{
    const char *region = mrp_json_str(aws->buckets, req->bucket);
    return region ? region : req->region;
}

/* The region that an answer names for the bucket, if it is another one. Owned; NULL: none. */
static char *other_region(const struct mrp_http_response *resp, const char *asked)
{
    if (resp->status != 301 && resp->status != 307 && resp->status != 400 && resp->status != 403)
        return NULL;
    const char *named = mrp_headers_get(&resp->headers, "x-amz-bucket-region");
    mrp_auto(mrp_free_str) char *region = mrp_strdup(named);
    const char *text = mrp_buf_str(&resp->body);
    const char *from = region ? NULL : strstr(text, "<Region>");
    if (from)
        region = mrp_strndup(from + 8, strcspn(from + 8, "<"));
    if (!region || !mrp_aws_is_region(region) || strcmp(region, asked) == 0)
        return NULL;
    return mrp_take_str(&region);
}

static void free_list(struct mrp_http_header **list)
{
    free(*list);
}

/* The caller's fields, borrowed. Until the bucket is known to be here, a redirect should come
 * before the body goes out. */
static struct mrp_http_header *list_headers(const struct mrp_aws *aws,
                                            const struct mrp_s3_request *req)
{
    size_t n = 0;
    while (req->headers && req->headers[n].name)
        n++;
    struct mrp_http_header *list = calloc(n + 2, sizeof *list);
    if (!list)
        return NULL;
    for (size_t i = 0; i < n; i++)
        list[i] = req->headers[i];
    int64_t length = req->source ? req->source->length : (int64_t)req->body_len;
    if (length > EXPECT_ABOVE && !mrp_json_str(aws->buckets, req->bucket))
        list[n] = (struct mrp_http_header){"Expect", "100-continue"};
    return list;
}

static int send_once(struct mrp_http_response *resp,
                     struct mrp_aws *aws,
                     const struct mrp_s3_request *req,
                     const char *region,
                     const char *what,
                     struct mrp_error *err)
{
    mrp_auto(credentials_done) struct mrp_credentials c = {0};
    mrp_auto(mrp_free_str) char *url = NULL;
    int rc = mrp_aws_credentials(&c, aws, err);
    if (rc == 0)
        rc = make_url(&url, aws, req, region, err);
    if (rc)
        return rc;
    struct aws_signing signing = {
        .aws = aws,
        .credentials = &c,
        .service = "s3",
        .region = region,
        .method = req->method,
        .url = url,
        .s3 = true,
    };
    if (req->payload_sha256)
        mrp_copy(signing.payload, sizeof signing.payload, req->payload_sha256);
    else if (req->source)
        mrp_copy(signing.payload, sizeof signing.payload, "UNSIGNED-PAYLOAD");
    else
        mrp_sha256_hex(signing.payload, req->body, req->body ? req->body_len : 0);

    mrp_auto(free_list) struct mrp_http_header *headers = list_headers(aws, req);
    if (!headers)
        return mrp_fail(err, MRP_E_NOMEM, "%s", what);
    mrp_auto(mrp_free_str) char *api = mrp_strf("s3:%s", req->method);
    struct mrp_http_request http = {
        .method = req->method,
        .url = url,
        .headers = headers,
        .body = req->body,
        .body_len = req->body_len,
        .source = req->source,
        .sink = req->sink,
        .max_body = (size_t)64 << 20,
        .flags = req->flags | MRP_HTTP_IDEMPOTENT | MRP_HTTP_NO_REDIRECT,
        .stall_ms = req->stall_ms,
        .api = api,
        .what = what,
        .prepare = aws_sign,
        .prepare_arg = &signing,
    };
    return mrp_http_do(resp, aws->http, &http, err);
}

/* CopyObject and CompleteMultipartUpload answer 200 early and may put an error into the body. */
static bool hides_error(const struct mrp_http_response *resp, const struct mrp_s3_request *req)
{
    if (resp->status != 200 || req->sink || strcmp(req->method, "GET") == 0)
        return false;
    const char *text = mrp_buf_str(&resp->body);
    const char *root = strstr(text, "?>");
    root = root ? root + 2 : text;
    root += strspn(root, " \t\r\n");
    return strncmp(root, "<Error>", 7) == 0;
}

static bool can_resend(const struct mrp_s3_request *req)
{
    if (!req->source)
        return true;
    return req->source->rewind && req->source->rewind(req->source->arg) == 0;
}

/* What to do about an answer: 1 send again, 0 done, negative code. */
static int judge(struct mrp_aws *aws,
                 const struct mrp_http_response *resp,
                 const struct mrp_s3_request *req,
                 const char *region,
                 const char *what,
                 unsigned *tries,
                 struct mrp_error *err)
{
    if (hides_error(resp, req)) {
        struct mrp_http_response copy = *resp;
        copy.status = 500;
        int rc = aws_answer_error(&copy, what, err);
        bool passing = mrp_streq(err->api, "InternalError") || mrp_streq(err->api, "SlowDown") ||
                       mrp_streq(err->api, "ServiceUnavailable");
        if (!passing || ++*tries > INNER_TRIES || !can_resend(req))
            return rc;
        rc = mrp_http_sleep(aws->http, (int64_t)(mrp_random() % (UINT64_C(400) << *tries)), err);
        return rc ? rc : 1;
    }
    if (resp->status < 300) {
        if (!mrp_json_str(aws->buckets, req->bucket))
            mrp_json_puts(aws->buckets, req->bucket, region);
        return 0;
    }
    int rc = aws_answer_error(resp, what, err);
    if (++*tries > 2)
        return rc;
    mrp_auto(mrp_free_str) char *other = other_region(resp, region);
    if (other && can_resend(req)) {
        mrp_json_puts(aws->buckets, req->bucket, other);
        return 1;
    }
    if (aws_is_skewed(err) && can_resend(req)) {
        aws_learn_skew(aws, resp);
        return 1;
    }
    return rc;
}

int mrp_s3_do(struct mrp_http_response *resp,
              struct mrp_aws *aws,
              const struct mrp_s3_request *req,
              struct mrp_error *err)
{
    struct mrp_error own = {0};
    struct mrp_error *e = err ? err : &own;
    unsigned tries = 0;
    for (;;) {
        mrp_auto(mrp_free_str) char *region = mrp_strdup(known_region(aws, req));
        mrp_auto(mrp_free_str) char *what =
            mrp_strf("S3 %s %s%s%s in %s", req->method, req->bucket, req->key ? "/" : "",
                     req->key ? req->key : "", region ? region : "");
        if (!region || !what)
            return mrp_fail(e, MRP_E_NOMEM, "ask S3");
        int rc = send_once(resp, aws, req, region, what, e);
        if (rc)
            return rc;
        rc = judge(aws, resp, req, region, what, &tries, e);
        if (rc <= 0)
            return rc;
        mrp_http_response_done(resp);
        *e = (struct mrp_error){0};
    }
}
