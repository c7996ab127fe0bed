/* Expressions: values, types, conditions, functions, errors with their place, hostile input. */
#include "expr.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int lookup(void *arg, json_t **out, const char *name, struct mrp_error *err)
{
    (void)arg;
    if (!strcmp(name, "env.A"))
        *out = json_string("alpha");
    else if (!strcmp(name, "env.EMPTY"))
        *out = json_string("");
    else if (!strcmp(name, "env.NO"))
        *out = json_string("false");
    else if (!strcmp(name, "regions.secondary"))
        *out = json_pack("[ss]", "us-east-1", "eu-west-1");
    else if (!strcmp(name, "stages.images.outputs.images"))
        *out = json_pack("{s:{s:s},s:i}", "us-east-1", "digest", "sha256:1", "n", 3);
    else if (!strcmp(name, "stages.late.outputs.x"))
        return mrp_fail(err, MRP_E_CANCELLED, "known after run");
    else if (!strcmp(name, "stages.images.result"))
        *out = json_string("changed");
    else if (!strcmp(name, "run.source-version"))
        *out = json_string("abc123");
    else if (!strcmp(name, "region"))
        *out = json_string("us-east-1");
    else
        return mrp_fail(err, MRP_E_NOTFOUND, "unknown name `%s`", name);
    return 0;
}

static struct mrp_scope scope_in(const char *dir, bool ready)
{
    return (struct mrp_scope){.lookup = lookup, .workdir = dir, .files_ready = ready};
}

/* The value of a text as JSON text; "!code@offset path" on failure. */
static char *filled(const char *text, const struct mrp_scope *scope)
{
    struct mrp_error err = {0};
    mrp_auto(mrp_free_json) json_t *in = json_string(text);
    mrp_auto(mrp_free_json) json_t *out = NULL;
    mrp_auto(mrp_free_str) char *path = NULL;
    int rc = mrp_expr_fill(&out, in, scope, &path, &err);
    if (rc)
        return mrp_strf("!%s@%ld", mrp_code_name((enum mrp_code)rc), err.upstream);
    return json_dumps(out, JSON_ENCODE_ANY | JSON_COMPACT);
}

struct row {
    const char *text, *want;
};

static void check_rows(const struct row *rows, size_t count)
{
    struct mrp_scope scope = scope_in(".", true);
    for (size_t i = 0; i < count; i++) {
        mrp_auto(mrp_free_str) char *got = filled(rows[i].text, &scope);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: got %s, wanted %s", rows[i].text, got, rows[i].want);
    }
}

static void values(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"plain $HOME {{x}}", "\"plain $HOME {{x}}\""},
        {"${{ env.A }}", "\"alpha\""},
        {"  ${{env.A}}\n", "\"alpha\""},
        {"core/${{ run.source-version }}.zip", "\"core/abc123.zip\""},
        {"${{ env.A }}-${{ region }}", "\"alpha-us-east-1\""},
        {"${{ regions.secondary }}", "[\"us-east-1\",\"eu-west-1\"]"},
        {"${{ regions.secondary[1] }}", "\"eu-west-1\""},
        {"${{ stages.images.outputs.images }}",
         "{\"us-east-1\":{\"digest\":\"sha256:1\"},\"n\":3}"},
        {"${{ stages.images.outputs.images.us-east-1.digest }}", "\"sha256:1\""},
        {"${{ stages.images.outputs.images[region].digest }}", "\"sha256:1\""},
        {"${{ stages.images.outputs.images.n }}", "3"},
        {"n=${{ stages.images.outputs.images.n }}", "\"n=3\""},
        {"${{ 'it''s' }}", "\"it's\""},
        {"${{ \"a }} b\" }}", "\"a }} b\""},
        {"${{ '${{' }}", "\"${{\""},
        {"${{ true }}", "true"},
        {"${{ 12 }}", "12"},
        {"${{ -3 }}", "-3"},
    };
    check_rows(rows, MRP_COUNT(rows));
}

