/* The rollout rules on sequences of answers, and on answers that make no sense. */
#include "../check.h"

#include "rollout.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#define OLD "arn:aws:ecs:us-east-1:1:task-definition/web:1"
#define NEW "arn:aws:ecs:us-east-1:1:task-definition/web:2"
#define OTHER "arn:aws:ecs:us-east-1:1:task-definition/web:9"

/* One deployment: id, status, task definition, rollout state, running, desired, failed. */
#define DEP(id, status, td, state, run, want, bad)                                                 \
    "{\"id\":\"" id "\",\"status\":\"" status "\",\"taskDefinition\":\"" td                        \
    "\",\"rolloutState\":\"" state "\",\"rolloutStateReason\":\"because of " state                 \
    "\",\"runningCount\":" #run ",\"desiredCount\":" #want ",\"failedTasks\":" #bad "}"
#define SERVICE(deployments) "{\"status\":\"ACTIVE\",\"deployments\":[" deployments "]}"

static enum mrp_verdict judge(struct mrp_rollout *r, const char *text)
{
    mrp_auto(mrp_free_json) json_t *service = NULL;
    struct mrp_error err = {0};
    assert_int_equal(mrp_json_parse(&service, text, strlen(text), "test", &err), 0);
    return mrp_rollout_judge(r, service);
}

static struct mrp_rollout mine(void)
{
    return (struct mrp_rollout){.id = "m", .td = NEW, .prev_td = OLD, .prev_id = "o"};
}

static void success(void **state)
{
    struct mrp_rollout r = mine();
    (void)state;
    assert_int_equal(judge(&r, SERVICE(DEP("o", "PRIMARY", OLD, "COMPLETED", 2, 2, 0))),
                     MRP_ROLLING);
    assert_int_equal(judge(&r, SERVICE(DEP("m", "PRIMARY", NEW, "IN_PROGRESS", 0, 2,
                                           0) "," DEP("o", "ACTIVE", OLD, "COMPLETED", 2, 2, 0))),
                     MRP_ROLLING);
    /* all tasks run, yet ECS has not said so */
    assert_int_equal(judge(&r, SERVICE(DEP("m", "PRIMARY", NEW, "IN_PROGRESS", 2, 2, 0))),
                     MRP_ROLLING);
    assert_int_equal(judge(&r, SERVICE(DEP("m", "PRIMARY", NEW, "COMPLETED", 2, 2, 0))),
                     MRP_ROLLED_OUT);
}

static void breaker_with_rollback(void **state)
{
    struct mrp_rollout r = mine();
    (void)state;
    assert_int_equal(judge(&r, SERVICE(DEP("m", "PRIMARY", NEW, "IN_PROGRESS", 0, 2, 2))),
                     MRP_ROLLING);
    assert_int_equal(judge(&r, SERVICE(DEP("b", "PRIMARY", OLD, "IN_PROGRESS", 0, 2,
                                           0) "," DEP("m", "ACTIVE", NEW, "FAILED", 0, 2, 3))),
                     MRP_ROLLED_BACK);
    assert_string_equal(r.why, "because of FAILED");
    /* seen too late: only the rollback is left, and it is COMPLETED */
    r = mine();
    r.seen = true;
    assert_int_equal(judge(&r, SERVICE(DEP("b", "PRIMARY", OLD, "COMPLETED", 2, 2, 0))),
                     MRP_ROLLED_BACK);
    /* and without ever having been seen */
    r = mine();
    for (int i = 1; i < MRP_ROLLOUT_GRACE; i++)
        assert_int_equal(judge(&r, SERVICE(DEP("b", "PRIMARY", OLD, "COMPLETED", 2, 2, 0))),
                         MRP_ROLLING);
    assert_int_equal(judge(&r, SERVICE(DEP("b", "PRIMARY", OLD, "COMPLETED", 2, 2, 0))),
                     MRP_ROLLED_BACK);
    /* mine still IN_PROGRESS beside the rollback */
    r = mine();
    assert_int_equal(judge(&r, SERVICE(DEP("b", "PRIMARY", OLD, "IN_PROGRESS", 0, 2,
                                           0) "," DEP("m", "ACTIVE", NEW, "IN_PROGRESS", 0, 2, 3))),
                     MRP_ROLLED_BACK);
}

