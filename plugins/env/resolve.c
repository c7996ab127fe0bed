/* env/resolve: GetParameters in groups of ten, GetSecretValue once for each secret. */
#include "resolve.h"

#include <mrpipe/auto.h>
#include <mrpipe/aws.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

enum { PARAMETERS_PER_CALL = 10 };

struct reader {
    struct mrp_aws *aws;
    struct mrp_stage *stage;
    json_t *values; /* variable -> value */
};

int resolve_check(const void *options, const char **bad, struct mrp_error *err)
{
    const struct resolve *o = options;
    void *iter = json_object_iter(o->secrets);
    for (; iter; iter = json_object_iter_next(o->secrets, iter)) {
        const char *text = json_string_value(json_object_iter_value(iter));
        struct secret_ref ref;
        int rc = text
                     ? secret_ref_parse(&ref, text, err)
                     : mrp_fail(err, MRP_E_CONFIG, "%s must be a text", json_object_iter_key(iter));
        if (text)
            secret_ref_done(&ref);
        if (rc) {
            *bad = "secrets";
            return rc;
        }
    }
    return 0;
}

static int give(struct reader *r, const char *variable, const char *value, struct mrp_error *err)
{
    mrp_secret(r->stage, value); /* before anything else is said */
    return mrp_json_puts(r->values, variable, value) ? mrp_fail(err, MRP_E_NOMEM, "out of memory")
                                                     : 0;
}

/* ---- parameters ---- */

/* The value of one parameter among the answers; ARNs and names of both forms are compared. */
static const char *find_value(const json_t *answers, const char *name)
{
    size_t i;
    json_t *p;
    json_array_foreach(answers, i, p)
    {
        const char *have = mrp_json_str(p, "Name"), *arn = mrp_json_str(p, "ARN");
        const char *selector = mrp_json_str(p, "Selector");
        mrp_auto(mrp_free_str) char *selected =
            have ? mrp_strf("%s%s", have, selector ? selector : "") : NULL;
        if (mrp_streq(have, name) || mrp_streq(arn, name) || mrp_streq(selected, name))
            return mrp_json_str(p, "Value");
    }
    return NULL;
}

static bool listed(const json_t *list, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) if (mrp_streq(json_string_value(item), name)) return true;
    return false;
}

static int read_group(struct reader *r, const json_t *names, json_t *answers, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in = json_object(), *out = NULL;
    if (mrp_json_put(in, "Names", json_deep_copy(names)) ||
        mrp_json_put(in, "WithDecryption", json_true()))
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    int rc =
        mrp_aws_call(&out, r->aws, "ssm", mrp_stage_region(r->stage), "GetParameters", in, err);
    if (rc)
        return mrp_wrap(err, "parameter-store");
    const json_t *invalid = mrp_json_arr(out, "InvalidParameters");
    if (json_array_size(invalid)) {
        const char *name = json_string_value(json_array_get(invalid, 0));
        mrp_fail(err, MRP_E_NOTFOUND, "parameter `%s` does not exist in %s", name ? name : "?",
                 mrp_stage_region(r->stage));
        return mrp_hint(err, "aws ssm get-parameter --region %s --name %s",
                        mrp_stage_region(r->stage), name ? name : "?");
    }
    json_t *list = mrp_json_arr(out, "Parameters");
    return list && json_array_extend(answers, list) ? mrp_fail(err, MRP_E_NOMEM, "out of memory")
                                                    : 0;
}

