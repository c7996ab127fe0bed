/** The guard: a tiny process that ends what a run started when the runner itself is killed. */
#ifndef MRP_RUN_GUARD_H
#define MRP_RUN_GUARD_H

#include <mrpipe/error.h>

#include <sys/types.h>

struct mrp_guard_table;

struct mrp_guard {
    pid_t pid;
    int fd; /* the guard acts when this end closes without a word */
    struct mrp_guard_table *table;
};
#define MRP_GUARD_INIT                                                                             \
    {                                                                                              \
        .pid = -1, .fd = -1                                                                        \
    }

/** Start it; `run_id` is in the environment of the commands (MRPIPE_RUN_ID). */
int mrp_guard_start(struct mrp_guard *guard, const char *run_id, struct mrp_error *err);
/** A private folder to remove as well. */
void mrp_guard_temp(struct mrp_guard *guard, const char *path);
/** A place for a process group, to be written by the child itself; -1: all are taken. */
int mrp_guard_slot(struct mrp_guard *guard);
void mrp_guard_enter(struct mrp_guard *guard, int slot, pid_t group); /* safe after fork */
/** The leader has ended: the place is free unless the group still has members. */
void mrp_guard_leave(struct mrp_guard *guard, int slot);
/** End all groups that are left (SIGTERM, then SIGKILL) and all processes that carry the run's id.
 */
void mrp_guard_sweep(struct mrp_guard *guard);
/** The run is over: the guard goes away quietly. */
void mrp_guard_stop(struct mrp_guard *guard);

#endif
