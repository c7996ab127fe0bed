/* Task definitions: from Describe to Register, edits by container, comparison in meaning. */
#include "taskdef.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What Describe tells and Register refuses; everything else is kept, so new members survive. */
static const char *const read_only[] = {
    "taskDefinitionArn", "revision",     "status",         "requiresAttributes", "compatibilities",
    "registeredAt",      "registeredBy", "deregisteredAt", "deleteRequestedAt",
};

json_t *mrp_taskdef_input(const json_t *described, const json_t *tags)
{
    json_t *input = json_is_object(described) ? json_deep_copy(described) : json_object();
    for (size_t i = 0; i < MRP_COUNT(read_only); i++)
        json_object_del(input, read_only[i]);
    if (json_array_size(tags) > 0)
        mrp_json_put(input, "tags", json_deep_copy(tags));
    return input;
}

static json_t *find_container(const json_t *taskdef, const char *name)
{
    size_t i;
    json_t *c;
    json_array_foreach(mrp_json_arr(taskdef, "containerDefinitions"), i, c)
    {
        if (mrp_streq(mrp_json_str(c, "name"), name))
            return c;
    }
    return NULL;
}

static int unknown(const json_t *taskdef, const char *name, struct mrp_error *err)
{
    struct mrp_buf names = MRP_BUF_INIT(180);
    size_t i;
    json_t *c;
    json_array_foreach(mrp_json_arr(taskdef, "containerDefinitions"), i, c)
    {
        const char *text = mrp_json_str(c, "name");
        mrp_buf_addf(&names, "%s%s", i ? ", " : "", text ? text : "?");
    }
    mrp_fail(err, MRP_E_CONFIG, "task definition %s has no container `%s`",
             mrp_json_str(taskdef, "family") ? mrp_json_str(taskdef, "family") : "", name);
    mrp_hint(err, "its containers: %s", names.failed ? "many" : mrp_buf_str(&names));
    mrp_buf_done(&names);
    return err->code;
}

int mrp_taskdef_images(json_t *input, const json_t *images, struct mrp_error *err)
{
    void *it = json_object_iter((json_t *)(uintptr_t)images);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)images, it)) {
        const char *name = json_object_iter_key(it);
        json_t *c = find_container(input, name);
        if (!c)
            return unknown(input, name, err);
        if (mrp_json_puts(c, "image", json_string_value(json_object_iter_value(it))))
            return mrp_fail(err, MRP_E_NOMEM, "image of %s", name);
    }
    return MRP_OK;
}

static json_t *find_named(json_t *list, const char *name, size_t *at)
{
    size_t i;
    json_t *e;
    json_array_foreach(list, i, e)
    {
        if (mrp_streq(mrp_json_str(e, "name"), name)) {
            *at = i;
            return e;
        }
    }
    return NULL;
}

/* environment is a list in the API; a map of names is what a person wants to write. */
static int patch_environment(json_t *container, const json_t *vars, struct mrp_error *err)
{
    json_t *list = mrp_json_arr(container, "environment");
    if (!list) {
        list = json_array();
        if (mrp_json_put(container, "environment", list))
            return mrp_fail(err, MRP_E_NOMEM, "environment");
    }
    void *it = json_object_iter((json_t *)(uintptr_t)vars);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)vars, it)) {
        const char *name = json_object_iter_key(it);
        const json_t *value = json_object_iter_value(it);
        size_t at = 0;
        json_t *entry = find_named(list, name, &at);
        if (json_is_null(value)) {
            if (entry)
                json_array_remove(list, at);
            continue;
        }
        if (!json_is_string(value))
            return mrp_fail(err, MRP_E_CONFIG, "environment variable %s is no text", name);
        if (!entry) {
            entry = json_object();
            mrp_json_puts(entry, "name", name);
            if (json_array_append_new(list, entry))
                return mrp_fail(err, MRP_E_NOMEM, "environment");
        }
        mrp_json_puts(entry, "value", json_string_value(value));
    }
    return MRP_OK;
}

