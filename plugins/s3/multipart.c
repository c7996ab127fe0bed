/* Multipart upload: parts in parallel, completed in order, aborted whenever it does not end well.
 */
#include "object.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/xml.h>

#include <stdlib.h>
#include <string.h>

enum { COMPLETE_TRIES = 3, ABORT_TRIES = 3, ID_MAX = 2048 };

struct job {
    struct mrp_object *obj;
    const char *id; /* percent-encoded upload id */
    size_t index;
};

/* The root element's name and contents of an answer. */
static int parse(json_t **out, const struct mrp_http_response *resp, struct mrp_error *err)
{
    return mrp_xml_parse(out, mrp_buf_str(&resp->body), resp->body.len, "the answer of S3", err);
}

static int create(char **id, struct mrp_object *obj, struct mrp_error *err)
{
    mrp_auto(mrp_headers_done) struct mrp_headers h = {0};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    int rc = mrp_object_headers(&h, obj, err);
    if (rc)
        return rc;
    if (mrp_headers_add(&h, "x-amz-checksum-algorithm", "SHA256"))
        return mrp_fail(err, MRP_E_NOMEM, "headers of %s", obj->o->key);
    const struct mrp_http_header *list = mrp_object_list(&h, err);
    if (!list)
        return err->code;
    const struct mrp_s3_request req = {
        .method = "POST",
        .region = obj->region,
        .bucket = obj->o->bucket,
        .key = obj->o->key,
        .query = "uploads",
        .headers = list,
        .body = "",
        .flags = MRP_HTTP_IDEMPOTENT, /* a lost answer leaves an upload without parts, at no cost */
    };
    rc = mrp_s3_do(&resp, obj->aws, &req, err);
    if (rc == MRP_OK)
        rc = parse(&answer, &resp, err);
    if (rc)
        return mrp_object_explain(obj, "start the upload to", err);
    const char *text =
        mrp_json_str(mrp_json_obj(answer, "InitiateMultipartUploadResult"), "UploadId");
    if (!text || !*text || strlen(text) > ID_MAX)
        return mrp_fail(err, MRP_E_REMOTE, "S3 gave no upload id for s3://%s/%s in %s",
                        obj->o->bucket, obj->o->key, obj->region);
    *id = mrp_percent(text, strlen(text), false);
    return *id ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "upload id");
}

static int put_part(void *arg, struct mrp_error *err)
{
    const struct job *job = arg;
    struct mrp_object *obj = job->obj;
    struct mrp_object_part *part = &obj->parts[job->index];
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    mrp_auto(mrp_free_str) char *b64 = mrp_base64(part->sha256, sizeof part->sha256);
    mrp_auto(mrp_free_str) char *hex = mrp_hex(part->sha256, sizeof part->sha256);
    mrp_auto(mrp_free_str) char *query =
        mrp_strf("partNumber=%zu&uploadId=%s", job->index + 1, job->id);
    if (!b64 || !hex || !query)
        return mrp_fail(err, MRP_E_NOMEM, "part %zu", job->index + 1);

    struct mrp_object_range range = {.obj = obj, .start = part->offset, .size = part->size};
    struct mrp_http_source source = mrp_object_source(&range);
    const struct mrp_http_header headers[] = {
        {"x-amz-checksum-sha256", b64},
        {obj->o->bucket_owner ? "x-amz-expected-bucket-owner" : NULL, obj->o->bucket_owner},
        {NULL, NULL},
    };
    const struct mrp_s3_request req = {
        .method = "PUT",
        .region = obj->region,
        .bucket = obj->o->bucket,
        .key = obj->o->key,
        .query = query,
        .headers = headers,
        .source = &source,
        .payload_sha256 = hex,
    };
    int rc = mrp_s3_do(&resp, obj->aws, &req, err);
    if (rc) {
        mrp_wrap(err, "part %zu of %zu", job->index + 1, obj->part_count);
        return mrp_object_explain(obj, "upload to", err);
    }
    const char *etag = mrp_headers_get(&resp.headers, "etag");
    if (!etag || strlen(etag) > 200)
        return mrp_fail(err, MRP_E_REMOTE, "S3 gave no ETag for part %zu of s3://%s/%s in %s",
                        job->index + 1, obj->o->bucket, obj->o->key, obj->region);
    part->etag = mrp_strdup(etag);
    return part->etag ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "part %zu", job->index + 1);
}

