/* Tasks in groups, and the things that tasks wait for: each other, a wake, time, a descriptor. */
#include "engine.h"

#include <mrpipe/time.h>

#include <stdlib.h>

#define DEFAULT_LIMIT 64u

struct mrp_group {
    struct mrp_http *http;
    struct mrp_group *parent; /* of the task that made this group; NULL: made outside */
    unsigned limit;
    unsigned running;
    bool stop_on_error;
    bool stopped;
    struct mrp_error first; /* code 0: no failure yet */
    struct waiter *waiters; /* for room, or for the end */
};

struct task {
    mrp_task_fn fn;
    void *arg;
};

bool group_stopped(const struct mrp_group *group)
{
    for (; group; group = group->parent)
        if (group->stopped)
            return true;
    return false;
}

bool group_within(const struct mrp_group *group, const struct mrp_group *outer)
{
    for (; group; group = group->parent)
        if (group == outer)
            return true;
    return false;
}

int mrp_group_new(struct mrp_group **out,
                  struct mrp_http *http,
                  unsigned limit,
                  struct mrp_error *err)
{
    struct mrp_group *group = calloc(1, sizeof *group);
    if (!group)
        return mrp_fail(err, MRP_E_NOMEM, "make a group of tasks");
    group->http = http;
    group->limit = limit ? limit : DEFAULT_LIMIT;
    group->parent = http->fibers.current ? http->fibers.current->group : NULL;
    *out = group;
    return 0;
}

void mrp_group_limit(struct mrp_group *group, unsigned limit)
{
    group->limit = limit ? limit : DEFAULT_LIMIT;
    loop_wake_list(group->http, group->waiters);
}

static void stop(struct mrp_group *group)
{
    if (group->stopped)
        return;
    group->stopped = true;
    loop_interrupt(group->http, group);
}

void mrp_group_stop_on_error(struct mrp_group *group)
{
    group->stop_on_error = true;
    if (group->first.code)
        stop(group);
}

static void run_task(struct fiber *fiber)
{
    struct mrp_group *group = fiber->group;
    struct mrp_http *http = group->http;
    struct task task = *(struct task *)fiber->arg;
    free(fiber->arg);
    struct mrp_error err = {0};
    int rc = task.fn(task.arg, &err);
    if (rc != 0 && !group->first.code) {
        group->first = err;
        group->first.code = (enum mrp_code)rc;
        if (group->stop_on_error)
            stop(group);
    }
    group->running--;
    if (fiber->prev)
        fiber->prev->next = fiber->next;
    else
        http->tasks = fiber->next;
    if (fiber->next)
        fiber->next->prev = fiber->prev;
    loop_wake_list(http, group->waiters);
}

/* Waits once; the caller looks again at what it waits for. */
static int wait_change(struct mrp_group *group, bool interruptible, struct mrp_error *err)
{
    struct waiter w = {.next = group->waiters, .fd = -1};
    group->waiters = &w;
    int rc = loop_wait(group->http, &w, interruptible, err);
    waiter_remove(&group->waiters, &w);
    return rc;
}

static int refuse(const struct mrp_group *group, struct mrp_error *err)
{
    if (!group->first.code)
        return mrp_fail(err, MRP_E_CANCELLED, "the group of tasks is being stopped");
    return mrp_fail(err, MRP_E_CANCELLED, "stopped after: %s", group->first.msg);
}

int mrp_group_spawn(struct mrp_group *group, mrp_task_fn fn, void *arg, struct mrp_error *err)
{
    struct mrp_http *http = group->http;
    for (;;) {
        if (group_stopped(group))
            return refuse(group, err);
        int rc = loop_interrupted(http, err);
        if (rc)
            return rc;
        if (group->running < group->limit)
            break;
        if ((rc = wait_change(group, true, err)) != 0)
            return group->stopped ? refuse(group, err) : rc;
    }
    struct task *task = malloc(sizeof *task);
    struct fiber *fiber = task ? fiber_new(&http->fibers, run_task, task) : NULL;
    if (!fiber) {
        free(task);
        return mrp_fail(err, MRP_E_NOMEM, "start a task");
    }
    *task = (struct task){fn, arg};
    fiber->group = group;
    fiber->next = http->tasks;
    if (http->tasks)
        http->tasks->prev = fiber;
    http->tasks = fiber;
    group->running++;
    loop_make_ready(http, fiber);
    return 0;
}

int mrp_group_wait(struct mrp_group *group, struct mrp_error *err)
{
    struct mrp_error ignored = {0};
    while (group->running > 0) {
        /* Tasks use what their starter owns, so this wait ends only when they have ended; a stop
         * from above has been told to them. */
        int rc = wait_change(group, false, &ignored);
        if (rc) {
            if (err)
                *err = ignored;
            return rc;
        }
    }
    int rc = group->first.code;
    if (rc && err)
        *err = group->first;
    group->first = (struct mrp_error){0};
    group->stopped = false;
    return rc;
}

void mrp_group_free(struct mrp_group **group)
{
    if (!*group)
        return;
    struct mrp_error ignored = {0};
    if ((*group)->running > 0) {
        stop(*group);
        mrp_group_wait(*group, &ignored);
    }
    free(*group);
    *group = NULL;
}

int mrp_group_finish(struct mrp_group **group, int rc, struct mrp_error *err)
{
    struct mrp_error first = {0};
    int ended = *group ? mrp_group_wait(*group, &first) : 0;
    mrp_group_free(group);
    if (!ended || (rc && rc != MRP_E_CANCELLED))
        return rc;
    if (err)
        *err = first;
    return ended;
}

int mrp_waitq_wait(struct mrp_waitq *q, struct mrp_http *http, struct mrp_error *err)
{
    struct waiter *list = q->first;
    struct waiter w = {.next = list, .fd = -1};
    q->first = &w;
    int rc = loop_wait(http, &w, true, err);
    if (!w.woken) { /* a wake empties the queue itself */
        list = q->first;
        waiter_remove(&list, &w);
        q->first = list;
    }
    return w.woken ? 0 : rc;
}

void mrp_waitq_wake(struct mrp_waitq *q, struct mrp_http *http)
{
    struct waiter *w = q->first;
    q->first = NULL;
    while (w) {
        struct waiter *next = w->next;
        loop_wake(http, w);
        w = next;
    }
}

static int sleep_until(struct waiter *w, struct mrp_http *http, struct mrp_error *err)
{
    w->next = http->sleepers;
    http->sleepers = w;
    loop_due(http, w->due_ms);
    int rc = loop_wait(http, w, true, err);
    waiter_remove(&http->sleepers, w);
    return rc;
}

int mrp_http_sleep(struct mrp_http *http, int64_t ms, struct mrp_error *err)
{
    struct waiter w = {.due_ms = mrp_now_ms() + (ms > 0 ? ms : 0), .fd = -1};
    return sleep_until(&w, http, err);
}

int mrp_http_wait_fd(struct mrp_http *http,
                     int fd,
                     bool writable,
                     int64_t timeout_ms,
                     struct mrp_error *err)
{
    struct waiter w = {.due_ms = timeout_ms < 0 ? FAR_MS : mrp_now_ms() + timeout_ms,
                       .fd = fd,
                       .writable = writable};
    int rc = sleep_until(&w, http, err);
    return rc ? rc : w.fd_ready;
}
