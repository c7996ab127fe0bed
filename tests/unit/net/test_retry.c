/* The retry table and the pacing, without a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pacing.h"
#include "retry.h"

#include <mrpipe/text.h>
#include <mrpipe/time.h>

static void classes(void **state)
{
    (void)state;
    assert_int_equal(retry_class_of(CURLE_OK, 200, ""), RETRY_NO);
    assert_int_equal(retry_class_of(CURLE_OK, 404, ""), RETRY_NO);
    assert_int_equal(retry_class_of(CURLE_OK, 400, "ValidationException"), RETRY_NO);
    assert_int_equal(retry_class_of(CURLE_OK, 400, "ThrottlingException"), RETRY_THROTTLE);
    assert_int_equal(retry_class_of(CURLE_OK, 400, "RequestTimeout"), RETRY_TRANSIENT);
    assert_int_equal(retry_class_of(CURLE_OK, 429, ""), RETRY_THROTTLE);
    assert_int_equal(retry_class_of(CURLE_OK, 503, ""), RETRY_THROTTLE);
    assert_int_equal(retry_class_of(CURLE_OK, 500, "Whatever"), RETRY_TRANSIENT);
    assert_int_equal(retry_class_of(CURLE_COULDNT_CONNECT, 0, ""), RETRY_CONNECT);
    assert_int_equal(retry_class_of(CURLE_RECV_ERROR, 200, ""), RETRY_TRANSIENT);
    assert_int_equal(retry_class_of(CURLE_PEER_FAILED_VERIFICATION, 0, ""), RETRY_NO);
    assert_int_equal(retry_class_of(CURLE_WRITE_ERROR, 200, ""), RETRY_NO);
}

static void once(void **state)
{
    (void)state;
    static const struct {
        enum retry_class kind, want;
        int status;
        const char *code;
    } cases[] = {
        {RETRY_THROTTLE, RETRY_THROTTLE, 429, ""},
        {RETRY_THROTTLE, RETRY_THROTTLE, 400, "ThrottlingException"},
        {RETRY_THROTTLE, RETRY_THROTTLE, 503, "SlowDown"},
        {RETRY_THROTTLE, RETRY_TRANSIENT, 503,
         ""}, /* a gateway that lost its backend says so too */
        {RETRY_THROTTLE, RETRY_TRANSIENT, 503, "Other"},
        {RETRY_TRANSIENT, RETRY_TRANSIENT, 500, "InternalFailure"},
        {RETRY_CONNECT, RETRY_CONNECT, 0, ""},
        {RETRY_NO, RETRY_NO, 400, "ClientException"},
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++)
        assert_int_equal(retry_class_once(cases[i].kind, cases[i].status, cases[i].code),
                         cases[i].want);
}

static void limits(void **state)
{
    (void)state;
    assert_true(retry_allowed(RETRY_TRANSIENT, 1, 0, true));
    assert_false(retry_allowed(RETRY_TRANSIENT, 1, 0, false));
    assert_true(retry_allowed(RETRY_THROTTLE, 1, 0, false));
    assert_true(retry_allowed(RETRY_CONNECT, 1, 0, false));
    assert_false(retry_allowed(RETRY_THROTTLE, 1, -1, true));
    assert_true(retry_allowed(RETRY_THROTTLE, 8, 0, true));
    assert_false(retry_allowed(RETRY_THROTTLE, 9, 0, true));
    assert_true(retry_allowed(RETRY_TRANSIENT, 2, 2, true));
    assert_false(retry_allowed(RETRY_TRANSIENT, 3, 2, true));
    for (unsigned i = 1; i < 40; i++) {
        int64_t ms = retry_delay_ms(RETRY_THROTTLE, i, 0);
        assert_true(ms >= 0 && ms < 20000);
    }
    int64_t ms = retry_delay_ms(RETRY_THROTTLE, 1, 2000);
    assert_true(ms >= 2000 && ms <= 2200);
}

static int64_t after(const char *name, const char *value)
{
    struct mrp_headers h = {0};
    mrp_headers_add(&h, name, value);
    int64_t now = 0;
    mrp_parse_http_date(&now, "Sun, 06 Nov 1994 08:49:37 GMT");
    int64_t ms = retry_after_ms(&h, now);
    mrp_headers_done(&h);
    return ms;
}