static void functions(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"${{ lower('ABC-Ä') }}", "\"abc-Ä\""},
        {"${{ replace('a.b.c', '.', '--') }}", "\"a--b--c\""},
        {"${{ replace('abc', 'c', '') }}", "\"ab\""},
        {"${{ replace('abc', '', 'x') }}", "!config@5"},
        {"${{ basename('host/ns/core:1.4') }}", "\"core:1.4\""},
        {"${{ basename('dir/') }}", "\"dir\""},
        {"${{ default(env.MISSING, 'x') }}", "\"x\""},
        {"${{ default(env.EMPTY, 'x') }}", "\"x\""},
        {"${{ default(env.A, 'x') }}", "\"alpha\""},
        {"${{ default(stages.images.outputs.images.none, 7) }}", "7"},
        {"${{ default(stages.late.outputs.x, 'x') }}", "!cancelled@13"},
        {"${{ lower(basename(replace('A/B', 'B', 'C'))) }}", "\"c\""},
    };
    check_rows(rows, MRP_COUNT(rows));
}

static void failures(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"${{ env.B }}", "!not-found@5"},
        {"ä${{ env.B }}", "!not-found@6"},
        {"${{ stages.late.outputs.x }}", "!cancelled@5"},
        {"a ${{ regions.secondary }}", "!config@7"},
        {"${{ regions.secondary[7] }}", "!not-found@23"},
        {"${{ env.A.x }}", "!config@11"},
        {"${{ }}", "!config@5"},
        {"${{ env }}", "!config@9"},
        {"${{ env.A", "!config@1"},
        {"${{ 'x }}", "!config@5"},
        {"${{ nope(1) }}", "!config@5"},
        {"${{ lower() }}", "!config@11"},
        {"${{ lower('a', 'b') }}", "!config@16"},
        {"${{ a = b }}", "!config@7"},
        {"${{ $A }}", "!config@5"},
        {"${{ stages.x.y }}", "!config@14"},
        {"${{ 1 2 }}", "!config@7"},
        {"${{ 12a }}", "!config@5"},
        {"${{ file('../../etc/passwd') }}", "!config@10"},
    };
    struct mrp_scope scope = scope_in(".", true);
    for (size_t i = 0; i < MRP_COUNT(rows); i++) {
        mrp_auto(mrp_free_str) char *got = filled(rows[i].text, &scope);
        mrp_auto(mrp_free_str) char *want = mrp_strdup(rows[i].want);
        if (mrp_starts(want, "!not-found"))
            assert_true(mrp_starts(got, "!notfound") || mrp_starts(got, "!not-found") ||
                        mrp_starts(got, "!not_found"));
        else if (strcmp(got, want) != 0)
            fail_msg("%s: got %s, wanted %s", rows[i].text, got, want);
        assert_string_equal(strchr(got, '@'), strchr(want, '@'));
    }
}

static void conditions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int want; /* 1, 0, -1: not known yet, -2: wrong */
    } rows[] = {
        {"env.A == 'alpha'", 1},
        {"${{ env.A == 'alpha' }}", 1},
        {" ${{ env.A != 'alpha' }} ", 0},
        {"!env.A", 0},
        {"!env.EMPTY && !env.NO", 1},
        {"env.EMPTY || env.A", 1},
        {"(env.A == 'x' || true) && 'y'", 1},
        {"stages.images.result == 'changed'", 1},
        {"stages.images.outputs.images.n == '3'", 1},
        {"stages.images.outputs.images.n == 3", 1},
        {"true == 'true'", 1},
        {"0", 0},
        {"'false'", 0},
        {"false && stages.late.outputs.x", 0},
        {"true || stages.late.outputs.x", 1},
        {"stages.late.outputs.x || true", -1},
        {"regions.secondary == regions.secondary", 1},
        {"env.A == ", -2},
        {"${{ env.A }} == 'alpha'", -2},
        {"'x' == ${{ env.A }}", -2},
        {"env.A & env.B", -2},
        {"", -2},
        {"env.B == 'x'", -2},
    };
    struct mrp_scope scope = scope_in(".", true);
    for (size_t i = 0; i < MRP_COUNT(rows); i++) {
        struct mrp_error err = {0};
        bool yes = false;
        int rc = mrp_expr_test(&yes, rows[i].text, &scope, &err);
        int got = rc == MRP_E_CANCELLED ? -1 : rc ? -2 : yes;
        if (got != rows[i].want)
            fail_msg("%s: got %d, wanted %d (%s)", rows[i].text, got, rows[i].want, err.msg);
    }
}

