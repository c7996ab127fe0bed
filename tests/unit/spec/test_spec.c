/* Limits, hostile files, places, YAML of derived stages, schema. */
#include "dump.h"
#include "schema.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Parse; NULL: no error, else all diagnostics as text. Owned. */
static char *problems(const char *text, size_t len)
{
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    int rc = mrp_spec_parse(&spec, &diags, "b.yml", text, len, &err);
    char *out = rc ? mrp_diags_text(&diags, false) : NULL;
    if (rc) {
        assert_int_equal(rc, MRP_E_CONFIG);
        assert_true(diags.errors > 0);
        assert_null(spec);
        assert_true(*err.msg);
    }
    mrp_diags_done(&diags);
    return out;
}

static void must_say(const char *text, size_t len, const char *words)
{
    mrp_auto(mrp_free_str) char *got = problems(text, len);
    if (!got || !strstr(got, words))
        fail_msg("wanted \"%s\", got: %s", words, got ? got : "(no error)");
}

#define HEAD "version: 0.2\nphases:\n  build:\n    commands: [x]\n"

static void not_text(void **state)
{
    (void)state;
    must_say("", 0, "the file is empty");
    must_say("# only a comment\n", 17, "the file is empty");
    must_say("a\0b", 3, "NUL byte");
    must_say("\xff\xfev\0e\0", 6, "UTF-16");
    must_say("version: \xc3\x28\n", 12, "1:10: error: not UTF-8 text: byte 0xc3");
    must_say("version: \xed\xa0\x80\n", 13, "not UTF-8");
    must_say("a: \x1b[0m\n", 8, "control character 0x1b");
    must_say("\x7f"
             "ELF\x02\x01\x01",
             7, "control character 0x7f");
    must_say("just words\n", 11, "must be a map, not text");
    must_say("- a\n", 4, "must be a map, not a list");
    must_say(HEAD "---\nx: 1\n", sizeof HEAD - 1 + 9, "second YAML document");
}

static void alias_bombs(void **state)
{
    (void)state;
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(1 << 20);
    mrp_buf_adds(&buf, HEAD "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 30; i++) {
        mrp_buf_addf(&buf, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            mrp_buf_addf(&buf, "%s*a%d", k ? "," : "", i - 1);
        mrp_buf_adds(&buf, "]\n");
    }
    must_say(mrp_buf_str(&buf), buf.len, "more than 100,000 values");

    /* One long text, many aliases. */
    mrp_buf_reset(&buf);
    mrp_buf_adds(&buf, HEAD "big: &big '");
    for (int i = 0; i < 500000; i++)
        mrp_buf_addc(&buf, 'x');
    mrp_buf_adds(&buf, "'\nall: [");
    for (int i = 0; i < 50000; i++)
        mrp_buf_adds(&buf, i ? ",*big" : "*big");
    mrp_buf_adds(&buf, "]\n");
    must_say(mrp_buf_str(&buf), buf.len, "more than 8 MiB of text");

    must_say("a: &a [*a]\n", 11, "inside its own anchor");
    must_say("a: *b\n", 6, "unknown alias `*b`");
    /* Merge keys multiply too. */
    mrp_buf_reset(&buf);
    mrp_buf_adds(&buf, HEAD "m0: &m0 {");
    for (int i = 0; i < 3000; i++)
        mrp_buf_addf(&buf, "k%d: v,", i);
    mrp_buf_adds(&buf, "}\n");
    for (int i = 0; i < 1000; i++)
        mrp_buf_addf(&buf, "n%d: {<<: *m0}\n", i);
    must_say(mrp_buf_str(&buf), buf.len, "more than 100,000 values");
}

static void deep_nesting(void **state)
{
    (void)state;
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(1 << 21);
    mrp_buf_adds(&buf, HEAD "deep: ");
    for (int i = 0; i < 1000000; i++)
        mrp_buf_addc(&buf, '[');
    must_say(mrp_buf_str(&buf), buf.len, "nested more than 64 deep");
    for (int depth = 60; depth < 70; depth++) {
        mrp_buf_reset(&buf);
        mrp_buf_adds(&buf, HEAD "deep: ");
        for (int i = 0; i < depth; i++)
            mrp_buf_addc(&buf, '[');
        for (int i = 0; i < depth; i++)
            mrp_buf_addc(&buf, ']');
        mrp_buf_adds(&buf, "\n");
        mrp_auto(mrp_free_str) char *got = problems(mrp_buf_str(&buf), buf.len);
        assert_true((got != NULL) == (depth + 1 > 64));
    }
    mrp_buf_reset(&buf);
    for (int i = 0; i < 300; i++)
        mrp_buf_addf(&buf, "%*sk:\n", i, "");
    must_say(mrp_buf_str(&buf), buf.len, "nested more than 64 deep");
}

static void big_maps(void **state)
{
    (void)state;
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(1 << 20);
    mrp_buf_adds(&buf, HEAD "big:\n");
    for (int i = 0; i < 5000; i++)
        mrp_buf_addf(&buf, "  k%d: v\n", i);
    must_say(mrp_buf_str(&buf), buf.len, "more than 4096 keys");
    mrp_buf_reset(&buf);
    for (int i = 0; i < 3000; i++)
        mrp_buf_addf(&buf, "key%d: v\n", i);
    mrp_auto(mrp_free_str) char *got = problems(mrp_buf_str(&buf), buf.len);
    assert_non_null(strstr(got, "more problems are not shown"));
    mrp_buf_reset(&buf);
    mrp_buf_adds(&buf, "mrpipe:\n  stages:\n");
    for (int i = 0; i < 1001; i++)
        mrp_buf_adds(&buf, "    - uses: a/b\n");
    must_say(mrp_buf_str(&buf), buf.len, "more than 1000 stages");
}

static void huge_files(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    mrp_auto(mrp_free_str) char *dir = NULL;
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    assert_int_equal(mrp_temp_dir(&dir, "spec", &err), 0);
    mrp_auto(mrp_free_str) char *path = mrp_strf("%s/big.yml", dir);
    mrp_auto(mrp_close_fd) int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 100 << 20), 0); /* sparse: 100 MiB of NUL */
    assert_int_equal(mrp_spec_load(&spec, &diags, path, NULL, &err), MRP_E_CONFIG);
    assert_non_null(strstr(err.msg, "1 MiB"));
    assert_int_equal(diags.errors, 1);
    assert_int_equal(mrp_spec_load(&spec, &diags, dir, NULL, &err), MRP_E_IO);
    assert_non_null(strstr(err.msg, "is a folder"));
    assert_int_equal(mrp_spec_load(&spec, &diags, "no/such/file.yml", NULL, &err), MRP_E_IO);
    assert_non_null(strstr(err.msg, "no/such/file.yml"));
    assert_int_equal(mrp_spec_load(&spec, &diags, "/dev/zero", NULL, &err), MRP_E_CONFIG);
    mrp_diags_done(&diags);
    mrp_remove_tree(dir, &err);

    /* From memory too. */
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(2 << 20);
    mrp_buf_adds(&buf, HEAD "# ");
    while (buf.len < (1 << 20) + 1)
        mrp_buf_addc(&buf, 'x');
    must_say(mrp_buf_str(&buf), buf.len, "larger than 1 MiB");
}

