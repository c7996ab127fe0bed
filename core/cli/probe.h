/** Asking another program for its version. */
#ifndef MRP_CLI_PROBE_H
#define MRP_CLI_PROBE_H

#include <stdbool.h>
#include <stddef.h>

/** The first line that `argv` prints, within 5 s. Owned; NULL: it is not there or says nothing. */
char *mrp_cli_probe(const char *const *argv);

#endif
