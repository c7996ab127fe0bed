/* One file and one object: hashing, HEAD and comparison, headers, the single PUT. */
#include "object.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_PARTS = 10000, MIB = 1 << 20, ETAG_MAX = 256 };

uint64_t mrp_object_part_size(uint64_t size, uint64_t part_size)
{
    uint64_t least = (size + MAX_PARTS - 1) / MAX_PARTS;
    least = (least + MIB - 1) / MIB * MIB;
    return part_size > least ? part_size : least;
}

static int hash_part(struct mrp_object *obj,
                     struct mrp_object_part *part,
                     struct mrp_sha256 *whole,
                     char *buf,
                     size_t cap,
                     struct mrp_error *err)
{
    mrp_auto(mrp_sha256_free) struct mrp_sha256 *h = mrp_sha256_new();
    if (!h)
        return mrp_fail(err, MRP_E_NOMEM, "digest of %s", obj->path);
    for (uint64_t at = 0; at < part->size;) {
        uint64_t left = part->size - at;
        ssize_t n =
            pread(obj->fd, buf, left < cap ? (size_t)left : cap, (off_t)(part->offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mrp_fail_errno(err, "read %s", obj->path);
        if (n == 0)
            return mrp_fail(err, MRP_E_IO, "%s became shorter while it was read", obj->path);
        mrp_sha256_add(h, buf, (size_t)n);
        if (whole)
            mrp_sha256_add(whole, buf, (size_t)n);
        at += (uint64_t)n;
    }
    mrp_sha256_end(h, part->sha256);
    return MRP_OK;
}

static int hash_all(struct mrp_object *obj, struct mrp_error *err)
{
    enum { CHUNK = 1 << 18 };
    mrp_auto(mrp_sha256_free) struct mrp_sha256 *whole = obj->multipart ? mrp_sha256_new() : NULL;
    mrp_auto(mrp_free_str) char *buf = malloc(CHUNK);
    if (!buf || (obj->multipart && !whole))
        return mrp_fail(err, MRP_E_NOMEM, "digest of %s", obj->path);
    for (size_t i = 0; i < obj->part_count; i++) {
        if (mrp_stage_cancelled(obj->stage))
            return mrp_fail(err, MRP_E_CANCELLED, "the upload was stopped");
        int rc = hash_part(obj, &obj->parts[i], whole, buf, CHUNK, err);
        if (rc)
            return rc;
    }
    if (whole)
        mrp_sha256_end(whole, obj->sha256);
    else
        memcpy(obj->sha256, obj->parts[0].sha256, sizeof obj->sha256);
    mrp_auto(mrp_free_str) char *hex = mrp_hex(obj->sha256, sizeof obj->sha256);
    if (!hex)
        return mrp_fail(err, MRP_E_NOMEM, "digest of %s", obj->path);
    mrp_copy(obj->sha256_hex, sizeof obj->sha256_hex, hex);
    return MRP_OK;
}

int mrp_object_open(struct mrp_object *obj, struct mrp_error *err)
{
    const struct mrp_upload *o = obj->o;
    struct stat st;
    int rc = mrp_stage_path(&obj->path, obj->stage, o->file, err);
    if (rc)
        return rc;
    obj->fd = open(obj->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (obj->fd < 0 && errno == ENOENT) {
        mrp_fail(err, MRP_E_ARTIFACT, "%s is not there", o->file);
        return mrp_hint(err, "does an earlier stage or phase make it? Paths are relative to %.120s",
                        mrp_stage_workdir(obj->stage));
    }
    if (obj->fd < 0 || fstat(obj->fd, &st) != 0)
        return mrp_fail_errno(err, "open %s", obj->path);
    if (!S_ISREG(st.st_mode))
        return mrp_fail(err, MRP_E_ARTIFACT, "%s is not a regular file", o->file);
    obj->size = (uint64_t)st.st_size;
    obj->multipart = obj->size >= o->multipart_from && obj->size > 0;
    uint64_t step = obj->multipart ? mrp_object_part_size(obj->size, o->part_size) : obj->size;
    obj->part_count = step ? (size_t)((obj->size + step - 1) / step) : 1;
    obj->parts = calloc(obj->part_count, sizeof *obj->parts);
    if (!obj->parts)
        return mrp_fail(err, MRP_E_NOMEM, "parts of %s", obj->path);
    for (size_t i = 0; i < obj->part_count; i++) {
        uint64_t left = obj->size - i * step;
        obj->parts[i].offset = i * step;
        obj->parts[i].size = left < step ? left : step;
    }
    return hash_all(obj, err);
}

void mrp_object_done(struct mrp_object *obj)
{
    for (size_t i = 0; obj->parts && i < obj->part_count; i++)
        free(obj->parts[i].etag);
    free(obj->parts);
    free(obj->path);
    mrp_close_fd(&obj->fd);
    obj->parts = NULL;
    obj->path = NULL;
}

void mrp_object_state_done(struct mrp_object_state *s)
{
    free(s->etag);
    free(s->version);
    free(s->differs);
    *s = (struct mrp_object_state){0};
}

static const char *default_type(const char *path)
{
    static const struct {
        const char *ending, *type;
    } types[] = {
        {".zip", "application/zip"},  {".json", "application/json"}, {".gz", "application/gzip"},
        {".tgz", "application/gzip"}, {".yml", "application/yaml"},  {".yaml", "application/yaml"},
        {".html", "text/html"},       {".txt", "text/plain"},        {".css", "text/css"},
        {".js", "text/javascript"},
    };
    for (size_t i = 0; i < MRP_COUNT(types); i++)
        if (mrp_ends(path, types[i].ending))
            return types[i].type;
    return "application/octet-stream";
}

static int add_tags(struct mrp_headers *h, const json_t *tags)
{
    struct mrp_buf b = MRP_BUF_INIT(8192);
    const char *key;
    const json_t *value;
    void *it = json_object_iter((json_t *)(uintptr_t)tags);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)tags, it)) {
        key = json_object_iter_key(it);
        value = json_object_iter_value(it);
        const char *text = json_is_string(value) ? json_string_value(value) : "";
        mrp_auto(mrp_free_str) char *k = mrp_percent(key, strlen(key), false);
        mrp_auto(mrp_free_str) char *v = mrp_percent(text, strlen(text), false);
        mrp_buf_addf(&b, "%s%s=%s", b.len ? "&" : "", k ? k : "", v ? v : "");
    }
    int rc = b.failed ? MRP_E_NOMEM : mrp_headers_add(h, "x-amz-tagging", mrp_buf_str(&b));
    mrp_buf_done(&b);
    return rc;
}

