/* Tests what is shown of an image that is being copied. */
#include "check.h"

#include <meter.h>

#include <stdio.h>

static void texts(void **state)
{
    (void)state;
    char name[] = "HOST/team/core:1.4";
    char buf[300];
    struct meter m = {.name = name};
    assert_string_equal(meter_text(buf, sizeof buf, &m, 5000),
                        "core:1.4: 0 B of 0 B, 0 of 0 blobs");
    m = (struct meter){name, 2 << 20, 10 << 20, 1, 4, 1000};
    assert_string_equal(meter_text(buf, sizeof buf, &m, 1100),
                        "core:1.4: 2.0 MiB of 10.0 MiB, 1 of 4 blobs");
    assert_string_equal(meter_text(buf, sizeof buf, &m, 3000),
                        "core:1.4: 2.0 MiB of 10.0 MiB, 1 of 4 blobs, 1.0 MiB/s, 8.0 s left");
    m.done_bytes = 11 << 20; /* more than was expected */
    assert_non_null(strstr(meter_text(buf, sizeof buf, &m, 12000), "1.0 MiB/s, 0"));
    char small[12];
    assert_string_equal(meter_text(small, sizeof small, &m, 3000), "core:1.4: 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