/* RFC 7396, depth bounded by the parser. */
static int merge(json_t *target, const json_t *patch, struct mrp_error *err)
{
    void *it = json_object_iter((json_t *)(uintptr_t)patch);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)patch, it)) {
        const char *key = json_object_iter_key(it);
        const json_t *value = json_object_iter_value(it);
        json_t *have = json_object_get(target, key);
        int rc = MRP_OK;
        if (json_is_null(value))
            json_object_del(target, key);
        else if (json_is_object(value) && json_is_object(have))
            rc = merge(have, value, err);
        else if (json_object_set_new(target, key, json_deep_copy(value)))
            rc = mrp_fail(err, MRP_E_NOMEM, "patch of %s", key);
        if (rc)
            return rc;
    }
    return MRP_OK;
}

int mrp_taskdef_patch(json_t *input, const json_t *patches, struct mrp_error *err)
{
    void *it = json_object_iter((json_t *)(uintptr_t)patches);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)patches, it)) {
        const char *name = json_object_iter_key(it);
        const json_t *patch = json_object_iter_value(it);
        json_t *c = find_container(input, name);
        if (!c)
            return unknown(input, name, err);
        mrp_auto(mrp_free_json) json_t *rest = json_copy((json_t *)(uintptr_t)patch);
        const json_t *vars = mrp_json_obj(patch, "environment");
        int rc = MRP_OK;
        if (vars) {
            json_object_del(rest, "environment");
            rc = patch_environment(c, vars, err);
        }
        if (rc == MRP_OK)
            rc = merge(c, rest, err);
        if (rc)
            return rc;
    }
    return MRP_OK;
}

/* ---- canonical form ---- */

static void drop_empty(json_t *o, const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *v = json_object_get(o, keys[i]);
        if (json_is_array(v) && json_array_size(v) == 0)
            json_object_del(o, keys[i]);
    }
}

static void drop_nulls(json_t *o)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(o, next, key, value)
    {
        if (json_is_null(value))
            json_object_del(o, key);
    }
}

struct sortable {
    char *text;
    json_t *value;
};

static int by_text(const void *a, const void *b)
{
    const struct sortable *x = a, *y = b;
    return strcmp(x->text ? x->text : "", y->text ? y->text : "");
}

static void sort_list(json_t *o, const char *key)
{
    json_t *list = mrp_json_arr(o, key);
    size_t n = json_array_size(list);
    struct sortable *s = n > 1 ? calloc(n, sizeof *s) : NULL;
    if (!s)
        return;
    for (size_t i = 0; i < n; i++) {
        s[i].value = json_incref(json_array_get(list, i));
        s[i].text = json_dumps(s[i].value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    }
    qsort(s, n, sizeof *s, by_text);
    json_array_clear(list);
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, s[i].value);
        free(s[i].text);
    }
    free(s);
}

/* "1 vCPU" and "1024" are the same, as "2 GB" and "2048". */
static void plain_units(json_t *o, const char *key, const char *unit)
{
    const char *text = mrp_json_str(o, key);
    if (!text)
        return;
    char *end = NULL;
    double n = strtod(text, &end);
    while (*end == ' ')
        end++;
    if (end == text || !(n >= 0 && n <= 1e9)) /* nor "nan" */
        return;
    if (strcasecmp(end, unit) == 0)
        n *= 1024;
    else if (*end)
        return;
    json_object_set_new(o, key, json_sprintf("%lld", (long long)n));
}

static void canonical_ports(json_t *container, const char *mode)
{
    size_t i;
    json_t *p;
    bool same_port = mrp_streq(mode, "awsvpc") || mrp_streq(mode, "host");
    json_array_foreach(mrp_json_arr(container, "portMappings"), i, p)
    {
        if (!mrp_json_str(p, "protocol"))
            mrp_json_puts(p, "protocol", "tcp");
        int64_t port = mrp_json_int(p, "containerPort", 0);
        if (same_port && mrp_json_int(p, "hostPort", 0) == 0 && port)
            mrp_json_puti(p, "hostPort", port);
        else if (mrp_json_int(p, "hostPort", -1) == 0)
            json_object_del(p, "hostPort");
    }
}

