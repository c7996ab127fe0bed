/* The Query protocol: JSON input as a form, XML answers as JSON. */
#include "client.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/xml.h>

#include <stdlib.h>
#include <string.h>

#define MAX_FORM ((size_t)16 << 20)
#define MAX_DEPTH 32

/* Lists whose elements are not called "member". */
static const struct {
    const char *service;
    const char *list;
    const char *element;
} element_names[] = {
    {"rds", "Tags", "Tag"},
    {"rds", "Filters", "Filter"},
    {"rds", "Values", "Value"},
    {"rds", "SubnetIds", "SubnetIdentifier"},
    {"rds", "VpcSecurityGroupIds", "VpcSecurityGroupId"},
    {"rds", "DBSecurityGroups", "DBSecurityGroupName"},
    {"rds", "AvailabilityZones", "AvailabilityZone"},
    {"rds", "Parameters", "Parameter"},
};

static const char *element_of(const struct aws_service *service, const char *list)
{
    if (service->protocol == AWS_EC2)
        return NULL;
    for (size_t i = 0; i < MRP_COUNT(element_names); i++)
        if (strcmp(element_names[i].service, service->name) == 0 &&
            strcmp(element_names[i].list, list) == 0)
            return element_names[i].element;
    return "member";
}

static void add_field(struct mrp_buf *out, const char *name, const char *value)
{
    mrp_auto(mrp_free_str) char *left = mrp_percent(name, strlen(name), false);
    mrp_auto(mrp_free_str) char *right = mrp_percent(value, strlen(value), false);
    if (left && right)
        mrp_buf_addf(out, "&%s=%s", left, right);
}

static void add_value(struct mrp_buf *out,
                      const struct aws_service *service,
                      const char *name,
                      const char *last,
                      const json_t *value,
                      int depth);

static void add_list(struct mrp_buf *out,
                     const struct aws_service *service,
                     const char *name,
                     const char *last,
                     const json_t *list,
                     int depth)
{
    const char *element = element_of(service, last);
    if (json_array_size(list) == 0)
        add_field(out, name, "");
    for (size_t i = 0; i < json_array_size(list); i++) {
        mrp_auto(mrp_free_str) char *full =
            element ? mrp_strf("%s.%s.%zu", name, element, i + 1) : mrp_strf("%s.%zu", name, i + 1);
        if (full)
            add_value(out, service, full, last, json_array_get(list, i), depth + 1);
    }
}

static void add_value(struct mrp_buf *out,
                      const struct aws_service *service,
                      const char *name,
                      const char *last,
                      const json_t *value,
                      int depth)
{
    char number[64];
    if (depth > MAX_DEPTH)
        return;
    if (json_is_array(value)) {
        add_list(out, service, name, last, value, depth);
    } else if (json_is_object(value)) {
        const char *key;
        json_t *member;
        json_object_foreach((json_t *)(uintptr_t)value, key, member)
        {
            mrp_auto(mrp_free_str) char *full =
                *name ? mrp_strf("%s.%s", name, key) : mrp_strdup(key);
            if (full)
                add_value(out, service, full, key, member, depth + 1);
        }
    } else if (json_is_string(value)) {
        add_field(out, name, json_string_value(value));
    } else if (json_is_boolean(value)) {
        add_field(out, name, json_is_true(value) ? "true" : "false");
    } else if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        add_field(out, name, number);
    } else if (json_is_real(value)) {
        snprintf(number, sizeof number, "%.17g", json_real_value(value));
        add_field(out, name, number);
    }
}

char *query_body(const struct aws_service *service, const char *operation, const json_t *input)
{
    struct mrp_buf out = MRP_BUF_INIT(MAX_FORM);
    mrp_buf_addf(&out, "Action=%s&Version=%s", operation, service->version);
    if (input)
        add_value(&out, service, "", "", input, 0);
    return mrp_buf_take(&out);
}

int query_answer(json_t **out,
                 const struct mrp_http_response *resp,
                 const char *operation,
                 const char *what,
                 struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *document = NULL;
    int rc = mrp_xml_parse(&document, mrp_buf_str(&resp->body), resp->body.len, what, err);
    if (rc)
        return rc;
    const char *root = json_object_iter_key(json_object_iter(document));
    json_t *answer = root ? json_object_get(document, root) : NULL;
    mrp_auto(mrp_free_str) char *name = mrp_strf("%sResult", operation);
    json_t *result = json_is_object(answer) && name ? json_object_get(answer, name) : NULL;
    if (json_is_object(result)) {
        *out = json_incref(result);
        return 0;
    }
    if (!json_is_object(answer) || result) { /* empty, or a lone list */
        *out =
            result && json_is_array(result) ? json_pack("{s:O}", "member", result) : json_object();
    } else {
        json_object_del(answer, "ResponseMetadata");
        json_object_del(answer, "requestId"); /* EC2's */
        *out = json_incref(answer);
    }
    return *out ? 0 : mrp_fail(err, MRP_E_NOMEM, "%s", what);
}
