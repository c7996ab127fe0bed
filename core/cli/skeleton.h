/** The files of a new plugin; @NAME@ and @IDENT@ stand for its name. */
#ifndef MRP_CLI_SKELETON_H
#define MRP_CLI_SKELETON_H

#include <stddef.h>

struct mrp_cli_skeleton {
    const char *file;
    const char *text;
};
extern const struct mrp_cli_skeleton mrp_cli_skeletons[];
extern const size_t mrp_cli_skeleton_count;

#endif
