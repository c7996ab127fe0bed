/* The heartbeat of a silent stage, quiet and verbose, and hostile events. */
#include "view.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Test clock: the events below say what time it is. */
static int64_t now_ms;
static int64_t fake_clock(void)
{
    return now_ms;
}

struct fixture {
    char *text;
    size_t len;
    FILE *out;
    struct mrp_ui *ui;
    struct mrp_sink sink;
};

static void start(struct fixture *f, struct mrp_ui_options options)
{
    *f = (struct fixture){0};
    now_ms = 1000;
    f->out = open_memstream(&f->text, &f->len);
    assert_non_null(f->out);
    options.out = f->out;
    f->ui = mrp_ui_new_clock(&options, fake_clock);
    assert_non_null(f->ui);
    f->sink = mrp_ui_sink(f->ui);
}

static void send(struct fixture *f, const char *json)
{
    mrp_auto(mrp_free_json) json_t *event = json_loads(json, 0, NULL);
    assert_non_null(event);
    f->sink.event(f->sink.arg, event);
}

static void stop(struct fixture *f)
{
    mrp_ui_free(&f->ui);
    fclose(f->out);
}

static void test_heartbeat(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, (struct mrp_ui_options){.format = MRP_LOG_PLAIN});
    send(&f, "{\"event\":\"stage-started\",\"stage\":\"a\",\"uses\":\"x/y\"}");
    now_ms += 29000;
    f.sink.tick(f.sink.arg);
    assert_null(strstr(f.text, "still running"));
    send(&f, "{\"event\":\"progress\",\"stage\":\"a\",\"bytes\":1048576,\"total-bytes\":4194304}");
    now_ms += 1000;
    f.sink.tick(f.sink.arg);
    assert_non_null(strstr(f.text, "[a] still running, 30.0 s, 1.0 MiB of 4.0 MiB\n"));
    /* It is said once in 30 s, and a line of the stage starts the time anew. */
    now_ms += 2000;
    f.sink.tick(f.sink.arg);
    send(&f, "{\"event\":\"log\",\"stage\":\"a\",\"level\":\"info\",\"text\":\"hm\"}");
    now_ms += 29000;
    f.sink.tick(f.sink.arg);
    stop(&f);
    char *first = strstr(f.text, "still running");
    assert_non_null(first);
    assert_null(strstr(first + 1, "still running"));
    free(f.text);
}

static void test_ended_stage_is_silent(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, (struct mrp_ui_options){.format = MRP_LOG_PLAIN});
    send(&f, "{\"event\":\"stage-started\",\"stage\":\"a\"}");
    send(&f, "{\"event\":\"stage-ended\",\"stage\":\"a\",\"result\":\"changed\"}");
    now_ms += 100000;
    f.sink.tick(f.sink.arg);
    stop(&f);
    assert_null(strstr(f.text, "still running"));
    free(f.text);
}

static void test_quiet(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, (struct mrp_ui_options){.format = MRP_LOG_PLAIN, .quiet = true});
    send(&f, "{\"event\":\"run-started\",\"run\":\"r\",\"stages\":[\"a\"]}");
    send(&f, "{\"event\":\"log\",\"stage\":\"a\",\"level\":\"info\",\"text\":\"chatter\"}");
    send(&f, "{\"event\":\"failure\",\"where\":\"a\",\"what\":\"x/y\"}");
    send(&f, "{\"event\":\"run-ended\",\"result\":\"failed\"}");
    stop(&f);
    assert_null(strstr(f.text, "chatter"));
    assert_non_null(strstr(f.text, "failed: a\n"));
    free(f.text);
}

static void test_verbose(void **state)
{
    (void)state;
    static const char debug[] =
        "{\"event\":\"log\",\"stage\":\"a\",\"level\":\"debug\",\"text\":\"deep\"}";
    struct fixture f;
    start(&f, (struct mrp_ui_options){.format = MRP_LOG_PLAIN});
    send(&f, debug);
    stop(&f);
    assert_null(strstr(f.text, "deep"));
    free(f.text);
    start(&f, (struct mrp_ui_options){.format = MRP_LOG_PLAIN, .verbose = true});
    send(&f, debug);
    stop(&f);
    assert_non_null(strstr(f.text, "[a] deep\n"));
    free(f.text);
}

/* Events come from workers that run foreign code: nothing of them may break the display. */
static void test_hostile_events(void **state)
{
    (void)state;
    static const char *const events[] = {
        "{}",
        "[]",
        "{\"event\":5}",
        "{\"event\":\"nobody knows\"}",
        "{\"event\":\"run-started\",\"stages\":[1,null,{},\"a\"]}",
        "{\"event\":\"run-started\",\"stages\":\"a\"}",
        "{\"event\":\"stage-started\"}",
        "{\"event\":\"stage-started\",\"stage\":\"a\",\"uses\":[],\"time\":\"now\"}",
        "{\"event\":\"stage-ended\",\"stage\":\"b\",\"counts\":7,\"error\":\"text\"}",
        "{\"event\":\"progress\",\"stage\":\"a\",\"bytes\":-5,\"total-bytes\":-1,\"items\":9e300}",
        "{\"event\":\"progress\",\"stage\":\"zz\",\"bytes\":1}",
        "{\"event\":\"phase-started\"}",
        "{\"event\":\"phase-ended\",\"phase\":\"build\"}",
        "{\"event\":\"command-started\",\"phase\":\"build\"}",
        "{\"event\":\"command-ended\",\"phase\":\"q\",\"exit\":1}",
        "{\"event\":\"output\"}",
        "{\"event\":\"log\",\"level\":1}",
        "{\"event\":\"note\",\"level\":\"warn\"}",
        "{\"event\":\"change\"}",
        "{\"event\":\"artifact\"}",
        "{\"event\":\"fact\"}",
        "{\"event\":\"output-set\",\"value\":\"x\"}",
        "{\"event\":\"failure\",\"tail\":[1,\"x\"],\"error\":[],\"signal\":900,\"exit\":\"no\"}",
        "{\"event\":\"failure\",\"tail\":\"x\",\"error\":\"words\",\"signal\":\"SIGKILL\"}",
        "{\"event\":\"run-ended\",\"artifacts\":[1]}",
    };
    for (int format = MRP_LOG_PLAIN; format <= MRP_LOG_CODEBUILD; format++) {
        struct fixture f;
        start(&f, (struct mrp_ui_options){.format = (enum mrp_log_format)format, .verbose = true});
        for (size_t i = 0; i < MRP_COUNT(events); i++)
            send(&f, events[i]);
        f.sink.tick(f.sink.arg);
        stop(&f);
        assert_true(f.len > 0);
        free(f.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heartbeat),      cmocka_unit_test(test_ended_stage_is_silent),
        cmocka_unit_test(test_quiet),          cmocka_unit_test(test_verbose),
        cmocka_unit_test(test_hostile_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
