/** The source version: HEAD of the git repository around the work directory. */
#ifndef MRP_RUN_CHECKOUT_H
#define MRP_RUN_CHECKOUT_H

#include <stdint.h>
#include <sys/types.h>

struct mrp_checkout {
    char *version; /* commit id */
    char *branch;  /* NULL: detached */
    char *url;     /* without user and password; NULL */
};
struct mrp_checkout_search {
    pid_t pid; /* -1: none is under way */
    int fd;
    int64_t until_ms;
};
#define MRP_CHECKOUT_SEARCH_INIT                                                                   \
    {                                                                                              \
        .pid = -1, .fd = -1                                                                        \
    }

/** A child begins to read it with libgit2; does not block. */
void mrp_checkout_begin(struct mrp_checkout_search *out, const char *workdir);
/** Wait for the answer; everything is NULL if there is no repository or no search. */
void mrp_checkout_take(struct mrp_checkout *out, struct mrp_checkout_search *search);
/** Give a search up. */
void mrp_checkout_drop(struct mrp_checkout_search *search);
void mrp_checkout_done(struct mrp_checkout *source);

#endif
