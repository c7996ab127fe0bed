/* Task definitions: what goes to Register, what counts as equal, edits by container. */
#include "../check.h"

#include "taskdef.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

static json_t *parse(const char *text)
{
    json_t *j = NULL;
    struct mrp_error err = {0};
    if (mrp_json_parse(&j, text, strlen(text), "test", &err))
        fail_msg("%s: %s", text, err.msg);
    return j;
}

static bool equal(const char *a, const char *b)
{
    mrp_auto(mrp_free_json) json_t *x = parse(a);
    mrp_auto(mrp_free_json) json_t *y = parse(b);
    return mrp_taskdef_equal(x, y);
}

static void input(void **state)
{
    mrp_auto(mrp_free_json) json_t *described = parse(
        "{\"taskDefinitionArn\":\"a\",\"revision\":1,\"status\":\"ACTIVE\",\"requiresAttributes\":["
        "],"
        "\"compatibilities\":[],\"registeredAt\":1.5,\"registeredBy\":\"b\",\"deregisteredAt\":2,"
        "\"deleteRequestedAt\":3,\"family\":\"web\",\"somethingNew\":{\"x\":[1,null]},"
        "\"containerDefinitions\":[{\"name\":\"c\",\"environment\":[{\"name\":\"E\",\"value\":\"\"}"
        "]}]}");
    mrp_auto(mrp_free_json) json_t *tags = parse("[{\"key\":\"k\",\"value\":\"v\"}]");
    mrp_auto(mrp_free_json) json_t *none = json_array();
    (void)state;
    mrp_auto(mrp_free_json) json_t *with = mrp_taskdef_input(described, tags);
    check_owned(
        mrp_json_text(with),
        "{\"family\":\"web\",\"somethingNew\":{\"x\":[1,null]},\"containerDefinitions\":[{"
        "\"name\":\"c\",\"environment\":[{\"name\":\"E\",\"value\":\"\"}]}],\"tags\":[{\"key\":"
        "\"k\",\"value\":\"v\"}]}");
    mrp_auto(mrp_free_json) json_t *without = mrp_taskdef_input(described, none);
    assert_null(json_object_get(without, "tags"));
    assert_non_null(json_object_get(described, "revision"));
}

#define CONTAINER(more) "{\"containerDefinitions\":[{\"name\":\"c\"" more "}]}"
#define AWSVPC(more)                                                                               \
    "{\"networkMode\":\"awsvpc\",\"containerDefinitions\":[{\"name\":\"c\"" more "}]}"

static void equality(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"{}", "{\"volumes\":[],\"placementConstraints\":[],\"tags\":[],\"pidMode\":null}", true},
        {"{\"cpu\":\"1 vCPU\",\"memory\":\"2 GB\"}", "{\"cpu\":\"1024\",\"memory\":\"2048\"}",
         true},
        {"{\"cpu\":\".5 vcpu\"}", "{\"cpu\":\"512\"}", true},
        {"{\"cpu\":\"256\"}", "{\"cpu\":\"512\"}", false},
        {"{\"cpu\":\"nan\"}", "{\"cpu\":\"-nan\"}", false},
        {"{\"revision\":1}", "{\"revision\":2}", true},
        {"{\"pidMode\":\"task\"}", "{}", false},
        {"{\"new\":1}", "{}", false},
        {CONTAINER(""),
         CONTAINER(",\"mountPoints\":[],\"environment\":[],\"cpu\":0,\"essential\":true"), true},
        {CONTAINER(",\"essential\":false"), CONTAINER(""), false},
        {CONTAINER(",\"environment\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":"
                   "\"2\"}]"),
         CONTAINER(",\"environment\":[{\"value\":\"2\",\"name\":\"B\"},{\"name\":\"A\",\"value\":"
                   "\"1\"}]"),
         true},
        {CONTAINER(",\"environment\":[{\"name\":\"A\",\"value\":\"\"}]"), CONTAINER(""), false},
        {CONTAINER(",\"command\":[\"a\",\"b\"]"), CONTAINER(",\"command\":[\"b\",\"a\"]"), false},
        {CONTAINER(",\"portMappings\":[{\"containerPort\":80}]"),
         CONTAINER(
             ",\"portMappings\":[{\"containerPort\":80,\"hostPort\":0,\"protocol\":\"tcp\"}]"),
         true},
        {CONTAINER(",\"portMappings\":[{\"containerPort\":80}]"),
         CONTAINER(",\"portMappings\":[{\"containerPort\":80,\"hostPort\":80}]"), false},
        {AWSVPC(",\"portMappings\":[{\"containerPort\":80}]"),
         AWSVPC(",\"portMappings\":[{\"containerPort\":80,\"hostPort\":80,\"protocol\":\"tcp\"}]"),
         true},
        {CONTAINER(",\"image\":\"a\""), CONTAINER(",\"image\":\"b\""), false},
        {"{\"tags\":[{\"key\":\"a\"},{\"key\":\"b\"}]}",
         "{\"tags\":[{\"key\":\"b\"},{\"key\":\"a\"}]}", true},
        {"{\"containerDefinitions\":[1,null,[]]}", "{\"containerDefinitions\":[1,null,[]]}", true},
        {"{\"containerDefinitions\":7}", "{}", false},
        {"[]", "{}", true}, /* nonsense counts as empty, never crashes */
    };
    (void)state;
    for (size_t i = 0; i < MRP_COUNT(rows); i++)
        if (equal(rows[i].a, rows[i].b) != rows[i].same)
            fail_msg("row %zu: %s | %s", i, rows[i].a, rows[i].b);
}

