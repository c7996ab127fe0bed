/* Reads the commits at the front of a pack and looks for one parent. */
#ifndef CODECOMMIT_COMMITS_H
#define CODECOMMIT_COMMITS_H

#include "refs.h"

struct mrp_commits;

int mrp_commits_new(struct mrp_commits **out, const struct mrp_oid *parent, struct mrp_error *err);
/** Bytes of a pack in order; *over once the answer is known: found, or the commits are over. */
int mrp_commits_feed(struct mrp_commits *c,
                     const char *data,
                     size_t len,
                     bool *over,
                     struct mrp_error *err);
bool mrp_commits_found(const struct mrp_commits *c);
void mrp_commits_free(struct mrp_commits **c);

#endif