static void canonical_container(json_t *c, const char *mode)
{
    static const char *const lists[] = {
        "mountPoints", "volumesFrom",          "environment",           "environmentFiles",
        "secrets",     "portMappings",         "systemControls",        "links",
        "dnsServers",  "extraHosts",           "dnsSearchDomains",      "ulimits",
        "dependsOn",   "resourceRequirements", "dockerSecurityOptions",
    };
    drop_nulls(c);
    canonical_ports(c, mode);
    drop_empty(c, lists, MRP_COUNT(lists));
    if (mrp_json_int(c, "cpu", -1) == 0)
        json_object_del(c, "cpu");
    if (!json_object_get(c, "essential"))
        json_object_set_new(c, "essential", json_true());
    sort_list(c, "environment");
    sort_list(c, "secrets");
    sort_list(c, "portMappings");
    sort_list(c, "ulimits");
}

static json_t *canonical(const json_t *taskdef)
{
    static const char *const lists[] = {"volumes", "placementConstraints",
                                        "requiresCompatibilities", "inferenceAccelerators", "tags"};
    json_t *o = mrp_taskdef_input(taskdef, NULL);
    size_t i;
    json_t *c;
    drop_nulls(o);
    drop_empty(o, lists, MRP_COUNT(lists));
    plain_units(o, "cpu", "vCPU");
    plain_units(o, "memory", "GB");
    sort_list(o, "tags");
    sort_list(o, "requiresCompatibilities");
    json_array_foreach(mrp_json_arr(o, "containerDefinitions"), i, c)
    {
        if (json_is_object(c))
            canonical_container(c, mrp_json_str(o, "networkMode"));
    }
    return o;
}

bool mrp_taskdef_equal(const json_t *a, const json_t *b)
{
    mrp_auto(mrp_free_json) json_t *x = canonical(a);
    mrp_auto(mrp_free_json) json_t *y = canonical(b);
    return x && y && json_equal(x, y);
}

const char *mrp_taskdef_image(const json_t *taskdef, const char *container)
{
    const json_t *c = container ? find_container(taskdef, container)
                                : json_array_get(mrp_json_arr(taskdef, "containerDefinitions"), 0);
    return mrp_json_str(c, "image");
}

char *mrp_taskdef_diff(const json_t *from, const json_t *to)
{
    struct mrp_buf b = MRP_BUF_INIT(4096);
    mrp_auto(mrp_free_json) json_t *x = canonical(from);
    mrp_auto(mrp_free_json) json_t *y = canonical(to);
    size_t i;
    json_t *c;
    json_array_foreach(mrp_json_arr(y, "containerDefinitions"), i, c)
    {
        const char *name = mrp_json_str(c, "name");
        json_t *old = name ? find_container(x, name) : NULL;
        const char *was = mrp_json_str(old, "image");
        const char *now = mrp_json_str(c, "image");
        if (old && was && now && strcmp(was, now) != 0) {
            mrp_buf_addf(&b, "%s%s: %s -> %s", b.len ? "; " : "", name, was, now);
            mrp_json_puts(old, "image", now);
        }
        if (name && !json_equal(old, c))
            mrp_buf_addf(&b, "%s%s: other settings", b.len ? "; " : "", name);
    }
    json_object_del(x, "containerDefinitions");
    json_object_del(y, "containerDefinitions");
    void *it = json_object_iter(y);
    for (; it; it = json_object_iter_next(y, it)) {
        const char *key = json_object_iter_key(it);
        if (!json_equal(json_object_get(x, key), json_object_iter_value(it)))
            mrp_buf_addf(&b, "%s%s", b.len ? "; " : "", key);
    }
    char *text = b.failed ? NULL : mrp_buf_take(&b);
    mrp_buf_done(&b);
    return text && *text ? text : (free(text), mrp_strdup("task definition"));
}

const char *mrp_taskdef_version(const char *image)
{
    const char *at = strchr(image, '@');
    if (at)
        return at + 1;
    const char *slash = strrchr(image, '/');
    const char *colon = strrchr(image, ':');
    return colon && (!slash || colon > slash) ? colon + 1 : "latest";
}
