/* cmocka with the headers it wants before it, and a few checks of our own. */
#ifndef MRP_TESTS_CHECK_H
#define MRP_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Compare an owned string and free it. */
static inline void check_owned(char *got, const char *want)
{
    assert_non_null(got);
    assert_string_equal(got, want);
    free(got);
}

#endif
