/* JSON: the only place that knows jansson's ownership rules by heart. */
#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>

#include <stdlib.h>

enum { MAX_JSON = 64 << 20 };

void mrp_free_json(json_t **j)
{
    json_decref(*j);
    *j = NULL;
}

json_t *mrp_take_json(json_t **j)
{
    json_t *taken = *j;
    *j = NULL;
    return taken;
}

int mrp_json_parse(json_t **out,
                   const char *text,
                   size_t len,
                   const char *what,
                   struct mrp_error *err)
{
    json_error_t e;
    if (len > MAX_JSON)
        return mrp_fail(err, MRP_E_REMOTE, "%s: JSON larger than %d bytes", what, MAX_JSON);
    json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!j)
        return mrp_fail(err, MRP_E_REMOTE, "%s: no valid JSON: %s (line %d, column %d)", what,
                        e.text, e.line, e.column);
    *out = j;
    return MRP_OK;
}

int mrp_json_read(json_t **out, const char *path, size_t max_bytes, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *text = NULL;
    size_t len;
    int rc = mrp_file_read(&text, &len, path, max_bytes, err);
    return rc ? rc : mrp_json_parse(out, text, len, path, err);
}

char *mrp_json_text(const json_t *j)
{
    return json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
}

const char *mrp_json_str(const json_t *obj, const char *key)
{
    return json_string_value(json_object_get(obj, key));
}

int64_t mrp_json_int(const json_t *obj, const char *key, int64_t fallback)
{
    const json_t *j = json_object_get(obj, key);
    return json_is_integer(j) ? (int64_t)json_integer_value(j) : fallback;
}

double mrp_json_real(const json_t *obj, const char *key, double fallback)
{
    const json_t *j = json_object_get(obj, key);
    return json_is_number(j) ? json_number_value(j) : fallback;
}

bool mrp_json_bool(const json_t *obj, const char *key, bool fallback)
{
    const json_t *j = json_object_get(obj, key);
    return json_is_boolean(j) ? json_is_true(j) : fallback;
}

json_t *mrp_json_arr(const json_t *obj, const char *key)
{
    json_t *j = json_object_get(obj, key);
    return json_is_array(j) ? j : NULL;
}

json_t *mrp_json_obj(const json_t *obj, const char *key)
{
    json_t *j = json_object_get(obj, key);
    return json_is_object(j) ? j : NULL;
}

int mrp_json_put(json_t *obj, const char *key, json_t *value)
{
    return json_object_set_new(obj, key, value) ? MRP_E_NOMEM : MRP_OK;
}

int mrp_json_puts(json_t *obj, const char *key, const char *value)
{
    return value ? mrp_json_put(obj, key, json_string(value)) : MRP_OK;
}

int mrp_json_puti(json_t *obj, const char *key, int64_t value)
{
    return mrp_json_put(obj, key, json_integer(value));
}