static void files(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *dir = NULL;
    assert_int_equal(mrp_temp_dir(&dir, "expr", &err), 0);
    struct mrp_scope scope = scope_in(dir, true);
    static const struct {
        const char *name, *text;
    } made[] = {
        {"ok.json",
         "[{\"name\":\"a\",\"imageUri\":\"r/a:1\"},{\"name\":\"b\",\"imageUri\":\"r/a:1\"},"
         "{\"name\":\"a\",\"imageUri\":\"r/a:1\"}]"},
        {"bad.json", "[{\"name\":\"a\"}]"},
        {"no.json", "{"},
        {"empty.json", "[]"},
        {"note.txt", "two\nlines\n\n"},
        {"bytes.bin", "\xff\xfe"},
    };
    for (size_t i = 0; i < MRP_COUNT(made); i++) {
        mrp_auto(mrp_free_str) char *path = mrp_strf("%s/%s", dir, made[i].name);
        assert_int_equal(
            mrp_file_write(path, made[i].text, strlen(made[i].text), 0644, false, &err), 0);
    }
    mrp_auto(mrp_free_str) char *link = mrp_strf("%s/link", dir);
    assert_int_equal(symlink("/etc", link), 0);
    static const struct row rows[] = {
        {"${{ imagedefinitions('ok.json') }}",
         "[{\"name\":\"a\",\"imageUri\":\"r/a:1\"},{\"name\":\"b\",\"imageUri\":\"r/a:1\"}]"},
        {"${{ imagedefinitions('bad.json') }}", "!config@5"},
        {"${{ imagedefinitions('no.json') }}", "!config@5"},
        {"${{ imagedefinitions('empty.json') }}", "!config@5"},
        {"${{ imagedefinitions('missing.json') }}", "!io@5"},
        {"${{ file('note.txt') }}", "\"two\\nlines\""},
        {"${{ file('bytes.bin') }}", "!config@5"},
        {"${{ file('../x') }}", "!config@10"},
        {"${{ file('/etc/passwd') }}", "!config@10"},
        {"${{ file('link/passwd') }}", "!config@5"},
        {"${{ file('') }}", "!config@10"},
    };
    for (size_t i = 0; i < MRP_COUNT(rows); i++) {
        mrp_auto(mrp_free_str) char *got = filled(rows[i].text, &scope);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: got %s, wanted %s", rows[i].text, got, rows[i].want);
    }
    scope.files_ready = false;
    mrp_auto(mrp_free_str) char *later = filled("${{ file('note.txt') }}", &scope);
    assert_string_equal(later, "!cancelled@5");
    mrp_auto(mrp_free_str) char *never = filled("${{ imagedefinitions('../x') }}", &scope);
    assert_string_equal(never, "!config@22");
    mrp_remove_tree(dir, &err);
}

/* Seen although nothing around them is known yet. */
static void literals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        long at; /* 0: nothing wrong */
    } rows[] = {
        {"plain ../x", 0},
        {"${{ file('a/../b') }}", 0},
        {"${{ file(env.A) }}", 0},
        {"${{ replace(stages.late.outputs.x, 'a', '') }}", 0},
        {"${{ file('../x') }}", 10},
        {"${{ imagedefinitions('a/../../x') }}", 22},
        {"${{ default(stages.late.outputs.x, file('/etc/passwd')) }}", 41},
        {"ä ${{ stages.late.outputs.x }}/${{ file('..') }}", 41},
        {"${{ env.EMPTY && file('.') }}", 23},
        {"${{ replace(stages.late.outputs.x, '', 'b') }}", 36},
        {"${{ file('x' }}", 14},
    };
    struct mrp_scope scope = scope_in(".", false);
    for (size_t i = 0; i < MRP_COUNT(rows); i++) {
        struct mrp_error err = {0};
        mrp_auto(mrp_free_str) char *path = NULL;
        mrp_auto(mrp_free_json) json_t *in = json_pack("{s:[s,s]}", "a", "b", rows[i].text);
        int rc = mrp_expr_literals(in, &scope, &path, &err);
        if (rc != (rows[i].at ? MRP_E_CONFIG : 0) || (rc && err.upstream != rows[i].at))
            fail_msg("%s: %d at %ld: %s", rows[i].text, rc, err.upstream, err.msg);
        if (rc)
            assert_string_equal(path, "a[1]");
    }
    struct mrp_error err = {0};
    assert_int_equal(mrp_expr_condition_literals("env.A == 'x' && file('../y')", &scope, &err),
                     MRP_E_CONFIG);
    assert_int_equal(err.upstream, 22);
    assert_int_equal(mrp_expr_condition_literals("env.A == '../y'", &scope, &err), 0);
}