static int
put_all(struct mrp_object *obj, struct mrp_http *http, const char *id, struct mrp_error *err)
{
    struct mrp_group *group = NULL;
    struct job *jobs = calloc(obj->part_count, sizeof *jobs);
    int rc = jobs ? mrp_group_new(&group, http, (unsigned)obj->o->parallel, err)
                  : mrp_fail(err, MRP_E_NOMEM, "parts of %s", obj->o->key);
    if (rc == MRP_OK)
        mrp_group_stop_on_error(group);
    for (size_t i = 0; rc == MRP_OK && i < obj->part_count; i++) {
        jobs[i] = (struct job){obj, id, i};
        rc = mrp_group_spawn(group, put_part, &jobs[i], err);
    }
    rc = mrp_group_finish(&group, rc, err);
    free(jobs);
    return rc;
}

static void xml_text(struct mrp_buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == '&')
            mrp_buf_adds(b, "&amp;");
        else if (*s == '<')
            mrp_buf_adds(b, "&lt;");
        else if (*s == '>')
            mrp_buf_adds(b, "&gt;");
        else if (*s == '"')
            mrp_buf_adds(b, "&quot;");
        else
            mrp_buf_addc(b, *s);
    }
}

static void complete_body(struct mrp_buf *b, const struct mrp_object *obj)
{
    mrp_buf_adds(b, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < obj->part_count; i++) {
        const struct mrp_object_part *part = &obj->parts[i];
        mrp_auto(mrp_free_str) char *b64 = mrp_base64(part->sha256, sizeof part->sha256);
        mrp_buf_addf(b, "<Part><ChecksumSHA256>%s</ChecksumSHA256><ETag>", b64 ? b64 : "");
        xml_text(b, part->etag ? part->etag : "");
        mrp_buf_addf(b, "</ETag><PartNumber>%zu</PartNumber></Part>", i + 1);
    }
    mrp_buf_adds(b, "</CompleteMultipartUpload>");
}

/* S3 sends "200 OK" early and may still say Error in the body; a cut body counts as one too. */
static int read_complete(struct mrp_object_state *out,
                         const struct mrp_object *obj,
                         const struct mrp_http_response *resp,
                         bool *again,
                         struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    if (parse(&answer, resp, err)) {
        *again = true;
        return mrp_object_explain(obj, "complete the upload to", err);
    }
    const json_t *error = mrp_json_obj(answer, "Error");
    const json_t *done = mrp_json_obj(answer, "CompleteMultipartUploadResult");
    if (error || !done) {
        const char *code = mrp_json_str(error, "Code");
        const char *words = mrp_json_str(error, "Message");
        *again = !code || strcmp(code, "InternalError") == 0 || strcmp(code, "SlowDown") == 0 ||
                 strcmp(code, "ServiceUnavailable") == 0;
        mrp_fail(err, MRP_E_REMOTE, "%s: %s", code ? code : "no result", words ? words : "");
        mrp_copy(err->api, sizeof err->api, code ? code : "");
        return mrp_object_explain(obj, "complete the upload to", err);
    }
    const char *etag = mrp_json_str(done, "ETag");
    const char *version = mrp_headers_get(&resp->headers, "x-amz-version-id");
    out->etag = mrp_strdup(etag ? etag : "");
    out->version = mrp_strdup(version ? version : "");
    out->exists = true;
    return MRP_OK;
}

