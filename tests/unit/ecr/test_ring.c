/* Tests the ring buffer between a feed and its readers. */
#include "check.h"

#include <ring.h>

enum { CAP = 64 };

struct fixture {
    struct mrp_http *http;
    struct ring ring;
    struct reader a, b;
};

static int set_up(void **state)
{
    struct mrp_error err = {0};
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    return !f || mrp_http_new(&f->http, NULL, &err) ||
           ring_init(&f->ring, f->http, CAP, 0, 1000, &err);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    ring_done(&f->ring);
    mrp_http_free(&f->http);
    free(f);
    return 0;
}

static void slowest_counts(void **state)
{
    struct fixture *f = *state;
    char in[CAP];
    char out[CAP];
    for (int i = 0; i < CAP; i++)
        in[i] = (char)i;
    ring_join(&f->ring, &f->a);
    ring_join(&f->ring, &f->b);
    assert_int_equal(ring_get(&f->a, out, 10), MRP_HTTP_PAUSE);
    assert_int_equal(ring_put(&f->ring, in, CAP), CAP);
    assert_int_equal(ring_put(&f->ring, in, 1), MRP_HTTP_PAUSE);
    assert_int_equal(ring_get(&f->a, out, CAP), CAP);
    assert_memory_equal(in, out, CAP);
    assert_int_equal(ring_put(&f->ring, in, 1), MRP_HTTP_PAUSE); /* b has read nothing */
    assert_int_equal(ring_get(&f->b, out, 40), 40);
    assert_int_equal(ring_put(&f->ring, in, 40), 40);
    assert_int_equal(ring_get(&f->b, out, CAP), CAP); /* over the edge */
    assert_memory_equal(out, in + 40, 24);
    assert_memory_equal(out + 24, in, 40);
    ring_leave(&f->a);
    ring_leave(&f->b);
}

static void detached_reader(void **state)
{
    struct fixture *f = *state;
    char data[CAP] = {0};
    ring_join(&f->ring, &f->a);
    ring_join(&f->ring, &f->b);
    ring_put(&f->ring, data, CAP);
    ring_get(&f->a, data, CAP);
    assert_int_equal(ring_put(&f->ring, data, 1), MRP_HTTP_PAUSE);
    assert_false(ring_look(&f->ring, 2));
    assert_true(ring_look(&f->ring, 2));
    assert_true(f->b.detached);
    assert_int_equal(ring_put(&f->ring, data, CAP), CAP); /* b holds nobody up any more */
    assert_int_equal(ring_get(&f->b, data, CAP), MRP_HTTP_PAUSE);
    ring_leave(&f->a);
    ring_leave(&f->b);
}

static void ends(void **state)
{
    struct fixture *f = *state;
    char data[CAP] = {0};
    assert_int_equal(ring_put(&f->ring, data, 1), MRP_HTTP_ABORT); /* nobody reads */
    ring_join(&f->ring, &f->a);
    assert_int_equal(ring_put(&f->ring, data, CAP + 1), MRP_HTTP_ABORT);
    ring_put(&f->ring, data, 8);
    ring_fail(&f->ring);
    assert_int_equal(ring_get(&f->a, data, CAP), 8);
    assert_int_equal(ring_get(&f->a, data, CAP), MRP_HTTP_ABORT);
    ring_leave(&f->a);
    assert_false(ring_has_readers(&f->ring));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(slowest_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(detached_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ends, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
