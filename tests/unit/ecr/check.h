/* What every test file here includes. */
#ifndef ECR_TEST_CHECK_H
#define ECR_TEST_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <mrpipe/auto.h>
#include <mrpipe/error.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#endif
