/* Frames of a worker: the good ones become events, the first bad one ends all belief. */
#include "../check.h"

#include "frames.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

struct seen {
    json_t *events;
    char *output, *artifact, *texts;
};

static void on_event(void *arg, const json_t *event)
{
    struct seen *s = arg;
    json_array_append_new(s->events, json_deep_copy(event));
}
static void on_output(void *arg, const char *name, const json_t *value)
{
    struct seen *s = arg;
    free(s->output);
    s->output = mrp_strf("%s=%s", name, json_string_value(value));
}
static void on_artifact(void *arg, const char *path)
{
    struct seen *s = arg;
    free(s->artifact);
    s->artifact = mrp_strdup(path);
}
static void on_text(void *arg, const char *masked)
{
    struct seen *s = arg;
    char *all = mrp_strf("%s%s;", s->texts ? s->texts : "", masked);
    free(s->texts);
    s->texts = all;
}

static bool take(struct mrp_frames *f, const char *text)
{
    return mrp_frames_take(f, text, strlen(text));
}

static void test_frames(void **state)
{
    (void)state;
    struct seen seen = {.events = json_array()};
    struct mrp_sink sink = {.event = on_event, .arg = &seen};
    struct mrp_masker *masker = mrp_masker_new();
    struct mrp_journal journal;
    mrp_journal_init(&journal, masker, &sink, 1);
    struct mrp_frames f = {.journal = &journal,
                           .masker = masker,
                           .id = "x",
                           .on_output = on_output,
                           .on_artifact = on_artifact,
                           .on_text = on_text,
                           .arg = &seen,
                           .text_arg = &seen};
    assert_int_equal(mrp_frames_init(&f), 0);
    assert_true(take(&f, "{\"type\":\"secret\",\"value\":\"hush-hush\"}"));
    assert_true(take(&f, "{\"type\":\"log\",\"level\":\"info\",\"text\":\"a hush-hush b\"}"));
    assert_true(take(&f, "{\"type\":\"count\",\"name\":\"bytes\",\"delta\":5}"));
    assert_true(take(&f, "{\"type\":\"count\",\"name\":\"bytes\",\"delta\":7}"));
    assert_true(take(&f, "{\"type\":\"output\",\"name\":\"o\",\"value\":\"hush-hush\"}"));
    assert_true(take(&f, "{\"type\":\"artifact\",\"path\":\"a.json\"}"));
    assert_true(take(&f, "{\"type\":\"result\",\"result\":\"changed\"}"));
    assert_string_equal(seen.output, "o=hush-hush"); /* later stages get the value itself */
    assert_string_equal(seen.artifact, "a.json");
    assert_string_equal(seen.texts, "a *** b;");
    assert_int_equal(mrp_json_int(f.counts, "bytes", 0), 12);
    mrp_auto(mrp_free_str) char *all = mrp_json_text(seen.events);
    assert_null(strstr(all, "hush"));
    /* nothing follows a result */
    assert_false(take(&f, "{\"type\":\"change\",\"text\":\"late\"}"));
    assert_non_null(f.garbage);
    mrp_frames_done(&f);
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"type\":\"nonsense\"}",
        "{\"type\":\"log\",\"level\":\"loud\",\"text\":\"t\"}",
        "{\"type\":\"result\",\"result\":\"fine\"}",
        "{\"type\":\"result\",\"result\":\"failed\"}",
        "{\"type\":\"output\",\"name\":\"o\"}",
        "{\"type\":\"count\"}",
        "\xff\xfe",
    };
    for (size_t i = 0; i < MRP_COUNT(bad); i++) {
        assert_int_equal(mrp_frames_init(&f), 0);
        assert_false(take(&f, bad[i]));
        assert_non_null(f.garbage);
        assert_false(take(&f, "{\"type\":\"result\",\"result\":\"changed\"}"));
        assert_null(f.result);
        mrp_frames_done(&f);
    }
    json_decref(seen.events);
    free(seen.output);
    free(seen.artifact);
    free(seen.texts);
    mrp_journal_done(&journal);
    mrp_masker_free(&masker);
}

static void test_clean_string(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t n;
        const char *out;
    } cases[] = {
        {"plain", 5, "plain"},
        {"\xc3\xa9", 2, "\xc3\xa9"},
        {"a\xc3", 2, "a\xef\xbf\xbd"},
        {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"a\0b", 3, "ab"},
        {"\xf4\x90\x80\x80z", 5, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz"},
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        mrp_auto(mrp_free_json) json_t *j = mrp_clean_string(cases[i].in, cases[i].n);
        assert_string_equal(json_string_value(j), cases[i].out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_clean_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
