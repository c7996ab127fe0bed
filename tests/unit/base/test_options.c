/* Option tables: every type, every problem in one go. */
#include "../check.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/options.h>

struct opts {
    char *name;
    bool fast;
    int64_t jobs;
    uint64_t part;
    int64_t wait_ms;
    int mode;
    char *region;
    char **tags;
    json_t *map;
    char *token;
};

static const char *const modes[] = {"fast-forward", "follow", NULL};

static const struct mrp_option table[] = {
    {"name", MRP_STRING(struct opts, name), .flags = MRP_REQUIRED, .help = "a name"},
    {"fast", MRP_BOOL(struct opts, fast), .fallback = "yes", .help = "be fast"},
    {"jobs", MRP_INT(struct opts, jobs), .fallback = "4", .min = 1, .max = 64, .help = "at once"},
    {"part-size", MRP_SIZE(struct opts, part), .fallback = "16MiB", .help = "of a part"},
    {"wait", MRP_DURATION(struct opts, wait_ms), .fallback = "30s", .help = "how long"},
    {"mode", MRP_ENUM(struct opts, mode), .fallback = "follow", .choices = modes, .help = "how"},
    {"region", MRP_REGION(struct opts, region), .help = "where"},
    {"tags", MRP_LIST(struct opts, tags), .fallback = "a,b", .help = "which"},
    {"map", MRP_MAP(struct opts, map), .help = "more"},
    {"token", MRP_SECRET(struct opts, token), .help = "secret"},
    {0},
};

static int parse(struct opts *o, const char *text, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *with = NULL;
    assert_int_equal(mrp_json_parse(&with, text, strlen(text), "test", err), 0);
    return mrp_options_parse(o, table, with, NULL, NULL, err);
}

static void defaults(void **state)
{
    (void)state;
    struct opts o = {0};
    struct mrp_error err;
    assert_int_equal(parse(&o, "{\"name\":\"x\"}", &err), 0);
    assert_true(o.fast);
    assert_int_equal(o.jobs, 4);
    assert_int_equal(o.part, 16 << 20);
    assert_int_equal(o.wait_ms, 30000);
    assert_int_equal(o.mode, 1);
    assert_string_equal(o.tags[1], "b");
    assert_null(o.region);
    mrp_options_done(&o, table);
}

static void given(void **state)
{
    (void)state;
    struct opts o = {0};
    struct mrp_error err;
    assert_int_equal(parse(&o,
                           "{\"name\":5,\"fast\":false,\"jobs\":\"8\",\"mode\":\"fast-forward\","
                           "\"region\":\"us-east-1\",\"tags\":\"one\",\"map\":{\"k\":1}}",
                           &err),
                     0);
    assert_string_equal(o.name, "5");
    assert_false(o.fast);
    assert_int_equal(o.jobs, 8);
    assert_int_equal(o.mode, 0);
    assert_string_equal(o.tags[0], "one");
    assert_null(o.tags[1]);
    assert_int_equal(mrp_json_int(o.map, "k", 0), 1);
    mrp_options_done(&o, table);
}

static void count(void *arg, const char *option, const char *message, const char *nearest)
{
    (void)option;
    (void)message;
    ++*(int *)arg;
    if (nearest)
        assert_string_equal(nearest, "region");
}

static void problems(void **state)
{
    (void)state;
    struct opts o = {0};
    struct mrp_error err;
    int seen = 0;
    mrp_auto(mrp_free_json) json_t *with = NULL;
    const char *text = "{\"regoin\":\"x\",\"jobs\":99,\"mode\":\"folow\",\"map\":[],\"token\":[]}";
    assert_int_equal(mrp_json_parse(&with, text, strlen(text), "test", &err), 0);
    assert_int_equal(mrp_options_parse(&o, table, with, count, &seen, &err), MRP_E_CONFIG);
    assert_int_equal(seen, 6); /* the unknown one, the missing one, four bad values */
    assert_string_equal(err.msg, "unknown option `regoin`");
    mrp_options_done(&o, table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(given),
        cmocka_unit_test(problems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