static void images(void **state)
{
    mrp_auto(mrp_free_json) json_t *td = parse(
        "{\"family\":\"f\",\"containerDefinitions\":[{\"name\":\"a\",\"image\":\"x:1\"},{\"name\":"
        "\"b\",\"image\":\"y:1\"},{},5]}");
    mrp_auto(mrp_free_json) json_t *good = parse("{\"a\":\"x:2\"}");
    mrp_auto(mrp_free_json) json_t *bad = parse("{\"zzz\":\"x:2\"}");
    struct mrp_error err = {0};
    (void)state;
    mrp_auto(mrp_free_json) json_t *before = json_deep_copy(td);
    assert_int_equal(mrp_taskdef_images(td, good, &err), 0);
    assert_string_equal(mrp_taskdef_image(td, "a"), "x:2");
    assert_string_equal(mrp_taskdef_image(td, NULL), "x:2");
    assert_string_equal(mrp_taskdef_image(td, "b"), "y:1");
    assert_null(mrp_taskdef_image(td, "c"));
    check_owned(mrp_taskdef_diff(before, td), "a: x:1 -> x:2");
    assert_int_equal(mrp_taskdef_images(td, bad, &err), MRP_E_CONFIG);
    assert_non_null(strstr(err.msg, "zzz"));
    assert_non_null(strstr(err.hint, "a, b"));
    assert_int_equal(mrp_taskdef_images(td, NULL, &err), 0);
}

static void patches(void **state)
{
    mrp_auto(mrp_free_json) json_t *td = parse(
        "{\"containerDefinitions\":[{\"name\":\"a\",\"memory\":1,\"user\":\"u\",\"environment\":[{"
        "\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"\"}],\"logConfiguration\":{"
        "\"logDriver\":\"awslogs\",\"options\":{\"x\":\"1\",\"y\":\"2\"}}}]}");
    mrp_auto(mrp_free_json) json_t *patch =
        parse("{\"a\":{\"memory\":2,\"user\":null,\"environment\":{\"A\":null,\"C\":\"3\"},"
              "\"logConfiguration\":{\"options\":{\"x\":null,\"z\":\"3\"}}}}");
    mrp_auto(mrp_free_json) json_t *wrong = parse("{\"a\":{\"environment\":{\"A\":1}}}");
    struct mrp_error err = {0};
    (void)state;
    assert_int_equal(mrp_taskdef_patch(td, patch, &err), 0);
    check_owned(
        mrp_json_text(td),
        "{\"containerDefinitions\":[{\"name\":\"a\",\"memory\":2,\"environment\":[{\"name\":\"B\","
        "\"value\":\"\"},{\"name\":\"C\",\"value\":\"3\"}],\"logConfiguration\":{\"logDriver\":"
        "\"awslogs\",\"options\":{\"y\":\"2\",\"z\":\"3\"}}}]}");
    mrp_auto(mrp_free_json) json_t *once = json_deep_copy(td);
    assert_int_equal(mrp_taskdef_patch(td, patch, &err), 0);
    assert_true(json_equal(once, td));
    assert_int_equal(mrp_taskdef_patch(td, wrong, &err), MRP_E_CONFIG);
}

static void versions(void **state)
{
    (void)state;
    assert_string_equal(mrp_taskdef_version("h:5000/r"), "latest");
    assert_string_equal(mrp_taskdef_version("h:5000/r:1.2"), "1.2");
    assert_string_equal(mrp_taskdef_version("h/r:1@sha256:ab"), "sha256:ab");
    assert_string_equal(mrp_taskdef_version("nginx:1"), "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input),   cmocka_unit_test(equality), cmocka_unit_test(images),
        cmocka_unit_test(patches), cmocka_unit_test(versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