static void breaker_without_rollback(void **state)
{
    struct mrp_rollout r = mine();
    (void)state;
    assert_int_equal(judge(&r, SERVICE(DEP("m", "PRIMARY", NEW, "FAILED", 0, 2, 3))),
                     MRP_ROLLED_BACK);
}

static void superseded(void **state)
{
    struct mrp_rollout r = mine();
    (void)state;
    assert_int_equal(judge(&r, SERVICE(DEP("x", "PRIMARY", OTHER, "IN_PROGRESS", 0, 2,
                                           0) "," DEP("m", "ACTIVE", NEW, "IN_PROGRESS", 1, 2, 0))),
                     MRP_SUPERSEDED);
    r = mine();
    r.seen = true;
    assert_int_equal(judge(&r, SERVICE(DEP("x", "PRIMARY", OTHER, "COMPLETED", 2, 2, 0))),
                     MRP_SUPERSEDED);
    /* my revision in somebody else's deployment is not my deployment */
    r = mine();
    r.seen = true;
    assert_int_equal(judge(&r, SERVICE(DEP("x", "PRIMARY", NEW, "COMPLETED", 2, 2, 0))),
                     MRP_SUPERSEDED);
}

static void id_from_the_list(void **state)
{
    struct mrp_rollout r = mine();
    r.id = NULL;
    (void)state;
    assert_int_equal(judge(&r, SERVICE(DEP("o", "PRIMARY", OLD, "COMPLETED", 2, 2, 0))),
                     MRP_ROLLING);
    assert_int_equal(judge(&r, SERVICE(DEP("n", "PRIMARY", NEW, "IN_PROGRESS", 0, 2, 0))),
                     MRP_ROLLING);
    assert_string_equal(r.found, "n");
    assert_int_equal(judge(&r, SERVICE(DEP("n", "PRIMARY", NEW, "COMPLETED", 2, 2, 0))),
                     MRP_ROLLED_OUT);
    /* an id that never changes starts nothing */
    r = mine();
    r.id = NULL;
    enum mrp_verdict v = MRP_ROLLING;
    for (int i = 0; i < MRP_ROLLOUT_GRACE && v == MRP_ROLLING; i++)
        v = judge(&r, SERVICE(DEP("o", "PRIMARY", OLD, "COMPLETED", 2, 2, 0)));
    assert_int_equal(v, MRP_ROLLED_BACK);
}

static void without_state(void **state)
{
    static const char steady[] =
        SERVICE("{\"id\":\"m\",\"status\":\"PRIMARY\",\"runningCount\":2,\"desiredCount\":2}");
    static const char moving[] =
        SERVICE("{\"id\":\"m\",\"status\":\"PRIMARY\",\"runningCount\":1,\"desiredCount\":2}");
    struct mrp_rollout r = mine();
    (void)state;
    assert_int_equal(judge(&r, steady), MRP_ROLLING);
    assert_int_equal(judge(&r, moving), MRP_ROLLING);
    assert_int_equal(judge(&r, steady), MRP_ROLLING);
    assert_int_equal(judge(&r, steady), MRP_ROLLED_OUT);
}

static void tasks_fail(void **state)
{
    struct mrp_rollout r = mine();
    r.fail_fast = 3;
    (void)state;
    assert_int_equal(judge(&r, SERVICE(DEP("m", "PRIMARY", NEW, "IN_PROGRESS", 0, 2, 2))),
                     MRP_ROLLING);
    assert_int_equal(judge(&r, SERVICE(DEP("m", "PRIMARY", NEW, "IN_PROGRESS", 1, 2, 3))),
                     MRP_ROLLING);
    assert_int_equal(judge(&r, SERVICE(DEP("m", "PRIMARY", NEW, "IN_PROGRESS", 0, 2, 3))),
                     MRP_TASKS_FAIL);
    r.fail_fast = 0;
    assert_int_equal(judge(&r, SERVICE(DEP("m", "PRIMARY", NEW, "IN_PROGRESS", 0, 2, 99))),
                     MRP_ROLLING);
    assert_int_equal(judge(&r, SERVICE(DEP("m", "PRIMARY", NEW, "COMPLETED", 0, 0, 0))),
                     MRP_ROLLED_OUT);
}

