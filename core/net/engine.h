/* What the parts of the HTTP engine share: the engine itself and its scheduler (loop.c). */
#ifndef MRP_NET_ENGINE_H
#define MRP_NET_ENGINE_H

#include "fiber.h"
#include "pacing.h"

#include <mrpipe/http.h>

#include <curl/curl.h>

#define FAR_MS INT64_MAX

/** Someone who waits. Lives on the waiter's own stack. */
struct waiter {
    struct waiter *next; /* in the list it waits in */
    struct fiber *fiber; /* NULL: outside of any task */
    bool woken;
    int64_t due_ms; /* sleepers: when; FAR_MS: never */
    int fd;         /* sleepers: -1, or woken when ready */
    bool writable;
    bool fd_ready;
};

/** What curl waits for (sockets.c). */
struct sockets {
    int epoll;
    int64_t due_ms; /* when curl's own timers want to run; FAR_MS: never */
    struct watch *list;
    size_t count;
    bool unread; /* some connection may have buffered what nobody has looked at */
};

struct mrp_http {
    CURLM *multi;
    struct sockets sockets;
    CURLSH *share; /* TLS sessions: a second connection to a server resumes the first one's */
    struct mrp_stage *stage;
    struct fiber_host fibers;
    struct fiber *tasks; /* all that live */
    struct fiber *ready_first;
    struct fiber *ready_last;
    struct waiter *outside;      /* the waiter that runs the loop */
    struct waiter *sleepers;     /* timers and file descriptors */
    struct mrp_http_call *calls; /* all that have not ended, in order of start */
    struct mrp_http_call *calls_last;
    unsigned call_count;
    struct mrp_http_call *zombies; /* freed inside a callback; ended by the loop */
    unsigned pending;              /* calls that wait for their start */
    bool resumes;                  /* some call asked to go on after a pause */
    bool in_callback;              /* curl is on the stack */
    bool cancelled;                /* the stage is being stopped */
    bool cancel_told;
    bool stuck; /* everybody waits and nothing can wake them */
    bool debug;
    bool insecure;
    char *ca_file;  /* NULL: curl's own */
    int64_t due_ms; /* when the loop must look at timers again */
    struct pacing pacing;
    struct peer *peers; /* servers that have answered, with connections opened ahead (spare.c) */
    int spare;          /* the one that curl is being given */
    CURL *idle[32];     /* easy handles that are used again */
    unsigned idle_count;
};

/* ---- loop.c ---- */

/** Park (outside of tasks: run the loop) until w->woken. When `interruptible`, MRP_E_CANCELLED if
 * the stage or the task's group is being stopped, MRP_E_BUG if nothing can ever wake it. The caller
 * takes `w` out of its list. */
int loop_wait(struct mrp_http *http, struct waiter *w, bool interruptible, struct mrp_error *err);
/** 0, or the code with which an interruptible wait of the present context would end. */
int loop_interrupted(struct mrp_http *http, struct mrp_error *err);
void loop_wake(struct mrp_http *http, struct waiter *w);
void loop_wake_list(struct mrp_http *http, struct waiter *first);
void loop_make_ready(struct mrp_http *http, struct fiber *fiber);
/** Let every parked task of the group (NULL: all tasks) look at why it waits. */
void loop_interrupt(struct mrp_http *http, const struct mrp_group *group);
/** The loop must look at timers at `due_ms` at the latest. */
void loop_due(struct mrp_http *http, int64_t due_ms);
void waiter_remove(struct waiter **list, const struct waiter *w);

/* ---- sockets.c ---- */
/** Let curl tell `s` what it waits for. -1: no descriptor left. */
int sockets_init(struct sockets *s, CURLM *multi);
/** After the multi handle is gone. */
void sockets_done(struct sockets *s);
/** Run curl's timers that are due: those start new transfers, and go on with paused ones; and read
 * what connections have buffered. */
void sockets_timers(struct mrp_http *http);
/** Wait for sockets and for the files of sleepers, and let curl work on what is ready. */
void sockets_wait(struct mrp_http *http, int wait_ms);

/* ---- group.c ---- */
bool group_stopped(const struct mrp_group *group);
bool group_within(const struct mrp_group *group, const struct mrp_group *outer);

/* ---- call.c ---- */
void calls_begin(struct mrp_http *http);
void calls_collect(struct mrp_http *http);
/** Deadlines, stalls, back-off; returns when to come again. */
int64_t calls_tick(struct mrp_http *http, int64_t now_ms);
void calls_cancel(struct mrp_http *http);
void calls_reap(struct mrp_http *http);
void calls_end_all(struct mrp_http *http);

/* ---- spare.c ---- */
/** Remember where the server is that has just answered. */
void spares_learn(struct mrp_http *http, const char *authority, CURL *easy);
/** Let curl use the connections that are open already; and what it opens itself is not handed on to
 * the programs that the stage starts. */
void spares_offer(struct mrp_http *http, CURL *easy);
void spares_done(struct mrp_http *http);

/** A variable of the stage's environment, else the process's; NULL if unset or empty. */
const char *net_env(struct mrp_stage *stage, const char *name);

#endif
