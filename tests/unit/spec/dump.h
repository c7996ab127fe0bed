/** A spec as readable JSON text, for golden files. */
#ifndef TEST_DUMP_H
#define TEST_DUMP_H

#include "spec.h"

char *dump_spec(const struct mrp_spec *spec); /* owned */

#endif
