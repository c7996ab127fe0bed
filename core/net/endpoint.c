/* Where a service is: overrides first, then the partition's own host names. */
#include "client.h"
#include "engine.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/url.h>

#include <stdlib.h>
#include <string.h>

static void url_done(struct mrp_url *url)
{
    mrp_url_done(url);
}

static int add_host(struct mrp_aws *aws, const char *host, const char *url, struct mrp_error *err)
{
    mrp_auto(url_done) struct mrp_url checked = {0};
    int rc = mrp_url_parse(&checked, url, err);
    if (rc)
        return mrp_wrap(err, "endpoint of `%.100s`", host);
    json_t *entry = json_object();
    mrp_json_puts(entry, "host", host);
    mrp_json_puts(entry, "url", url);
    return json_array_append_new(aws->hosts, entry) == 0
               ? 0
               : mrp_fail(err, MRP_E_NOMEM, "remember the endpoint of %s", host);
}

static int load_env(struct mrp_aws *aws, struct mrp_error *err)
{
    const char *text = aws_env(aws, "MRPIPE_ENDPOINTS");
    mrp_auto(mrp_free_strv) char **pairs = text ? mrp_split(text, ',') : NULL;
    for (size_t i = 0; pairs && pairs[i]; i++) {
        char *eq = strchr(pairs[i], '=');
        if (!eq || eq == pairs[i]) {
            mrp_fail(err, MRP_E_CONFIG, "MRPIPE_ENDPOINTS: `%.200s` is not HOST=URL", pairs[i]);
            return mrp_hint(err, "write it as HOST=URL,HOST=URL");
        }
        *eq = '\0';
        int rc = add_host(aws, pairs[i], eq + 1, err);
        if (rc)
            return rc;
    }
    return 0;
}

int endpoints_load(struct mrp_aws *aws, struct mrp_error *err)
{
    aws->hosts = json_array();
    if (!aws->hosts)
        return mrp_fail(err, MRP_E_NOMEM, "read the endpoints");
    /* read-only use of jansson's iterator, which wants a non-const object */
    json_t *map = aws->stage ? (json_t *)(uintptr_t)mrp_stage_endpoints(aws->stage) : NULL;
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        if (!json_is_string(value))
            return mrp_fail(err, MRP_E_CONFIG, "endpoints: `%.100s` needs a URL", key);
        int rc = add_host(aws, key, json_string_value(value), err);
        if (rc)
            return rc;
    }
    return load_env(aws, err);
}

static bool service_matches(const char *key, const struct aws_service *service, const char *region)
{
    if (mrp_streq(key, service->name) || (service->alias && mrp_streq(key, service->alias)))
        return true;
    mrp_auto(mrp_free_str) char *both = mrp_strf("%s.%s", service->name, region);
    return mrp_streq(key, both);
}

/* Exact names win over patterns. Borrowed; NULL: no override. */
static const char *override_of(const struct mrp_aws *aws,
                               const char *host,
                               const struct aws_service *service,
                               const char *region)
{
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < json_array_size(aws->hosts); i++) {
            const json_t *entry = json_array_get(aws->hosts, i);
            const char *key = mrp_json_str(entry, "host");
            bool hit = pass == 0 ? mrp_streq(key, host) ||
                                       (service && service_matches(key, service, region))
                                 : mrp_glob_match(key, host, false);
            if (hit)
                return mrp_json_str(entry, "url");
        }
    }
    return NULL;
}

static bool switched_on(const struct mrp_aws *aws, const char *name)
{
    const char *text = aws_env(aws, name);
    bool on = false;
    return text && mrp_parse_bool(&on, text) == 0 && on;
}

