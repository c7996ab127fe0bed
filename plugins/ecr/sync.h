/* Synchronising repositories: list both sides, copy what differs, remove what is too much. */
#ifndef ECR_SYNC_H
#define ECR_SYNC_H

#include "actions.h"
#include "select.h"

enum sync_mode { SYNC_RUN, SYNC_PLAN, SYNC_VERIFY };

struct sync {
    struct copier *copier;
    const char *from;
    char *const *repositories_like;
    struct destinations where;
    struct selection select;
    bool remove;
    int64_t delete_limit; /* per cent */
    bool force;
    enum sync_mode mode;
    /* results */
    size_t repositories;
    size_t tags;
    size_t unchanged;
    size_t copied;
    size_t deleted;
    bool changed;
    struct mrp_error failed; /* the first destination that could not be listed; code 0: none */
};

/** Reads `from`; `many` when `repositories` are chosen from it by globs. */
int sync_source(struct ref *out, const char *from, bool many, struct mrp_error *err) MRP_NODISCARD;
int sync_run(struct sync *s, struct mrp_error *err) MRP_NODISCARD;

#endif