static void gone(void **state)
{
    struct mrp_rollout r = mine();
    (void)state;
    assert_int_equal(mrp_rollout_judge(&r, NULL), MRP_GONE);
    assert_int_equal(judge(&r, "{\"status\":\"DRAINING\"}"), MRP_GONE);
}

static enum mrp_verdict history(struct mrp_rollout *r, enum mrp_verdict verdict, const char *text)
{
    mrp_auto(mrp_free_json) json_t *sd = NULL;
    struct mrp_error err = {0};
    assert_int_equal(mrp_json_parse(&sd, text, strlen(text), "test", &err), 0);
    return mrp_rollout_history(r, verdict, sd);
}

#define ALARM(status)                                                                              \
    "{\"status\":\"" status                                                                        \
    "\",\"statusReason\":\"alarm detected\",\"alarms\":{\"status\":\"TRIGGERED\","                 \
    "\"alarmNames\":[\"a\",\"b\"],\"triggeredAlarmNames\":[\"b\"]},\"rollback\":{\"reason\":"      \
    "\"so\"}}"

static void by_history(void **state)
{
    static const char going[] = "{\"status\":\"IN_PROGRESS\"}";
    static const char stopped[] =
        "{\"status\":\"STOPPED\",\"deploymentCircuitBreaker\":{\"status\":"
        "\"TRIGGERED\",\"failureCount\":4,\"threshold\":3}}";
    struct mrp_rollout r = mine();
    (void)state;
    assert_int_equal(history(&r, MRP_ROLLING, going), MRP_ROLLING);
    assert_int_equal(history(&r, MRP_ROLLED_OUT, ALARM("ROLLBACK_SUCCESSFUL")), MRP_ROLLED_OUT);
    /* the list gets its time to show it */
    for (int i = 1; i < MRP_ROLLOUT_LOST; i++)
        assert_int_equal(history(&r, MRP_ROLLING, ALARM("ROLLBACK_REQUESTED")), MRP_ROLLING);
    assert_int_equal(history(&r, MRP_ROLLING, ALARM("ROLLBACK_FAILED")), MRP_ROLLED_BACK);
    assert_string_equal(r.why,
                        "its service deployment is ROLLBACK_FAILED; alarm went off: b; alarm "
                        "detected; rollback: so");
    r = mine();
    for (int i = 0; i < MRP_ROLLOUT_LOST; i++)
        (void)history(&r, MRP_ROLLING, stopped);
    assert_string_equal(
        r.why, "its service deployment is STOPPED; circuit breaker: 4 failures, 3 are allowed");
    /* another deployment: somebody else's, unless ECS went back */
    r = mine();
    assert_int_equal(history(&r, MRP_SUPERSEDED, stopped), MRP_SUPERSEDED);
    assert_int_equal(history(&r, MRP_SUPERSEDED, ALARM("ROLLBACK_SUCCESSFUL")), MRP_ROLLED_BACK);
    /* the reason is told even where the history is behind */
    r = mine();
    mrp_copy(r.why, sizeof r.why, "alarm detected");
    assert_int_equal(history(&r, MRP_ROLLED_BACK, ALARM("IN_PROGRESS")), MRP_ROLLED_BACK);
    assert_string_equal(r.why, "alarm detected; alarm went off: b; rollback: so");
    static const char *const texts[] = {"{}", "[]", "{\"status\":7}",
                                        "{\"status\":\"STOPPED\",\"alarms\":[]}"};
    for (size_t i = 0; i < MRP_COUNT(texts); i++) {
        r = mine();
        for (int k = 0; k < 20; k++)
            assert_int_not_equal(history(&r, MRP_ROLLING, texts[i]), MRP_ROLLED_OUT);
    }
}