static char *global_host(const struct aws_service *service, const struct aws_partition *partition)
{
    if (mrp_streq(service->name, "globalaccelerator"))
        return mrp_strf("%s.%s.%s", service->prefix, service->global, partition->suffix);
    if (mrp_streq(partition->name, "aws-us-gov"))
        return mrp_strf("%s.us-gov.%s", service->prefix, partition->suffix);
    if (mrp_streq(partition->name, "aws-cn") && mrp_streq(service->name, "iam"))
        return mrp_strf("%s.cn-north-1.%s", service->prefix, partition->suffix);
    return mrp_strf("%s.%s", service->prefix, partition->suffix);
}

char *
endpoint_host(const struct mrp_aws *aws, const struct aws_service *service, const char *region)
{
    const struct aws_partition *partition = aws_partition_of(region);
    if (service->global)
        return global_host(service, partition);
    bool fips = switched_on(aws, "AWS_USE_FIPS_ENDPOINT");
    bool dual = switched_on(aws, "AWS_USE_DUALSTACK_ENDPOINT");
    const char *prefix = service->prefix;
    if ((fips || dual) && mrp_starts(prefix, "api."))
        prefix += 4; /* api.ecr is ecr-fips and ecr there */
    const char *tail = fips ? "-fips" : "";
    if (dual && mrp_streq(service->name, "s3"))
        return mrp_strf("%s%s.dualstack.%s.%s", prefix, tail, region, partition->suffix);
    return mrp_strf("%s%s.%s.%s", prefix, tail, region,
                    dual ? partition->dual_suffix : partition->suffix);
}

static char *without_slash(const char *url)
{
    size_t n = strlen(url);
    while (n && url[n - 1] == '/')
        n--;
    return mrp_strndup(url, n);
}

static const char *env_override(const struct mrp_aws *aws, const struct aws_service *service)
{
    if (switched_on(aws, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
        return NULL;
    mrp_auto(mrp_free_str) char *name = mrp_strf("AWS_ENDPOINT_URL_%s", service->env_id);
    const char *own = name ? aws_env(aws, name) : NULL;
    return own ? own : aws_env(aws, "AWS_ENDPOINT_URL");
}

int endpoint_find(char **out,
                  bool *mapped,
                  struct mrp_aws *aws,
                  const struct aws_service *service,
                  const char *region,
                  struct mrp_error *err)
{
    if (!mrp_aws_is_region(region)) {
        mrp_fail(err, MRP_E_CONFIG, "%s: `%.60s` is no AWS region", service->name,
                 region ? region : "");
        return mrp_hint(err, "set the region of the stage, or AWS_REGION");
    }
    mrp_auto(mrp_free_str) char *host = endpoint_host(aws, service, region);
    if (!host)
        return mrp_fail(err, MRP_E_NOMEM, "find the endpoint of %s", service->name);
    const char *url = override_of(aws, host, service, region);
    if (!url)
        url = env_override(aws, service);
    if (mapped)
        *mapped = url != NULL;
    char *text = url ? without_slash(url) : mrp_strf("https://%s", host);
    if (!text)
        return mrp_fail(err, MRP_E_NOMEM, "find the endpoint of %s", service->name);
    *out = text;
    return 0;
}

int mrp_aws_map_url(char **out, struct mrp_aws *aws, const char *url, struct mrp_error *err)
{
    mrp_auto(url_done) struct mrp_url parsed = {0};
    int rc = mrp_url_parse(&parsed, url, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_str) char *authority = mrp_url_authority(&parsed);
    const char *to = override_of(aws, parsed.host, NULL, NULL);
    if (!to && authority)
        to = override_of(aws, authority, NULL, NULL);
    char *text = NULL;
    if (to) {
        mrp_auto(mrp_free_str) char *base = without_slash(to);
        text = base ? mrp_strf("%s%s%s%s", base, parsed.path, parsed.query ? "?" : "",
                               parsed.query ? parsed.query : "")
                    : NULL;
    } else {
        text = mrp_strdup(url);
    }
    if (!text)
        return mrp_fail(err, MRP_E_NOMEM, "map a URL");
    *out = text;
    return 0;
}