static void retry_after(void **state)
{
    (void)state;
    assert_int_equal(after("Retry-After", "3"), 3000);
    assert_int_equal(after("retry-after", "86400"), 60000);
    assert_int_equal(after("Retry-After", "Sun, 06 Nov 1994 08:49:42 GMT"), 5000);
    assert_int_equal(after("Retry-After", "Sun, 06 Nov 1994 08:49:30 GMT"), 0);
    assert_int_equal(after("Retry-After", "-5"), 0);
    assert_int_equal(after("Retry-After", "soon"), 0);
    assert_int_equal(after("x-amz-retry-after", "250"), 250);
    assert_int_equal(after("X-Other", "9"), 0);
}

static void window(void **state)
{
    (void)state;
    struct pacing p;
    pacing_init(&p);
    p.per_host = 8;
    struct slot slots[9] = {{0}};
    for (int i = 0; i < 9; i++)
        assert_int_equal(pacing_lanes(&slots[i], &p, "h", "a:B"), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(pacing_admit(&p, &slots[i], 1000), 0);
    assert_true(pacing_admit(&p, &slots[8], 1000) == INT64_MAX);
    pacing_release(&p, &slots[0]);
    pacing_answer(&slots[0], true, 0, 1000); /* 8 -> 4: seven still run */
    assert_true(pacing_admit(&p, &slots[8], 1000) == INT64_MAX);
    pacing_answer(&slots[0], true, 0, 1050); /* the same burst: not again */
    for (int i = 1; i < 5; i++)
        pacing_release(&p, &slots[i]);
    assert_int_equal(pacing_admit(&p, &slots[8], 1100), 0); /* the fourth */
    assert_true(pacing_admit(&p, &slots[0], 1100) == INT64_MAX);
    for (int i = 0; i < 5; i++)
        pacing_answer(&slots[8], false, 0, 1200); /* one more after about a window of answers */
    assert_int_equal(pacing_admit(&p, &slots[0], 1200), 0);
    struct slot other = {0};
    assert_int_equal(pacing_lanes(&other, &p, "h", "a:C"), 0);
    assert_int_equal(pacing_admit(&p, &other, 1200), 0); /* another API is not punished */
    pacing_answer(&other, true, 5000, 2000);
    pacing_release(&p, &other);
    assert_int_equal(pacing_admit(&p, &other, 2000), 7000); /* Retry-After closes the lane */
    assert_int_equal(pacing_admit(&p, &other, 7000), 0);
    pacing_done(&p);
}

static void rate(void **state)
{
    (void)state;
    struct pacing p;
    pacing_init(&p);
    int64_t now = 1000000;
    int sent_in_first_ms = 0;
    int sent = 0;
    while (sent < 50) {
        struct slot slot = {0};
        assert_int_equal(pacing_lanes(&slot, &p, "ecr", "ecr:PutImage"), 0);
        int64_t due = pacing_admit(&p, &slot, now);
        if (due == 0) {
            sent++;
            sent_in_first_ms += now == 1000000;
            pacing_release(&p, &slot);
        } else {
            assert_true(due > now && due < now + 1000);
            now = due;
        }
    }
    assert_int_equal(sent_in_first_ms, 10);     /* the burst */
    assert_in_range(now - 1000000, 4900, 5300); /* then eight a second */
    pacing_done(&p);
}

static void bandwidth(void **state)
{
    (void)state;
    struct pacing p;
    pacing_init(&p);
    assert_true(pacing_bandwidth(&p, 1000));
    p.bytes_per_s = 1000000;
    int64_t now = 1000;
    int64_t begun = now;
    pacing_bandwidth(&p, now);
    for (uint64_t sent = 0; sent < 3000000;) {
        now = pacing_bandwidth_due(&p, now);
        if (!pacing_bandwidth(&p, now)) {
            now++;
            continue;
        }
        pacing_spend(&p, 65536);
        sent += 65536;
    }
    assert_in_range(now - begun, 2800, 3300);
    pacing_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes),     cmocka_unit_test(once),   cmocka_unit_test(limits),
        cmocka_unit_test(retry_after), cmocka_unit_test(window), cmocka_unit_test(rate),
        cmocka_unit_test(bandwidth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
