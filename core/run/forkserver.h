/** The fork server: the child of the checks stays, with the plugins mapped, and makes the workers.
 * A worker made so begins without mapping anything; mapping a plugin with its libraries takes
 * longer than many a stage. */
#ifndef MRP_RUN_FORKSERVER_H
#define MRP_RUN_FORKSERVER_H

#include <mrpipe/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* ---- in the runner ---- */

struct mrp_forkserver {
    pid_t pid; /* -1: none */
    int fd;
};
#define MRP_FORKSERVER_INIT                                                                        \
    {                                                                                              \
        .pid = -1, .fd = -1                                                                        \
    }

/** What a worker is born with. It sees nothing else of the runner: its work comes by `frames`. */
struct mrp_forkserver_ends {
    int out, err, frames;
    int in; /* -1: /dev/null */
};

/**
 * Ask for a worker. It is a child of the caller, as if the caller had forked it, and waits for a
 * struct mrp_work (brief.h) at its end of `frames`; if that is closed first, it ends.
 *
 * @param last nobody will ask again: the server itself becomes the worker, which saves a process
 * @return its pid, or -1: there is no server, or it did not answer, and is gone now. Nothing else
 *         has changed then: fork yourself.
 */
pid_t mrp_forkserver_fork(struct mrp_forkserver *server,
                          const struct mrp_forkserver_ends *ends,
                          bool last);
/** End it and wait for its end; fine if there is none. */
void mrp_forkserver_stop(struct mrp_forkserver *server);

/* ---- in the child of the checks ---- */

enum { MRP_FORKSERVER_FD = 4 }; /* where the child of the checks has its end */

struct mrp_mapped {
    const char *name;
    char *path;
    const struct mrp_plugin *plugin; /* NULL: cannot be used */
};

/** Make workers until the runner closes its end. The standard streams are /dev/null, 3 is a
 * placeholder. Does not return. */
_Noreturn void mrp_forkserver_serve(pid_t runner, const struct mrp_mapped *mapped, size_t count);

#endif