int mrp_object_headers(struct mrp_headers *h, const struct mrp_object *obj, struct mrp_error *err)
{
    static const char *const acls[] = {NULL,
                                       "private",
                                       "bucket-owner-full-control",
                                       "public-read",
                                       "authenticated-read",
                                       "aws-exec-read",
                                       "bucket-owner-read"};
    const struct mrp_upload *o = obj->o;
    const struct {
        const char *name, *value;
    } list[] = {
        {"Content-Type", o->content_type ? o->content_type : default_type(obj->path)},
        {"Cache-Control", o->cache_control},
        {"x-amz-meta-sha256", obj->sha256_hex},
        {"x-amz-acl", o->acl > 0 && o->acl < (int)MRP_COUNT(acls) ? acls[o->acl] : NULL},
        {"x-amz-server-side-encryption", o->kms_key ? "aws:kms" : NULL},
        {"x-amz-server-side-encryption-aws-kms-key-id",
         o->kms_key && strcmp(o->kms_key, "aws/s3") != 0 ? o->kms_key : NULL},
        {"x-amz-storage-class", o->storage_class},
        {"x-amz-expected-bucket-owner", o->bucket_owner},
    };
    int rc = MRP_OK;
    for (size_t i = 0; rc == MRP_OK && i < MRP_COUNT(list); i++)
        if (list[i].value)
            rc = mrp_headers_add(h, list[i].name, list[i].value);

    void *it = o->metadata ? json_object_iter(o->metadata) : NULL;
    for (; rc == MRP_OK && it; it = json_object_iter_next(o->metadata, it)) {
        const char *text = json_string_value(json_object_iter_value(it));
        mrp_auto(mrp_free_str) char *name = mrp_strf("x-amz-meta-%s", json_object_iter_key(it));
        rc = name ? mrp_headers_set(h, name, text ? text : "") : MRP_E_NOMEM;
    }
    if (rc == MRP_OK && json_object_size(o->tags) > 0)
        rc = add_tags(h, o->tags);
    return rc ? mrp_fail(err, rc, "headers of s3://%s/%s", o->bucket, o->key) : MRP_OK;
}

const struct mrp_http_header *mrp_object_list(struct mrp_headers *h, struct mrp_error *err)
{
    struct mrp_http_header *list = realloc(h->list, (h->count + 1) * sizeof *list);
    if (!list) {
        mrp_fail(err, MRP_E_NOMEM, "headers");
        return NULL;
    }
    h->list = list;
    h->list[h->count] = (struct mrp_http_header){NULL, NULL};
    return h->list;
}

