/**
 * Cleanup at the end of the scope: `mrp_auto(mrp_free_str) char *s = NULL;`.
 *
 * One resource per variable, initialised at the declaration; never mixed with goto.
 * Each function below takes the address of the variable and accepts an empty one.
 */
#ifndef MRPIPE_AUTO_H
#define MRPIPE_AUTO_H

#include <mrpipe/attrs.h>

#include <dirent.h>
#include <stdio.h>

#define mrp_auto(fn) __attribute__((cleanup(fn)))

MRP_EXPORT void mrp_free_str(char **s);   /* free() */
MRP_EXPORT void mrp_free_strv(char ***v); /* a NULL-terminated vector and its strings */
MRP_EXPORT void mrp_close_file(FILE **f); /* fclose(); flush and check yourself before */
MRP_EXPORT void mrp_close_dir(DIR **d);
MRP_EXPORT void mrp_close_fd(int *fd); /* empty: -1 */

/** Hand over ownership: returns *s and leaves NULL (or -1) for the cleanup. */
MRP_EXPORT char *mrp_take_str(char **s);
MRP_EXPORT char **mrp_take_strv(char ***v);
MRP_EXPORT int mrp_take_fd(int *fd);

#endif
