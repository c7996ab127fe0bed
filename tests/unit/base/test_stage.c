/* A stage's sentences as frames. */
#include "../check.h"

#include <mrpipe/buf.h>
#include <mrpipe/host.h>

static void keep(void *arg, const char *json, size_t len)
{
    mrp_buf_add(arg, json, len);
    mrp_buf_addc(arg, '\n');
}

static const struct mrp_output_info outputs[] = {{"digest", "string", "of the image"}, {0}};

static void frames(void **state)
{
    (void)state;
    struct mrp_error err;
    struct mrp_buf buf = MRP_BUF_INIT(65536);
    char first[] = "A=1", second[] = "AB=2";
    char *env[] = {first, second, NULL};
    struct mrp_stage_init init = {.id = "s",
                                  .debug = "http, sigv4",
                                  .env = env,
                                  .outputs = outputs,
                                  .emit = keep,
                                  .arg = &buf};
    struct mrp_stage *stage = mrp_stage_new(&init);
    assert_string_equal(mrp_stage_env(stage, "A"), "1");
    assert_null(mrp_stage_env(stage, "B"));
    assert_true(mrp_stage_debug(stage, "sigv4"));
    assert_false(mrp_stage_debug(stage, "s"));
    mrp_log(stage, MRP_WARN, "odd \xff byte");
    mrp_change(stage, "push %s", "x");
    mrp_secret(stage, "abc");
    mrp_secret(stage, "abcd");
    assert_int_equal(mrp_output(stage, "digest", json_string("d"), &err), 0);
    assert_int_equal(mrp_output(stage, "other", json_string("d"), &err), MRP_E_BUG);
    for (uint64_t i = 0; i < 100; i++)
        mrp_progress(stage, &(struct mrp_progress){.done_bytes = i, .total_bytes = 99});
    mrp_stage_free(stage);
    const char *text = mrp_buf_str(&buf);
    assert_non_null(
        strstr(text, "{\"type\":\"log\",\"level\":\"warn\",\"text\":\"odd ? byte\"}\n"));
    assert_non_null(strstr(text, "{\"type\":\"change\",\"text\":\"push x\"}\n"));
    assert_null(strstr(text, "\"abc\""));
    assert_non_null(strstr(text, "{\"type\":\"secret\",\"value\":\"abcd\"}\n"));
    assert_non_null(strstr(text, "\"bytes\":99,")); /* the last one always arrives */
    mrp_buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(frames)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