static enum mrp_code hint_bucket(const struct mrp_object *obj, struct mrp_error *err)
{
    const char *where = obj->region;
    if (strcmp(where, "us-east-1") == 0)
        return mrp_hint(err, "create it: aws s3api create-bucket --bucket %s --region us-east-1",
                        obj->o->bucket);
    return mrp_hint(err,
                    "create it: aws s3api create-bucket --bucket %s --region %s "
                    "--create-bucket-configuration LocationConstraint=%s",
                    obj->o->bucket, where, where);
}

int mrp_object_explain(const struct mrp_object *obj, const char *what, struct mrp_error *err)
{
    mrp_wrap(err, "%s s3://%s/%s in %s", what, obj->o->bucket, obj->o->key, obj->region);
    if (strcmp(err->api, "NoSuchBucket") == 0)
        hint_bucket(obj, err);
    else if (strcmp(err->api, "AccessControlListNotSupported") == 0)
        mrp_hint(err, "the bucket has ACLs disabled: leave `acl` out");
    else if (strcmp(err->api, "AccessDenied") == 0 && !err->hint[0])
        mrp_hint(err, "the role needs s3:PutObject on arn:%s:s3:::%s/%s%s",
                 mrp_aws_partition(obj->region), obj->o->bucket, obj->o->key,
                 obj->o->kms_key ? " and kms:GenerateDataKey on the key" : "");
    return err->code;
}

static bool
differs(struct mrp_object_state *s, const char *what, const char *want, const char *have)
{
    if (!want || (have && strcmp(want, have) == 0))
        return false;
    free(s->differs);
    s->differs = mrp_strdup(what);
    return true;
}

/* A KMS key may be given as id, alias or ARN; S3 always answers with the key's ARN. */
static bool kms_differs(const struct mrp_upload *o, const struct mrp_headers *h)
{
    const char *have = mrp_headers_get(h, "x-amz-server-side-encryption-aws-kms-key-id");
    const char *kind = mrp_headers_get(h, "x-amz-server-side-encryption");
    if (!o->kms_key)
        return false;
    if (!kind || strncmp(kind, "aws:kms", 7) != 0)
        return true;
    if (strcmp(o->kms_key, "aws/s3") == 0 || strstr(o->kms_key, "alias/"))
        return false; /* an alias cannot be compared with the ARN */
    return have && !mrp_ends(have, o->kms_key);
}

static void
compare(struct mrp_object_state *s, const struct mrp_object *obj, const struct mrp_headers *h)
{
    const struct mrp_upload *o = obj->o;
    mrp_auto(mrp_free_str) char *b64 = mrp_base64(obj->sha256, sizeof obj->sha256);
    const char *meta = mrp_headers_get(h, "x-amz-meta-sha256");
    const char *sum = mrp_headers_get(h, "x-amz-checksum-sha256");
    const char *length = mrp_headers_get(h, "content-length");
    uint64_t size = UINT64_MAX;
    if (length)
        (void)mrp_parse_uint(&size, length, strlen(length), UINT64_MAX);
    bool bytes = size == obj->size && (meta ? strcasecmp(meta, obj->sha256_hex) == 0
                                            : sum && b64 && strcmp(sum, b64) == 0);
    if (!bytes) {
        differs(s, "content", "", NULL);
        return;
    }
    if (differs(s, "content-type", o->content_type, mrp_headers_get(h, "content-type")) ||
        differs(s, "cache-control", o->cache_control, mrp_headers_get(h, "cache-control")) ||
        (kms_differs(o, h) && differs(s, "encryption key", "", NULL)))
        return;
    const char *have = mrp_headers_get(h, "x-amz-storage-class");
    if (differs(s, "storage class", o->storage_class, have ? have : "STANDARD"))
        return;
    void *it = o->metadata ? json_object_iter(o->metadata) : NULL;
    for (; it; it = json_object_iter_next(o->metadata, it)) {
        mrp_auto(mrp_free_str) char *name = mrp_strf("x-amz-meta-%s", json_object_iter_key(it));
        const char *want = json_string_value(json_object_iter_value(it));
        if (name && differs(s, "metadata", want, mrp_headers_get(h, name)))
            return;
    }
    s->same = true;
}

static void keep(struct mrp_object_state *s, const struct mrp_headers *h)
{
    const char *etag = mrp_headers_get(h, "etag");
    const char *version = mrp_headers_get(h, "x-amz-version-id");
    free(s->etag);
    free(s->version);
    s->etag = mrp_strndup(etag ? etag : "", etag ? strnlen(etag, ETAG_MAX) : 0);
    s->version = mrp_strdup(version ? version : "");
}

