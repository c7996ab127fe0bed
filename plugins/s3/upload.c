/* s3/upload: one file to one object, only when the object is not the same already. */
#include "object.h"
#include "s3.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static const char *const acls[] = {"none",
                                   "private",
                                   "bucket-owner-full-control",
                                   "public-read",
                                   "authenticated-read",
                                   "aws-exec-read",
                                   "bucket-owner-read",
                                   NULL};
static const char *const existings[] = {"overwrite", "keep", "fail", NULL};

const struct mrp_option mrp_upload_options[] = {
    {"file", MRP_PATH(struct mrp_upload, file), .flags = MRP_REQUIRED,
     .help = "the file to upload"},
    {"bucket", MRP_STRING(struct mrp_upload, bucket), .flags = MRP_REQUIRED,
     .help = "the bucket; it must exist"},
    {"key", MRP_STRING(struct mrp_upload, key), .flags = MRP_REQUIRED, .help = "the object's key"},
    {"region", MRP_REGION(struct mrp_upload, region),
     .help = "the bucket's region; default: the stage's"},
    {"part-size", MRP_SIZE(struct mrp_upload, part_size), .fallback = "16MiB",
     .help = "size of a part, 5MiB to 5GiB; grows by itself to stay within 10,000 parts"},
    {"multipart-from", MRP_SIZE(struct mrp_upload, multipart_from), .fallback = "16MiB",
     .help = "files of this size and above go in parts"},
    {"parallel", MRP_INT(struct mrp_upload, parallel), .fallback = "8", .min = 1, .max = 64,
     .help = "parts under way at once"},
    {"content-type", MRP_STRING(struct mrp_upload, content_type),
     .help = "media type; default: by the file's ending"},
    {"cache-control", MRP_STRING(struct mrp_upload, cache_control),
     .help = "Cache-Control of the object"},
    {"acl", MRP_ENUM(struct mrp_upload, acl), .fallback = "none", .choices = acls,
     .help =
         "canned ACL; buckets made since 2023 refuse all but none and bucket-owner-full-control"},
    {"kms-key", MRP_STRING(struct mrp_upload, kms_key),
     .help =
         "encrypt with this KMS key (id, alias or ARN of the bucket's region; aws/s3: AWS's own)"},
    {"storage-class", MRP_STRING(struct mrp_upload, storage_class),
     .help = "STANDARD, STANDARD_IA, INTELLIGENT_TIERING, ..."},
    {"expected-bucket-owner", MRP_STRING(struct mrp_upload, bucket_owner),
     .help = "account id that must own the bucket"},
    {"metadata", MRP_MAP(struct mrp_upload, metadata), .help = "x-amz-meta- values by name"},
    {"tags", MRP_MAP(struct mrp_upload, tags), .help = "object tags by name"},
    {"existing", MRP_ENUM(struct mrp_upload, existing), .fallback = "overwrite",
     .choices = existings, .help = "an object with other content: overwrite it, keep it, or fail"},
    {0},
};

const struct mrp_output_info mrp_upload_outputs[] = {
    {"bucket", "string", "the bucket"},
    {"key", "string", "the object's key"},
    {"region", "string", "the region asked for"},
    {"version-id", "string", "the object's version; empty without versioning"},
    {"etag", "string", "the object's ETag, with its quotes"},
    {"sha256", "string", "SHA-256 of the file, hex"},
    {"size", "number", "bytes"},
    {"url", "string", "https address of the object"},
    {0},
};

static int check_texts(const json_t *map, const char *what, struct mrp_error *err)
{
    void *it = map ? json_object_iter((json_t *)(uintptr_t)map) : NULL;
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)map, it)) {
        const char *key = json_object_iter_key(it);
        const char *value = json_string_value(json_object_iter_value(it));
        if (!value)
            return mrp_fail(err, MRP_E_CONFIG, "%s.%s is no text", what, key);
        for (const char *s = key; *s; s++)
            if (strcmp(what, "metadata") == 0 && !isalnum((unsigned char)*s) && !strchr("-_.", *s))
                return mrp_fail(err, MRP_E_CONFIG,
                                "metadata name `%s` has a character that a header "
                                "name must not have",
                                key);
        if (strpbrk(value, "\r\n"))
            return mrp_fail(err, MRP_E_CONFIG, "%s.%s has a line break", what, key);
    }
    return MRP_OK;
}

