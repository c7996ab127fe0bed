/* Golden files: cases/NAME.yml must give cases/NAME.out, the diagnostics and then the model.
 * A first line `# --to REGION [--map A=B] [--with FILE]` gives arguments. UPDATE=1 rewrites. */
#include "dump.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct arguments {
    char **to, **maps;
    char *sidecar;
};

static void read_arguments(struct arguments *a, const char *path)
{
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *text = NULL;
    assert_int_equal(mrp_file_read(&text, NULL, path, 1 << 21, &err), 0);
    if (!mrp_starts(text, "# --"))
        return;
    text[strcspn(text, "\n")] = '\0';
    mrp_auto(mrp_free_strv) char **words = mrp_split(text + 2, ' ');
    for (size_t i = 0; words[i] && words[i + 1]; i += 2) {
        if (!strcmp(words[i], "--to"))
            assert_int_equal(mrp_strv_add(&a->to, words[i + 1]), 0);
        else if (!strcmp(words[i], "--map"))
            assert_int_equal(mrp_strv_add(&a->maps, words[i + 1]), 0);
        else
            a->sidecar = mrp_strf("cases/%s", words[i + 1]);
    }
}

static char *result_of(const char *path)
{
    struct mrp_error err = {0};
    struct mrp_diags diags = {0};
    struct arguments a = {0};
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(1 << 22);
    read_arguments(&a, path);
    int rc = mrp_spec_load(&spec, &diags, path, a.sidecar, &err);
    if (!rc && a.to) {
        struct mrp_derive how = {.to = a.to, .maps = a.maps};
        rc = mrp_spec_derive(spec, &how, &diags, &err);
    }
    assert_true(rc || !diags.errors);
    mrp_auto(mrp_free_str) char *text = mrp_diags_text(&diags, false);
    mrp_buf_adds(&buf, text);
    if (rc) {
        mrp_buf_addf(&buf, "=> %s\n", err.msg);
    } else {
        mrp_auto(mrp_free_str) char *model = dump_spec(spec);
        mrp_auto(mrp_free_str) char *yaml = a.to ? mrp_spec_pipeline_yaml(spec) : NULL;
        mrp_buf_addf(&buf, "%s\n%s", model, yaml ? yaml : "");
    }
    mrp_diags_done(&diags);
    mrp_free_strv(&a.to);
    mrp_free_strv(&a.maps);
    free(a.sidecar);
    return mrp_buf_take(&buf);
}

static int check_case(const char *path)
{
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *got = result_of(path);
    mrp_auto(mrp_free_str) char *golden = mrp_strf("%.*s.out", (int)strlen(path) - 4, path);
    mrp_auto(mrp_free_str) char *want = NULL;
    if (getenv("UPDATE"))
        return mrp_file_write(golden, got, strlen(got), 0644, false, &err);
    if (mrp_file_read(&want, NULL, golden, 1 << 22, &err) || strcmp(want, got) != 0) {
        printf("---- %s: got\n%s---- wanted\n%s", path, got, want ? want : "(no file)\n");
        return 1;
    }
    return 0;
}

static void golden_files(void **state)
{
    (void)state;
    glob_t found = {0};
    assert_int_equal(glob("cases/*.yml", 0, NULL, &found), 0);
    int bad = 0;
    for (size_t i = 0; i < found.gl_pathc; i++)
        bad += check_case(found.gl_pathv[i]) != 0;
    assert_true(found.gl_pathc > 10);
    globfree(&found);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
