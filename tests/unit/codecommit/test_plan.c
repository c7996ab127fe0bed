/* Selection, plans, guards, batches. */
#include "lane.h"
#include "plan.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* "refs/heads/a=1 refs/heads/b=2": names with a one-digit id. */
static void table(struct mrp_refs *out, const char *text)
{
    struct mrp_error err = {0};
    *out = (struct mrp_refs){0};
    char **words = mrp_split(text, ' ');
    for (char **w = words; *w; w++) {
        size_t n = strlen(*w);
        struct mrp_oid id;
        memset(&id, (*w)[n - 1], sizeof id);
        assert_int_equal(mrp_refs_add(out, *w, n - 2, &id, &err), 0);
    }
    mrp_free_strv(&words);
    assert_int_equal(mrp_refs_finish(out, &err), 0);
}

static struct mrp_plan
plan(struct mrp_refs *src, struct mrp_refs *dst, const struct mrp_policy *policy)
{
    struct mrp_plan p = {0};
    struct mrp_error err = {0};
    assert_int_equal(mrp_plan_make(&p, src, dst, policy, &err), 0);
    return p;
}

static void patterns(void **state)
{
    (void)state;
    assert_true(mrp_pattern_match("heads", "refs/heads/a/b"));
    assert_false(mrp_pattern_match("heads", "refs/tags/a"));
    assert_true(mrp_pattern_match("tags", "refs/tags/v1"));
    assert_true(mrp_pattern_match("notes", "refs/notes/commits"));
    assert_true(mrp_pattern_match("all", "refs/pull/1/head"));
    assert_true(mrp_pattern_match("refs/pull/*", "refs/pull/1/head"));
    assert_true(mrp_pattern_match("release/*", "refs/heads/release/1"));
    assert_true(mrp_pattern_match("v*", "refs/tags/v1"));
    assert_false(mrp_pattern_match("v*", "refs/notes/v1"));
    struct mrp_policy p = {0};
    assert_true(mrp_policy_selects(&p, "refs/heads/a"));
    assert_false(mrp_policy_selects(&p, "refs/notes/a"));
    char tags[] = "tags", star[] = "v2*", no[] = "no";
    char *only[] = {tags, NULL}, *but[] = {star, NULL}, *none[] = {no, NULL};
    p.refs = only;
    p.exclude = but;
    assert_false(mrp_policy_selects(&p, "refs/heads/a"));
    assert_true(mrp_policy_selects(&p, "refs/tags/v1"));
    assert_false(mrp_policy_selects(&p, "refs/tags/v21"));
    assert_true(mrp_policy_forces(&p, "refs/heads/a"));
    p.force = none;
    assert_false(mrp_policy_forces(&p, "refs/heads/a"));
    p.force = only;
    assert_true(mrp_policy_forces(&p, "refs/tags/a"));
    assert_false(mrp_policy_forces(&p, "refs/heads/a"));
}

static void limits(void **state)
{
    (void)state;
    struct mrp_policy p = {0};
    struct mrp_error err = {0};
    assert_int_equal(mrp_policy_prune_limit(&p, "50%", &err), 0);
    assert_int_equal(p.prune_percent, 50);
    assert_int_equal(mrp_policy_prune_limit(&p, "20", &err), 0);
    assert_int_equal(p.prune_count, 20);
    assert_int_equal(mrp_policy_prune_limit(&p, "all", &err), 0);
    assert_true(p.prune_all);
    static const char *const bad[] = {"", "%", "101%", "-1", "0", "0%", "half", "5 %"};
    for (size_t i = 0; i < MRP_COUNT(bad); i++)
        assert_int_equal(mrp_policy_prune_limit(&p, bad[i], &err), MRP_E_CONFIG);
}

static void creates_updates_deletes(void **state)
{
    (void)state;
    struct mrp_refs src, dst;
    table(&src, "refs/heads/a=1 refs/heads/b=2 refs/heads/main=3 refs/tags/t=4 refs/notes/n=5");
    table(&dst, "refs/heads/a=1 refs/heads/b=9 refs/heads/gone=2 refs/pull/1=8");
    src.head = mrp_strdup("refs/heads/main");
    struct mrp_policy policy = {.prune = true, .prune_percent = 50};
    struct mrp_error err = {0};
    struct mrp_plan p = plan(&src, &dst, &policy);
    assert_int_equal(p.count, 4);
    assert_int_equal(p.deletes, 1);
    assert_int_equal(p.creates, 2);
    assert_int_equal(p.changes, 1);
    assert_int_equal(p.unchanged, 1);
    assert_string_equal(p.list[0].name, "refs/heads/gone");
    assert_string_equal(p.list[1].name, "refs/heads/main");
    assert_string_equal(p.list[2].name, "refs/heads/b");
    assert_string_equal(mrp_update_verb(&p.list[2]), "update");
    assert_string_equal(mrp_update_verb(&p.list[1]), "create");
    assert_string_equal(mrp_update_verb(&p.list[0]), "delete");
    assert_false(p.collides);
    for (size_t i = 0; i < p.count; i++)
        assert_ptr_equal(mrp_plan_lookup(&p, p.list[i].name), &p.list[i]);
    assert_null(mrp_plan_lookup(&p, "refs/heads/a"));
    assert_int_equal(mrp_plan_guard(&p, &policy, &err), 0);
    p.list[0].state = p.list[2].state = MRP_UPDATE_REFUSED;
    mrp_plan_drop_refused(&p);
    assert_int_equal(p.count, 2);
    assert_int_equal(p.deletes, 0);
    assert_non_null(mrp_plan_lookup(&p, "refs/tags/t"));
    mrp_plan_done(&p);
    policy.prune = false;
    p = plan(&src, &dst, &policy);
    assert_int_equal(p.deletes, 0);
    mrp_plan_done(&p);
    mrp_refs_done(&src);
    mrp_refs_done(&dst);
}