static int check_bucket(const char *bucket, struct mrp_error *err)
{
    size_t n = strlen(bucket);
    if (mrp_starts(bucket, "s3://")) {
        mrp_fail(err, MRP_E_CONFIG, "bucket %s is a URL", bucket);
        return mrp_hint(err, "give the name alone and put the rest into `key`");
    }
    bool good = n >= 3 && n <= 63;
    for (const char *s = bucket; *s; s++)
        good =
            good && (isdigit((unsigned char)*s) || islower((unsigned char)*s) || strchr("-._", *s));
    return good ? MRP_OK : mrp_fail(err, MRP_E_CONFIG, "%s is no bucket name", bucket);
}

int mrp_upload_check(const void *options, const char **bad, struct mrp_error *err)
{
    const struct mrp_upload *o = options;
    if (check_bucket(o->bucket, err)) {
        *bad = "bucket";
        return err->code;
    }
    if (!o->key[0] || strlen(o->key) > 1024) {
        *bad = "key";
        return mrp_fail(err, MRP_E_CONFIG, "a key has 1 to 1024 bytes");
    }
    if (o->part_size < 5 * MIB || o->part_size > 5 * GIB) {
        *bad = "part-size";
        return mrp_fail(err, MRP_E_CONFIG, "part-size must lie between 5MiB and 5GiB");
    }
    if (o->multipart_from > 5 * GIB) {
        *bad = "multipart-from";
        return mrp_fail(err, MRP_E_CONFIG, "S3 takes at most 5GiB without parts");
    }
    if (check_texts(o->metadata, "metadata", err)) {
        *bad = "metadata";
        return err->code;
    }
    if (check_texts(o->tags, "tags", err)) {
        *bad = "tags";
        return err->code;
    }
    return MRP_OK;
}

static int
start(struct mrp_object *obj, struct mrp_http **http, struct mrp_aws **aws, struct mrp_error *err)
{
    obj->region = obj->o->region ? obj->o->region : mrp_stage_region(obj->stage);
    if (!obj->region || !*obj->region) {
        mrp_fail(err, MRP_E_CONFIG, "no region for bucket %s", obj->o->bucket);
        return mrp_hint(err, "set `region` here or regions.primary in the spec");
    }
    int rc = mrp_object_open(obj, err);
    if (rc == MRP_OK)
        rc = mrp_http_new(http, obj->stage, err);
    if (rc == MRP_OK)
        rc = mrp_aws_new(aws, *http, obj->stage, err);
    obj->aws = *aws;
    return rc;
}

static char *object_url(const struct mrp_object *obj)
{
    mrp_auto(mrp_free_str) char *key = mrp_percent(obj->o->key, strlen(obj->o->key), true);
    const char *suffix = mrp_aws_suffix(obj->region);
    if (!key)
        return NULL;
    /* a dot in the name does not fit the certificate of virtual hosts */
    if (strchr(obj->o->bucket, '.'))
        return mrp_strf("https://s3.%s.%s/%s/%s", obj->region, suffix, obj->o->bucket, key);
    return mrp_strf("https://%s.s3.%s.%s/%s", obj->o->bucket, obj->region, suffix, key);
}

static int set_outputs(const struct mrp_object *obj,
                       const struct mrp_object_state *state,
                       struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *url = object_url(obj);
    const struct {
        const char *name, *value;
    } texts[] = {
        {"bucket", obj->o->bucket},
        {"key", obj->o->key},
        {"region", obj->region},
        {"version-id", state->version},
        {"etag", state->etag},
        {"sha256", obj->sha256_hex},
        {"url", url},
    };
    int rc = mrp_output(obj->stage, "size", json_integer((json_int_t)obj->size), err);
    for (size_t i = 0; rc == MRP_OK && i < MRP_COUNT(texts); i++)
        rc = mrp_output(obj->stage, texts[i].name,
                        json_string(texts[i].value ? texts[i].value : ""), err);
    return rc;
}

static int
clash(const struct mrp_object *obj, const struct mrp_object_state *state, struct mrp_error *err)
{
    mrp_fail(err, MRP_E_CONFLICT, "s3://%s/%s in %s exists with another %s", obj->o->bucket,
             obj->o->key, obj->region, state->differs ? state->differs : "content");
    return mrp_hint(err, "use a key that names the version, or set `existing: overwrite`");
}

