/* The plan and the names of expressions: fan-out, order, selection, results of fanned-out stages.
 */
#include "../check.h"

#include "plan.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

static const char text[] = "version: 0.2\n"
                           "mrpipe:\n"
                           "  regions:\n"
                           "    primary: us-west-2\n"
                           "    secondary: us-east-1\n"
                           "  stages:\n"
                           "    - id: last\n"
                           "      uses: trial/note\n"
                           "      needs: [many]\n"
                           "    - id: many\n"
                           "      uses: trial/note\n"
                           "      needs: [build]\n"
                           "      for-each:\n"
                           "        region: ${{ regions.all }}\n"
                           "        size: [s, l]\n";

struct fixture {
    struct mrp_spec *spec;
    struct mrp_plan plan;
    struct mrp_names names;
};

static int setup(void **state)
{
    static struct fixture f;
    struct mrp_diags diags = {0};
    struct mrp_error err = {0};
    f = (struct fixture){0};
    if (mrp_spec_parse(&f.spec, &diags, "b.yml", text, sizeof text - 1, &err))
        return -1;
    f.names = (struct mrp_names){.spec = f.spec, .primary = "us-west-2", .workdir = "/tmp"};
    if (mrp_plan_build(&f.plan, f.spec, &f.names, &diags, &err))
        return -1;
    f.names.plan = &f.plan;
    mrp_diags_done(&diags);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    mrp_plan_done(&f->plan);
    mrp_spec_free(&f->spec);
    return 0;
}

static void test_order(void **state)
{
    const struct fixture *f = *state;
    static const char *const ids[] = {"many[us-west-2,s]", "many[us-west-2,l]", "many[us-east-1,s]",
                                      "many[us-east-1,l]", "last"};
    assert_int_equal(f->plan.count, MRP_COUNT(ids));
    for (size_t i = 0; i < MRP_COUNT(ids); i++)
        assert_string_equal(f->plan.nodes[i].id, ids[i]);
    assert_string_equal(f->plan.nodes[2].region, "us-east-1");
    assert_int_equal(f->plan.nodes[4].need_count, 4);
    assert_true(f->plan.nodes[0].needs[0] == MRP_NEED_PHASES);
    mrp_auto(mrp_free_json) json_t *j = mrp_plan_json(&f->plan);
    assert_int_equal(json_array_size(j), 5);
}

static void test_selection(void **state)
{
    struct fixture *f = *state;
    struct mrp_error err = {0};
    char last[] = "last", copy[] = "many[us-east-1,s]", wrong[] = "mani";
    char *only[] = {last, NULL}, *bad[] = {wrong, NULL};
    assert_int_equal(mrp_plan_select(&f->plan, only, NULL, &err), 0);
    assert_false(f->plan.nodes[0].selected);
    assert_true(f->plan.nodes[4].selected);
    assert_int_equal(mrp_plan_select(&f->plan, NULL, copy, &err), 0);
    assert_false(f->plan.nodes[0].forced);
    assert_true(f->plan.nodes[2].forced && f->plan.nodes[4].forced);
    assert_int_equal(mrp_plan_select(&f->plan, bad, NULL, &err), MRP_E_CONFIG);
}

/* The value of one expression as JSON text; NULL: code in *rc. */
static char *eval(struct fixture *f, const struct mrp_node *node, const char *expr, int *rc)
{
    struct mrp_names_of of = {&f->names, node};
    struct mrp_scope scope = mrp_names_scope(&of);
    struct mrp_error err = {0};
    mrp_auto(mrp_free_json) json_t *in = json_string(expr), *out = NULL;
    *rc = mrp_expr_fill(&out, in, &scope, NULL, &err);
    return *rc ? NULL : json_dumps(out, JSON_COMPACT | JSON_ENCODE_ANY);
}

static void test_names(void **state)
{
    struct fixture *f = *state;
    const struct mrp_node *node = &f->plan.nodes[2];
    int rc;
    check_owned(eval(f, node, "${{ region }}/${{ size }}", &rc), "\"us-east-1/s\"");
    check_owned(eval(f, NULL, "${{ regions.secondary }}", &rc), "\"us-east-1\"");
    check_owned(eval(f, NULL, "${{ regions.all }}", &rc), "[\"us-west-2\",\"us-east-1\"]");
    assert_null(eval(f, node, "${{ env.HOME }}", &rc));
    assert_int_equal(rc, MRP_E_CANCELLED);
    char home[] = "HOME=/h";
    char *env[] = {home, NULL};
    f->names.env = env;
    check_owned(eval(f, node, "${{ env.HOME }}", &rc), "\"/h\"");
    assert_null(eval(f, node, "${{ env.HOM }}", &rc));
    assert_int_equal(rc, MRP_E_NOTFOUND);
    assert_null(eval(f, node, "${{ regions.third }}", &rc));
    assert_int_equal(rc, MRP_E_NOTFOUND);
    f->names.env = NULL;
}

static void test_outputs(void **state)
{
    struct fixture *f = *state;
    int rc;
    assert_null(eval(f, NULL, "${{ stages.many.result }}", &rc));
    assert_int_equal(rc, MRP_E_CANCELLED);
    for (size_t i = 0; i < 4; i++) {
        struct mrp_node *node = &f->plan.nodes[i];
        node->state = MRP_NODE_DONE;
        node->result = i == 1 ? "changed" : "unchanged";
        mrp_json_puti(node->outputs, "n", (int64_t)i);
    }
    check_owned(eval(f, NULL, "${{ stages.many.result }}", &rc), "\"changed\"");
    check_owned(eval(f, NULL, "${{ stages.many.outputs.n }}", &rc),
                "{\"us-west-2,s\":0,\"us-west-2,l\":1,\"us-east-1,s\":2,\"us-east-1,l\":3}");
    assert_null(eval(f, NULL, "${{ stages.mny.result }}", &rc));
    assert_int_equal(rc, MRP_E_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_selection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_outputs, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