static void guards(void **state)
{
    (void)state;
    struct mrp_refs src, dst, none;
    struct mrp_error err = {0};
    table(&src, "refs/heads/a=1");
    table(&dst, "refs/heads/a=1 refs/heads/b=9 refs/heads/c=2");
    table(&none, "");
    struct mrp_policy policy = {.prune = true, .prune_percent = 50};
    struct mrp_plan p = plan(&src, &dst, &policy);
    assert_int_equal(mrp_plan_guard(&p, &policy, &err), MRP_E_CONFLICT);
    policy.prune_percent = 67;
    assert_int_equal(mrp_plan_guard(&p, &policy, &err), 0);
    policy.prune_count = 1;
    assert_int_equal(mrp_plan_guard(&p, &policy, &err), MRP_E_CONFLICT);
    policy.prune_count = 2;
    assert_int_equal(mrp_plan_guard(&p, &policy, &err), 0);
    mrp_plan_done(&p);
    policy = (struct mrp_policy){.prune = true, .prune_percent = 99};
    p = plan(&none, &dst, &policy);
    assert_int_equal(mrp_plan_guard(&p, &policy, &err), MRP_E_CONFLICT);
    policy.prune_all = true;
    assert_int_equal(mrp_plan_guard(&p, &policy, &err), 0);
    mrp_plan_done(&p);
    p = plan(&none, &none, &policy);
    assert_int_equal(p.count, 0);
    mrp_plan_done(&p);
    mrp_refs_done(&src);
    mrp_refs_done(&dst);
    mrp_refs_done(&none);
}

static bool collides(const char *src_text, const char *dst_text)
{
    struct mrp_refs src, dst;
    struct mrp_policy policy = {.prune = true, .prune_all = true};
    table(&src, src_text);
    table(&dst, dst_text);
    struct mrp_plan p = plan(&src, &dst, &policy);
    bool yes = p.collides;
    mrp_plan_done(&p);
    mrp_refs_done(&src);
    mrp_refs_done(&dst);
    return yes;
}

static void files_and_folders(void **state)
{
    (void)state;
    assert_true(collides("refs/heads/a/b=1", "refs/heads/a=1"));
    assert_true(collides("refs/heads/a=1", "refs/heads/a/b=1"));
    assert_true(collides("refs/heads/a/b/c/d=1", "refs/heads/a/b=1 refs/heads/x=2"));
    assert_false(collides("refs/heads/a-b=1", "refs/heads/a=1"));
    assert_false(collides("refs/heads/ab=1", "refs/heads/a=1"));
    assert_false(collides("refs/heads/a=1", "refs/heads/a.b=1"));
    assert_true(collides("refs/heads/a!=1 refs/heads/a-=1 refs/heads/a/z=1 refs/heads/a0=1",
                         "refs/heads/a=1"));
}

static void sharing_a_pack(void **state)
{
    (void)state;
    struct mrp_refs src, one, two, none;
    struct mrp_policy policy = {.prune = true, .prune_all = true};
    struct mrp_error err = {0};
    table(&src, "refs/heads/a=2");
    table(&one, "refs/heads/a=1");
    table(&two, "refs/heads/a=1 refs/heads/old=1");
    table(&none, "");
    struct mrp_lane a = {.plan = plan(&src, &one, &policy)},
                    b = {.plan = plan(&src, &two, &policy)},
                    c = {.plan = plan(&src, &none, &policy)};
    assert_int_equal(mrp_refs_all_oids(&a.haves, &one, &err), 0);
    assert_int_equal(mrp_refs_all_oids(&b.haves, &two, &err), 0);
    assert_int_equal(mrp_refs_all_oids(&c.haves, &none, &err), 0);
    assert_true(mrp_lanes_share(&a, &b));  /* b has a delete besides */
    assert_false(mrp_lanes_share(&a, &c)); /* c has nothing: its pack is the whole history */
    mrp_lane_done(&a);
    mrp_lane_done(&b);
    mrp_lane_done(&c);
    mrp_refs_done(&src);
    mrp_refs_done(&one);
    mrp_refs_done(&two);
    mrp_refs_done(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns),
        cmocka_unit_test(limits),
        cmocka_unit_test(creates_updates_deletes),
        cmocka_unit_test(guards),
        cmocka_unit_test(files_and_folders),
        cmocka_unit_test(sharing_a_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