int mrp_upload_run(void *options,
                   struct mrp_stage *stage,
                   enum mrp_result *result,
                   struct mrp_error *err)
{
    mrp_auto(mrp_http_free) struct mrp_http *http = NULL;
    mrp_auto(mrp_aws_free) struct mrp_aws *aws = NULL;
    mrp_auto(mrp_object_done) struct mrp_object obj = {.o = options, .stage = stage, .fd = -1};
    mrp_auto(mrp_object_state_done) struct mrp_object_state found = {0};
    mrp_auto(mrp_object_state_done) struct mrp_object_state made = {0};
    char size[32];

    int rc = start(&obj, &http, &aws, err);
    if (rc == MRP_OK)
        rc = mrp_object_look(&found, &obj, false, err);
    if (rc)
        return rc;
    if (found.exists && (found.same || obj.o->existing == 1)) {
        mrp_log(stage, MRP_INFO, "s3://%s/%s in %s %s", obj.o->bucket, obj.o->key, obj.region,
                found.same ? "holds the same bytes" : "is kept although it differs");
        *result = MRP_UNCHANGED;
        return set_outputs(&obj, &found, err);
    }
    if (found.exists && obj.o->existing == 2)
        return clash(&obj, &found, err);

    rc = obj.multipart ? mrp_object_put_parts(&made, &obj, http, err)
                       : mrp_object_put(&made, &obj, err);
    if (rc)
        return rc;
    mrp_change(stage, "uploaded %s (%s) to s3://%s/%s in %s", obj.o->file,
               mrp_show_bytes(size, sizeof size, obj.size), obj.o->bucket, obj.o->key, obj.region);
    *result = MRP_CHANGED;
    return set_outputs(&obj, &made, err);
}

/* Reads only: what is there, and is it what a run would leave? */
static int look(struct mrp_object_state *found, struct mrp_object *obj, struct mrp_error *err)
{
    mrp_auto(mrp_http_free) struct mrp_http *http = NULL;
    mrp_auto(mrp_aws_free) struct mrp_aws *aws = NULL;
    int rc = start(obj, &http, &aws, err);
    if (rc == MRP_OK)
        rc = mrp_object_look(found, obj, false, err);
    if (rc == MRP_OK && !found->exists)
        rc = mrp_object_bucket(obj, err);
    obj->aws = NULL;
    return rc;
}

int mrp_upload_plan(void *options,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err)
{
    mrp_auto(mrp_object_done) struct mrp_object obj = {.o = options, .stage = stage, .fd = -1};
    mrp_auto(mrp_object_state_done) struct mrp_object_state found = {0};
    char size[32];

    *result = MRP_CHANGED;
    int rc = look(&found, &obj, err);
    if (rc == MRP_E_ARTIFACT) {
        /* the phases or an earlier stage make the file */
        mrp_change(stage, "upload %s to s3://%s/%s in %s (known after run)", obj.o->file,
                   obj.o->bucket, obj.o->key, obj.region);
        return MRP_OK;
    }
    if (rc)
        return rc;
    if (found.exists && (found.same || obj.o->existing == 1))
        *result = MRP_UNCHANGED;
    else if (found.exists && obj.o->existing == 2)
        return clash(&obj, &found, err);
    else
        mrp_change(stage, "%s s3://%s/%s in %s with %s (%s)", found.exists ? "replace" : "create",
                   obj.o->bucket, obj.o->key, obj.region, obj.o->file,
                   mrp_show_bytes(size, sizeof size, obj.size));
    return MRP_OK;
}

int mrp_upload_verify(void *options,
                      struct mrp_stage *stage,
                      enum mrp_result *result,
                      struct mrp_error *err)
{
    mrp_auto(mrp_object_done) struct mrp_object obj = {.o = options, .stage = stage, .fd = -1};
    mrp_auto(mrp_object_state_done) struct mrp_object_state found = {0};
    int rc = look(&found, &obj, err);
    if (rc)
        return rc;
    *result = found.same ? MRP_UNCHANGED : MRP_CHANGED;
    if (!found.same)
        mrp_change(stage, "s3://%s/%s in %s %s%s", obj.o->bucket, obj.o->key, obj.region,
                   found.exists ? "differs: " : "is missing", found.differs ? found.differs : "");
    return set_outputs(&obj, &found, err);
}