static const char placed[] = "version: 0.2\n"
                             "mrpipe:\n"
                             "  stages:\n"
                             "    - uses: ecs/deploy\n"
                             "      with:\n"
                             "        cluster: \"pröd\"\n"
                             "        waves:\n"
                             "          - [us-east-1]\n"
                             "          - [us-west-2, x]\n"
                             "        text: |\n"
                             "          one\n";

static void places(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    assert_int_equal(mrp_spec_parse(&spec, &diags, "b.yml", placed, sizeof placed - 1, &err), 0);
    static const struct {
        const char *path;
        int line, col;
    } rows[] = {
        {"cluster", 6, 19},     {"waves", 8, 11}, {"waves[1]", 9, 13},
        {"waves[1][1]", 9, 25}, {"text", 11, 11}, {"waves[7]", 8, 11},
        {"cluster.x", 6, 19},   {"none", 6, 9},   {"", 6, 9},
    };
    for (size_t i = 0; i < MRP_COUNT(rows); i++) {
        struct mrp_mark at = mrp_value_mark(&spec->pipeline.stages[0].with, rows[i].path);
        if (at.line != rows[i].line || at.col != rows[i].col)
            fail_msg("%s: %d:%d", rows[i].path, at.line, at.col);
    }
    assert_string_equal(mrp_spec_line(spec, 8), "          - [us-east-1]");
    assert_null(mrp_spec_line(spec, 0));
    assert_null(mrp_spec_line(spec, 99));
    assert_string_equal(mrp_spec_stage_file(spec), "b.yml");
    mrp_spec_stage_problem(&diags, spec, false, (struct mrp_mark){6, 19}, 4, "no", "bad `%s`", "x");
    mrp_auto(mrp_free_str) char *text = mrp_diags_text(&diags, false);
    assert_string_equal(text, "b.yml:6:19: error: bad `x`\n"
                              "    6 |         cluster: \"pröd\"\n"
                              "      |                   ^~~~ no\n");
    mrp_diags_done(&diags);
}

