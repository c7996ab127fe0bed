/* Fibers: functions with stacks of their own that park and go on, all in one thread. */
#ifndef MRP_NET_FIBER_H
#define MRP_NET_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <ucontext.h>

struct mrp_group;
struct waiter;

struct fiber {
    ucontext_t context;
    char *stack; /* lowest usable address; a guard page lies below */
    void (*body)(struct fiber *fiber);
    void *arg;
    bool ended;
    void *fake_stack; /* AddressSanitizer's */

    /* the scheduler's own (loop.c) */
    struct fiber *next_ready;
    bool ready;
    struct fiber *prev, *next; /* all living fibers */
    struct mrp_group *group;
};

/** The place that fibers are switched to and from: the stack of whoever runs the loop. */
struct fiber_host {
    ucontext_t context;
    struct fiber *current; /* the fiber that runs now; NULL: the host itself */
    struct fiber *idle;    /* ended fibers whose stacks are used again */
    unsigned idle_count;
    void *fake_stack;
    const void *bottom; /* of the host's stack, as AddressSanitizer sees it */
    size_t size;
};

/** A fiber that runs body(fiber) at the first fiber_run. NULL: no memory. */
struct fiber *fiber_new(struct fiber_host *host, void (*body)(struct fiber *fiber), void *arg);
/** From the host: run until the fiber parks or ends. */
void fiber_run(struct fiber_host *host, struct fiber *fiber);
/** From inside of host->current: back to the host. */
void fiber_park(struct fiber_host *host);
/** Give an ended fiber back. */
void fiber_drop(struct fiber_host *host, struct fiber *fiber);
void fiber_host_done(struct fiber_host *host);

#endif