static void nested_values(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    struct mrp_scope scope = scope_in(".", true);
    mrp_auto(mrp_free_json) json_t *in =
        json_pack("{s:[[s],s],s:{s:s,s:i,s:b}}", "waves", "${{ region }}", "x", "map", "k",
                  "v-${{ env.A }}", "n", 4, "b", 1);
    mrp_auto(mrp_free_json) json_t *out = NULL;
    assert_int_equal(mrp_expr_fill(&out, in, &scope, NULL, &err), 0);
    mrp_auto(mrp_free_str) char *text = mrp_json_text(out);
    assert_string_equal(text,
                        "{\"waves\":[[\"us-east-1\"],\"x\"],\"map\":{\"k\":\"v-alpha\",\"n\":4,"
                        "\"b\":true}}");

    mrp_auto(mrp_free_json) json_t *bad =
        json_pack("{s:{s:[s,[s]]}}", "a", "b", "x", "${{ env.B }}");
    mrp_auto(mrp_free_json) json_t *none = NULL;
    mrp_auto(mrp_free_str) char *path = NULL;
    assert_int_equal(mrp_expr_fill(&none, bad, &scope, &path, &err), MRP_E_NOTFOUND);
    assert_string_equal(path, "a.b[1][0]");
    assert_null(none);
}

struct seen {
    char text[400];
};

static int on_name(void *arg, const char *path, const char *name, int offset, struct mrp_error *err)
{
    (void)err;
    struct seen *seen = arg;
    size_t n = strlen(seen->text);
    snprintf(seen->text + n, sizeof seen->text - n, "%s|%s|%d\n", path, name, offset);
    return 0;
}

static void names(void **state)
{
    (void)state;
    struct mrp_error err = {0};
    struct seen seen = {""};
    mrp_auto(mrp_free_json) json_t *in =
        json_pack("{s:s,s:[s]}", "a", "${{ default(env.X, region) }} ${{ stages.s.outputs.o.f }}",
                  "l", "ü${{ lower(run.id) }}");
    assert_int_equal(mrp_expr_names(in, on_name, &seen, &err), 0);
    assert_string_equal(seen.text,
                        "a|env.X|13\na|region|20\na|stages.s.outputs.o|35\nl[0]|run.id|12\n");
    mrp_auto(mrp_free_json) json_t *bad = json_pack("[s]", "${{ + }}");
    assert_int_equal(mrp_expr_names(bad, on_name, &seen, &err), MRP_E_CONFIG);
    assert_int_equal(err.upstream, 5);
}

static void hostile(void **state)
{
    (void)state;
    struct mrp_scope scope = scope_in(".", true);
    static const struct row rows[] = {{"(", ")"}, {"!", ""}, {"lower(", ")"}, {"[", "]"}};
    for (size_t i = 0; i < MRP_COUNT(rows); i++) {
        mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(1 << 21);
        mrp_buf_adds(&buf, "${{ ");
        for (int n = 0; n < 100000; n++)
            mrp_buf_adds(&buf, rows[i].text);
        mrp_buf_adds(&buf, "env.A }}");
        mrp_auto(mrp_free_str) char *got = filled(mrp_buf_str(&buf), &scope);
        assert_true(mrp_starts(got, "!config"));
    }
    mrp_auto(mrp_buf_done) struct mrp_buf chain = MRP_BUF_INIT(1 << 21);
    mrp_buf_adds(&chain, "${{ env.A");
    for (int n = 0; n < 100000; n++)
        mrp_buf_adds(&chain, " && env.A");
    mrp_buf_adds(&chain, " }}");
    mrp_auto(mrp_free_str) char *got = filled(mrp_buf_str(&chain), &scope);
    assert_true(mrp_starts(got, "!config"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),        cmocka_unit_test(functions), cmocka_unit_test(failures),
        cmocka_unit_test(conditions),    cmocka_unit_test(files),     cmocka_unit_test(literals),
        cmocka_unit_test(nested_values), cmocka_unit_test(names),     cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