/* What init writes reads back as the same stages. */
static void yaml_round_trip(void **state)
{
    (void)state;
    static const char text[] =
        "mrpipe:\n  regions: {primary: us-west-2, secondary: [us-east-1, eu-west-1]}\n"
        "  endpoints: {s3: 'http://127.0.0.1:1'}\n  jobs: 3\n"
        "  plugins: {ecr: {version: '1.0.0'}}\n  stages:\n"
        "    - uses: a/b\n      needs: []\n      timeout: 90s\n      retries: 2\n"
        "      on-failure: continue\n      if: env.A == 'x'\n      env: {B: 'no', C: '# c'}\n"
        "      for-each: {r: [one, two], s: '${{ regions.all }}'}\n"
        "      with: {m: {k: [[1, 2], [], {}], 'a: b': \"x\\ny\"}, e: '', n: ~, q: \"it's\", w: ' "
        "x '}\n"
        "    - uses: a/b\n      with: {v: '${{ stages.b.outputs.x }}-${{ r }}'}\n"
        "      for-each: {r: [1]}\n";
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    mrp_auto(mrp_spec_free) struct mrp_spec *first = NULL;
    mrp_auto(mrp_spec_free) struct mrp_spec *second = NULL;
    int rc = mrp_spec_parse(&first, &diags, "a.yml", text, sizeof text - 1, &err);
    mrp_auto(mrp_free_str) char *said = mrp_diags_text(&diags, false);
    if (rc)
        fail_msg("%s", said);
    mrp_auto(mrp_free_str) char *yaml = mrp_spec_pipeline_yaml(first);
    rc = mrp_spec_parse(&second, &diags, "b.yml", yaml, strlen(yaml), &err);
    mrp_auto(mrp_free_str) char *again = mrp_diags_text(&diags, false);
    if (rc)
        fail_msg("%s\n%s", again, yaml);
    mrp_auto(mrp_free_str) char *more = mrp_spec_pipeline_yaml(second);
    assert_string_equal(yaml, more);
    for (size_t i = 0; i < first->pipeline.stage_count; i++)
        assert_true(
            json_equal(first->pipeline.stages[i].with.json, second->pipeline.stages[i].with.json));
    mrp_diags_done(&diags);
}

static void schema(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    mrp_auto(mrp_free_json) json_t *actions =
        json_pack("{s:{s:s,s:{s:{s:s}}}}", "ecr/copy", "type", "object", "properties", "from",
                  "type", "string");
    mrp_auto(mrp_free_json) json_t *out = NULL;
    assert_int_equal(mrp_spec_schema(&out, actions, &err), 0);
    mrp_auto(mrp_free_str) char *text = mrp_json_text(out);
    assert_non_null(strstr(text, "\"const\":\"ecr/copy\""));
    assert_non_null(strstr(text, "parameter-store"));
    json_t *props = mrp_json_obj(out, "properties");
    assert_non_null(mrp_json_obj(props, "mrpipe"));
    assert_non_null(mrp_json_str(mrp_json_obj(props, "version"), "description"));
    mrp_auto(mrp_free_json) json_t *bare = NULL;
    assert_int_equal(mrp_spec_schema(&bare, NULL, &err), 0);
}

static void long_lines(void **state)
{
    (void)state;
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(1 << 20);
    mrp_buf_adds(&buf, "version: 0.2\nphases:\n  build:\n    commands: [");
    for (int i = 0; i < 1000; i++)
        mrp_buf_adds(&buf, "äbcdefgh, ");
    mrp_buf_adds(&buf, "{a: b}]\n");
    mrp_auto(mrp_free_str) char *got = problems(mrp_buf_str(&buf), buf.len);
    assert_non_null(strstr(got, "commands[1000]"));
    assert_true(strlen(got) < 800);
}

static void quick(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *text = NULL;
    size_t len = 0;
    assert_int_equal(mrp_file_read(&text, &len, "cases/example.yml", 1 << 20, &err), 0);
    int64_t start = mrp_now_us();
    for (int i = 0; i < 200; i++) {
        struct mrp_diags diags = {0};
        mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
        assert_int_equal(mrp_spec_parse(&spec, &diags, "b.yml", text, len, &err), 0);
        mrp_diags_done(&diags);
    }
    print_message("a spec of %zu bytes is read in %lld us\n", len,
                  (long long)(mrp_now_us() - start) / 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_text),        cmocka_unit_test(alias_bombs),
        cmocka_unit_test(deep_nesting),    cmocka_unit_test(big_maps),
        cmocka_unit_test(huge_files),      cmocka_unit_test(places),
        cmocka_unit_test(yaml_round_trip), cmocka_unit_test(schema),
        cmocka_unit_test(long_lines),      cmocka_unit_test(quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