static void which_history(void **state)
{
#define SD(sd, deployments)                                                                        \
    "{\"status\":\"ACTIVE\",\"currentServiceDeployment\":\"" sd                                    \
    "\",\"deploymentConfiguration\":{\"alarms\":{\"enable\":true,\"alarmNames\":[\"x\",7,\"y\"]}}" \
    ","                                                                                            \
    "\"deployments\":[" deployments "]}"
    struct mrp_rollout r = mine();
    r.prev_sd = "before";
    (void)state;
    assert_int_equal(judge(&r, SD("now", DEP("o", "PRIMARY", OLD, "COMPLETED", 2, 2, 0))),
                     MRP_ROLLING);
    assert_string_equal(r.sd, ""); /* the primary one is not mine */
    assert_int_equal(judge(&r, SD("before", DEP("m", "PRIMARY", NEW, "IN_PROGRESS", 0, 2, 0))),
                     MRP_ROLLING);
    assert_string_equal(r.sd, "");
    assert_int_equal(judge(&r, SD("now", DEP("m", "PRIMARY", NEW, "IN_PROGRESS", 0, 2, 0))),
                     MRP_ROLLING);
    assert_string_equal(r.sd, "now");
    assert_int_equal(judge(&r, SD("theirs", DEP("x", "PRIMARY", OTHER, "IN_PROGRESS", 0, 2, 0))),
                     MRP_SUPERSEDED);
    assert_string_equal(r.sd, "now");
    /* alarms are named where the reason speaks of one */
    r = mine();
    assert_int_equal(judge(&r, SD("now", DEP("m", "PRIMARY", NEW, "FAILED", 0, 2, 0))),
                     MRP_ROLLED_BACK);
    assert_string_equal(r.why, "because of FAILED");
    r = mine();
    assert_int_equal(judge(&r, SD("now", "{\"id\":\"m\",\"status\":\"PRIMARY\",\"rolloutState\":"
                                         "\"FAILED\",\"rolloutStateReason\":\"Alarm detected\"}")),
                     MRP_ROLLED_BACK);
    assert_string_equal(r.why, "Alarm detected; alarms of the service: x, y");
}

/* Whatever the answer, it ends after the grace and never as a success. */
static void nonsense(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"deployments\":{}}",
        "{\"deployments\":[1,null,[],{}]}",
        "{\"deployments\":[{\"id\":7,\"status\":{}}]}",
        "{\"status\":[],\"deployments\":[{\"id\":\"m\"}]}",
        SERVICE("{\"id\":\"m\",\"status\":\"PRIMARY\",\"rolloutState\":\"WHATEVER\"}"),
        SERVICE("{\"id\":\"m\",\"status\":\"ACTIVE\",\"rolloutState\":7}"),
        SERVICE("{\"id\":\"m\",\"status\":\"PRIMARY\",\"rolloutState\":\"FAILED\","
                "\"rolloutStateReason\":"
                "[]}"),
        SERVICE("{\"status\":\"PRIMARY\"},{\"status\":\"PRIMARY\"}"),
    };
    (void)state;
    for (size_t i = 0; i < MRP_COUNT(texts); i++) {
        struct mrp_rollout r = mine();
        for (int k = 0; k < 20; k++)
            assert_int_not_equal(judge(&r, texts[i]), MRP_ROLLED_OUT);
    }
}

static void same_td(void **state)
{
    (void)state;
    assert_true(mrp_rollout_same_td(NEW, NEW));
    assert_true(mrp_rollout_same_td(NEW, "web:2"));
    assert_true(mrp_rollout_same_td("web:2", NEW));
    assert_false(mrp_rollout_same_td(NEW, "eb:2"));
    assert_false(mrp_rollout_same_td(NEW, OLD));
    assert_false(mrp_rollout_same_td(NEW, NULL));
    assert_false(mrp_rollout_same_td(NULL, NULL));
    assert_false(mrp_rollout_same_td(NEW, "arn:aws:ecs:eu-west-1:1:task-definition/web:2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(success),
        cmocka_unit_test(breaker_with_rollback),
        cmocka_unit_test(breaker_without_rollback),
        cmocka_unit_test(superseded),
        cmocka_unit_test(id_from_the_list),
        cmocka_unit_test(without_state),
        cmocka_unit_test(tasks_fail),
        cmocka_unit_test(gone),
        cmocka_unit_test(by_history),
        cmocka_unit_test(which_history),
        cmocka_unit_test(nonsense),
        cmocka_unit_test(same_td),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