static int complete_once(struct mrp_object_state *out,
                         struct mrp_object *obj,
                         const char *query,
                         const struct mrp_buf *body,
                         bool *again,
                         struct mrp_error *err)
{
    const struct mrp_http_header headers[] = {
        {"Content-Type", "application/xml"},
        {obj->o->existing != 0 ? "If-None-Match" : NULL, "*"},
        {NULL, NULL},
    };
    const struct mrp_s3_request req = {
        .method = "POST",
        .region = obj->region,
        .bucket = obj->o->bucket,
        .key = obj->o->key,
        .query = query,
        .headers = headers,
        .body = body->data,
        .body_len = body->len,
        .flags = MRP_HTTP_IDEMPOTENT,
    };
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    *again = false;
    int rc = mrp_s3_do(&resp, obj->aws, &req, err);
    if (rc == MRP_OK)
        return read_complete(out, obj, &resp, again, err);
    if (strcmp(err->api, "NoSuchUpload") == 0) {
        /* an earlier try may have done the work while its answer was lost */
        struct mrp_error ignored = {0};
        mrp_auto(mrp_object_state_done) struct mrp_object_state now = {0};
        if (mrp_object_look(&now, obj, true, &ignored) == MRP_OK && now.same) {
            *out = now;
            now = (struct mrp_object_state){0};
            return MRP_OK;
        }
    }
    return mrp_object_explain(obj, "complete the upload to", err);
}

static int complete(struct mrp_object_state *out,
                    struct mrp_object *obj,
                    struct mrp_http *http,
                    const char *id,
                    struct mrp_error *err)
{
    mrp_auto(mrp_buf_done) struct mrp_buf body = MRP_BUF_INIT(8u << 20);
    mrp_auto(mrp_free_str) char *query = mrp_strf("uploadId=%s", id);
    complete_body(&body, obj);
    int rc = mrp_buf_check(&body, "list of parts", err);
    if (rc || !query)
        return rc ? rc : mrp_fail(err, MRP_E_NOMEM, "upload id");
    bool again = true;
    for (int i = 0; i < COMPLETE_TRIES && again; i++) {
        if (i > 0) {
            mrp_log(obj->stage, MRP_DEBUG, "complete again: %s", err->msg);
            if (mrp_http_sleep(http, 100 << i, err))
                return err->code;
        }
        *err = (struct mrp_error){0};
        rc = complete_once(out, obj, query, &body, &again, err);
    }
    return rc;
}

/* Parts that were on their way may still land after an abort, so ask until S3 knows the upload no
 * more; also when the run is being stopped. */
static void abort_upload(struct mrp_object *obj, const char *id)
{
    mrp_auto(mrp_free_str) char *query = mrp_strf("uploadId=%s", id);
    struct mrp_error err = {0};
    int rc = query ? MRP_OK : MRP_E_NOMEM;
    for (int i = 0; rc == MRP_OK && i < ABORT_TRIES; i++) {
        mrp_auto(mrp_http_response_done) struct mrp_http_response gone = {0};
        mrp_auto(mrp_http_response_done) struct mrp_http_response parts = {0};
        struct mrp_s3_request req = {
            .method = "DELETE",
            .region = obj->region,
            .bucket = obj->o->bucket,
            .key = obj->o->key,
            .query = query,
            .flags = MRP_HTTP_CLEANUP,
        };
        rc = mrp_s3_do(&gone, obj->aws, &req, &err);
        if (rc == MRP_OK) {
            req.method = "GET"; /* ListParts */
            rc = mrp_s3_do(&parts, obj->aws, &req, &err);
        }
    }
    if (rc == MRP_E_NOTFOUND) {
        mrp_log(obj->stage, MRP_INFO, "the unfinished upload of %s was aborted", obj->o->key);
        return;
    }
    mrp_log(obj->stage, MRP_WARN,
            "the unfinished upload of s3://%s/%s could not be aborted (%s): its parts are billed "
            "until they are removed",
            obj->o->bucket, obj->o->key, err.msg);
}

int mrp_object_put_parts(struct mrp_object_state *out,
                         struct mrp_object *obj,
                         struct mrp_http *http,
                         struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *id = NULL;
    int rc = create(&id, obj, err);
    if (rc)
        return rc;
    rc = put_all(obj, http, id, err);
    if (rc == MRP_OK)
        rc = complete(out, obj, http, id, err);
    if (rc)
        abort_upload(obj, id);
    return rc;
}