int mrp_object_look(struct mrp_object_state *out,
                    struct mrp_object *obj,
                    bool strict,
                    struct mrp_error *err)
{
    const struct mrp_http_header headers[] = {
        {"x-amz-checksum-mode", "ENABLED"},
        {obj->o->bucket_owner ? "x-amz-expected-bucket-owner" : NULL, obj->o->bucket_owner},
        {NULL, NULL},
    };
    const struct mrp_s3_request req = {
        .method = "HEAD",
        .region = obj->region,
        .bucket = obj->o->bucket,
        .key = obj->o->key,
        .headers = headers,
    };
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    int rc = mrp_s3_do(&resp, obj->aws, &req, err);
    if (rc == MRP_E_NOTFOUND || (rc == MRP_E_AUTH && resp.status == 403 && !strict)) {
        /* without s3:ListBucket a missing object answers 403 */
        if (rc == MRP_E_AUTH)
            mrp_log(obj->stage, MRP_DEBUG, "HEAD is forbidden, taking the object as missing: %s",
                    err->msg);
        *err = (struct mrp_error){0};
        return MRP_OK;
    }
    if (rc)
        return mrp_object_explain(obj, "look at", err);
    out->exists = true;
    keep(out, &resp.headers);
    compare(out, obj, &resp.headers);
    return MRP_OK;
}

int mrp_object_bucket(struct mrp_object *obj, struct mrp_error *err)
{
    const struct mrp_s3_request req = {
        .method = "HEAD", .region = obj->region, .bucket = obj->o->bucket};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    int rc = mrp_s3_do(&resp, obj->aws, &req, err);
    if (rc != MRP_E_NOTFOUND)
        return MRP_OK; /* forbidden is no proof that it is missing */
    mrp_fail(err, MRP_E_NOTFOUND, "bucket %s does not exist (wanted in %s)", obj->o->bucket,
             obj->region);
    return hint_bucket(obj, err);
}

static long range_read(void *arg, char *buf, size_t len)
{
    struct mrp_object_range *r = arg;
    uint64_t left = r->size - r->at;
    ssize_t n = 0;
    if (left == 0)
        return 0;
    do
        n = pread(r->obj->fd, buf, left < len ? (size_t)left : len, (off_t)(r->start + r->at));
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return MRP_HTTP_ABORT;
    r->at += (uint64_t)n;
    r->obj->sent += (uint64_t)n;
    mrp_progress(r->obj->stage, &(struct mrp_progress){
                                    .what = r->obj->o->key,
                                    .done_bytes = r->obj->sent,
                                    .total_bytes = r->obj->size,
                                });
    return (long)n;
}

static int range_rewind(void *arg)
{
    struct mrp_object_range *r = arg;
    r->obj->sent -= r->at;
    r->at = 0;
    return 0;
}

struct mrp_http_source mrp_object_source(struct mrp_object_range *r)
{
    return (struct mrp_http_source){range_read, range_rewind, r, (int64_t)r->size};
}

int mrp_object_put(struct mrp_object_state *out, struct mrp_object *obj, struct mrp_error *err)
{
    mrp_auto(mrp_headers_done) struct mrp_headers h = {0};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    mrp_auto(mrp_free_str) char *b64 = mrp_base64(obj->sha256, sizeof obj->sha256);
    int rc = mrp_object_headers(&h, obj, err);
    if (rc)
        return rc;
    if (!b64 || mrp_headers_add(&h, "x-amz-checksum-sha256", b64) ||
        (obj->o->existing != 0 && mrp_headers_add(&h, "If-None-Match", "*")))
        return mrp_fail(err, MRP_E_NOMEM, "headers of %s", obj->o->key);
    const struct mrp_http_header *list = mrp_object_list(&h, err);
    if (!list)
        return err->code;

    struct mrp_object_range range = {.obj = obj, .size = obj->size};
    struct mrp_http_source source = mrp_object_source(&range);
    const struct mrp_s3_request req = {
        .method = "PUT",
        .region = obj->region,
        .bucket = obj->o->bucket,
        .key = obj->o->key,
        .headers = list,
        .body = obj->size ? NULL : "",
        .source = obj->size ? &source : NULL,
        .payload_sha256 = obj->sha256_hex,
    };
    rc = mrp_s3_do(&resp, obj->aws, &req, err);
    if (rc)
        return mrp_object_explain(obj, "upload to", err);
    keep(out, &resp.headers);
    out->exists = true;
    return MRP_OK;
}