static int read_parameters(struct reader *r, json_t *parameters, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *names = json_array(), *answers = json_array();
    void *iter = json_object_iter(parameters);
    while (iter) {
        const char *name = json_string_value(json_object_iter_value(iter));
        if (!name)
            return mrp_fail(err, MRP_E_CONFIG, "parameter of %s must be a text",
                            json_object_iter_key(iter));
        if (!listed(names, name))
            json_array_append_new(names, json_string(name));
        iter = json_object_iter_next(parameters, iter);
        if (json_array_size(names) == PARAMETERS_PER_CALL || (!iter && json_array_size(names))) {
            int rc = read_group(r, names, answers, err);
            if (rc)
                return rc;
            json_array_clear(names);
        }
    }
    for (iter = json_object_iter(parameters); iter;
         iter = json_object_iter_next(parameters, iter)) {
        const char *name = json_string_value(json_object_iter_value(iter));
        const char *value = find_value(answers, name);
        if (!value)
            return mrp_fail(err, MRP_E_REMOTE, "the answer has no parameter `%s`", name);
        int rc = give(r, json_object_iter_key(iter), value, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- secrets ---- */

static int pick(struct reader *r,
                const char *variable,
                const struct secret_ref *ref,
                const json_t *answer,
                struct mrp_error *err)
{
    const char *text = mrp_json_str(answer, "SecretString");
    if (!text) {
        mrp_fail(err, MRP_E_CONFIG, "secret `%s` holds bytes, not a text", ref->id);
        return mrp_hint(err, "CodeBuild reads SecretString only");
    }
    mrp_secret(r->stage, text);
    if (!*ref->key)
        return give(r, variable, text, err);
    mrp_auto(mrp_free_json) json_t *whole = NULL;
    struct mrp_error quiet = {0}; /* its message could quote the secret */
    if (mrp_json_parse(&whole, text, strlen(text), "secret", &quiet) || !json_is_object(whole))
        return mrp_fail(err, MRP_E_CONFIG, "secret `%s` is no JSON object, so it has no key `%s`",
                        ref->id, ref->key);
    json_t *value = json_object_get(whole, ref->key);
    if (!value)
        return mrp_fail(err, MRP_E_NOTFOUND, "secret `%s` has no key `%s`", ref->id, ref->key);
    if (json_is_string(value))
        return give(r, variable, json_string_value(value), err);
    mrp_auto(mrp_free_str) char *dumped = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    return dumped ? give(r, variable, dumped, err) : mrp_fail(err, MRP_E_NOMEM, "out of memory");
}

/* ARN of another region: the call goes there. */
static const char *region_of(char *buf, size_t len, const struct reader *r, const char *id)
{
    struct mrp_view rest = mrp_view_str(id), field;
    for (int i = 0; mrp_starts(id, "arn:") && i < 4 && mrp_view_next(&field, &rest, ':'); i++)
        if (i == 3 && field.n && field.n < len) {
            mrp_auto(mrp_free_str) char *text = mrp_strndup(field.p, field.n);
            return mrp_copy(buf, len, text ? text : "");
        }
    return mrp_stage_region(r->stage);
}

static int read_secret(struct reader *r,
                       json_t *cache,
                       const char *variable,
                       const char *text,
                       struct mrp_error *err)
{
    struct secret_ref ref;
    char region[64];
    int rc = secret_ref_parse(&ref, text, err);
    mrp_auto(mrp_free_str) char *what =
        rc ? NULL : mrp_strf("%s:%s:%s", ref.id, ref.stage, ref.version);
    mrp_auto(mrp_free_json) json_t *in = json_object(), *out = NULL;
    if (!rc && (!what || mrp_json_puts(in, "SecretId", ref.id)))
        rc = mrp_fail(err, MRP_E_NOMEM, "out of memory");
    json_t *answer = rc ? NULL : json_object_get(cache, what);
    if (!rc && !answer) {
        if (*ref.version)
            mrp_json_puts(in, "VersionId", ref.version);
        else
            mrp_json_puts(in, "VersionStage", *ref.stage ? ref.stage : "AWSCURRENT");
        rc = mrp_aws_call(&out, r->aws, "secretsmanager",
                          region_of(region, sizeof region, r, ref.id), "GetSecretValue", in, err);
        if (rc)
            mrp_wrap(err, "secrets-manager %s (%s)", variable, ref.id);
        else
            json_object_set(cache, what, out);
        answer = out;
    }
    if (!rc)
        rc = pick(r, variable, &ref, answer, err);
    secret_ref_done(&ref);
    return rc;
}

static int read_all(struct reader *r, const struct resolve *o, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *cache = json_object();
    int rc = o->parameters ? read_parameters(r, o->parameters, err) : 0;
    void *iter = json_object_iter(o->secrets);
    for (; !rc && iter; iter = json_object_iter_next(o->secrets, iter)) {
        const char *text = json_string_value(json_object_iter_value(iter));
        rc = text ? read_secret(r, cache, json_object_iter_key(iter), text, err)
                  : mrp_fail(err, MRP_E_CONFIG, "%s must be a text", json_object_iter_key(iter));
    }
    return rc;
}

int resolve_run(void *options,
                struct mrp_stage *stage,
                enum mrp_result *result,
                struct mrp_error *err)
{
    struct reader r = {.stage = stage, .values = json_object()};
    struct mrp_http *http = NULL;
    if (!*mrp_stage_region(stage)) {
        json_decref(r.values);
        mrp_fail(err, MRP_E_CONFIG, "no region is known for the parameters and secrets");
        return mrp_hint(err, "set AWS_REGION or `mrpipe: regions: primary:`");
    }
    int rc = mrp_http_new(&http, stage, err);
    if (!rc)
        rc = mrp_aws_new(&r.aws, http, stage, err);
    if (!rc)
        rc = read_all(&r, options, err);
    if (!rc)
        rc = mrp_output(stage, "variables", json_incref(r.values), err);
    json_decref(r.values);
    mrp_aws_free(&r.aws);
    mrp_http_free(&http);
    *result = MRP_UNCHANGED;
    return rc;
}
