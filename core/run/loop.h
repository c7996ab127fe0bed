/** The poll loop: child processes with their output, frames and deadlines; signals; timers. */
#ifndef MRP_RUN_LOOP_H
#define MRP_RUN_LOOP_H

#include "forkserver.h"
#include "guard.h"
#include "journal.h"
#include "mask.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { MRP_GRACE_MS = 5000 }; /* from SIGTERM to SIGKILL */
#define MRP_FRAME_MAX ((size_t)8 << 20)
#define MRP_LINE_MAX ((size_t)64 << 10) /* longer lines are cut in pieces */

/** Standard output and error of one or more processes: two pipes, masked, cut into lines. */
struct mrp_capture {
    int fd[2];       /* read ends; -1: closed */
    int write_fd[2]; /* kept for the next process of the phases; -1: given away */
    struct mrp_buf raw[2];
    struct mrp_mask_stream mask[2];
    struct mrp_buf text[2];
    const struct mrp_masker *masker;
    /** Called after bytes were read and before they are masked; may be NULL. */
    void (*before)(void *arg);
    /** One masked line without its end; stream 0 is stdout, 1 stderr. */
    void (*line)(void *arg, int stream, const char *text, size_t len);
    void *arg;
};

int mrp_capture_open(struct mrp_capture *capture,
                     const struct mrp_masker *masker,
                     struct mrp_error *err);
void mrp_capture_close(struct mrp_capture *capture);
/** Hand out what is left, a line without its end too. */
void mrp_capture_flush(struct mrp_capture *capture);

struct mrp_proc {
    pid_t pid;
    int pidfd;
    int slot; /* in the guard's table */
    struct mrp_capture *capture;
    int frame_fd; /* -1: none */
    struct mrp_buf frame;
    bool frame_overflow;
    int64_t deadline_ms; /* monotonic; 0: none */
    int64_t kill_ms;     /* when SIGKILL follows; 0: not stopping */
    bool timed_out;
    bool stopped; /* the runner asked it to end */
    int status;   /* of waitpid, once ended */
    void (*on_frame)(void *arg, const char *json, size_t len);
    void (*on_exit)(void *arg, struct mrp_proc *proc); /* may free the proc */
    void *arg;
};

/** Ask a process group to end: SIGTERM now, SIGKILL after the grace time. */
void mrp_proc_stop(struct mrp_proc *proc);

struct mrp_loop {
    struct mrp_guard *guard;
    struct mrp_journal *journal;
    struct mrp_proc **procs;
    size_t count, cap;
    struct mrp_capture *lasting; /* outlives its processes (the phases'); NULL */
    int signal_fd;
    int64_t wake_ms; /* the caller's next timer; 0: none */
    int signal;      /* the first SIGINT, SIGTERM or SIGHUP; 0 */
    int signals;     /* how many */
};

int mrp_loop_init(struct mrp_loop *loop,
                  struct mrp_guard *guard,
                  struct mrp_journal *journal,
                  struct mrp_error *err);
void mrp_loop_done(struct mrp_loop *loop);

/** What a child process is made of. */
struct mrp_spawn {
    struct mrp_capture *capture;
    bool frames;     /* a socketpair: its end is descriptor 3 in the child */
    bool with_stdin; /* the runner's standard input; else /dev/null */
    /** Asked for the process first (needs capture and frames); NULL: it is forked here. */
    struct mrp_forkserver *server;
    bool last; /* the server will not be asked again */
    /** Tell such a process its work: the runner's end of its frames. 0 or -1. */
    int (*brief)(void *arg, int fd);
    /** Runs in the child and must not return; standard streams are set, signals are default, all
     * descriptors but 0 to 3 are closed. */
    void (*child)(void *arg);
    void *arg;
};
/** Fork into a process group of its own that dies with the runner; `proc` has its callbacks set and
 * lives until on_exit. */
int mrp_loop_spawn(struct mrp_loop *loop,
                   struct mrp_proc *proc,
                   const struct mrp_spawn *spawn,
                   struct mrp_error *err);
/** Wait for the next thing to happen (or `loop->wake_ms`) and call back. */
void mrp_loop_step(struct mrp_loop *loop);

#endif
