/* The loop: runs tasks that are ready, lets curl work, wakes sleepers. */
#include "engine.h"

#include <mrpipe/stage.h>
#include <mrpipe/time.h>

#include <stdlib.h>

#define CANCEL_POLL_MS 250

void waiter_remove(struct waiter **list, const struct waiter *w)
{
    for (struct waiter **p = list; *p; p = &(*p)->next) {
        if (*p == w) {
            *p = w->next;
            return;
        }
    }
}

void loop_make_ready(struct mrp_http *http, struct fiber *fiber)
{
    if (fiber->ready)
        return;
    fiber->ready = true;
    fiber->next_ready = NULL;
    if (http->ready_last)
        http->ready_last->next_ready = fiber;
    else
        http->ready_first = fiber;
    http->ready_last = fiber;
}

void loop_wake(struct mrp_http *http, struct waiter *w)
{
    w->woken = true;
    if (w->fiber)
        loop_make_ready(http, w->fiber);
}

void loop_wake_list(struct mrp_http *http, struct waiter *first)
{
    for (struct waiter *w = first; w; w = w->next)
        loop_wake(http, w);
}

void loop_interrupt(struct mrp_http *http, const struct mrp_group *group)
{
    for (struct fiber *f = http->tasks; f; f = f->next)
        if (f != http->fibers.current && (!group || group_within(f->group, group)))
            loop_make_ready(http, f);
}

void loop_due(struct mrp_http *http, int64_t due_ms)
{
    if (due_ms < http->due_ms)
        http->due_ms = due_ms;
}

int loop_interrupted(struct mrp_http *http, struct mrp_error *err)
{
    if (!http->cancelled && http->stage && mrp_stage_cancelled(http->stage)) {
        http->cancelled = true; /* the loop tells the others */
    }
    if (http->cancelled)
        return mrp_fail(err, MRP_E_CANCELLED, "the run is being stopped");
    if (http->fibers.current && group_stopped(http->fibers.current->group))
        return mrp_fail(err, MRP_E_CANCELLED, "stopped because another task failed");
    if (!http->stuck)
        return 0;
    if (!http->fibers.current)
        http->stuck = false;
    return mrp_fail(err, MRP_E_BUG, "all tasks wait and nothing can wake them");
}

static void run_ready(struct mrp_http *http)
{
    struct fiber *last = http->ready_last; /* those that get ready meanwhile: next turn */
    while (http->ready_first) {
        struct fiber *f = http->ready_first;
        http->ready_first = f->next_ready;
        if (!http->ready_first)
            http->ready_last = NULL;
        f->ready = false;
        bool was_last = f == last;
        fiber_run(&http->fibers, f);
        if (f->ended)
            fiber_drop(&http->fibers, f);
        if (was_last)
            return;
    }
}

static void tick(struct mrp_http *http)
{
    int64_t now = mrp_now_ms();
    if (now < http->due_ms)
        return;
    http->due_ms = FAR_MS;
    loop_due(http, calls_tick(http, now));
    for (struct waiter *w = http->sleepers; w; w = w->next) {
        if (w->woken)
            continue;
        if (w->due_ms <= now)
            loop_wake(http, w);
        else
            loop_due(http, w->due_ms);
    }
}

/* Once: later calls and waits see the flag by themselves. */
static void look_for_cancel(struct mrp_http *http)
{
    if (!http->cancelled && http->stage && mrp_stage_cancelled(http->stage))
        http->cancelled = true;
    if (!http->cancelled || http->cancel_told)
        return;
    http->cancel_told = true;
    calls_cancel(http);
    loop_interrupt(http, NULL);
}

static bool outside_done(const struct mrp_http *http)
{
    return http->outside && http->outside->woken;
}

static int patience(const struct mrp_http *http)
{
    int64_t due = http->due_ms < http->sockets.due_ms ? http->due_ms : http->sockets.due_ms;
    int64_t most = http->stage ? CANCEL_POLL_MS : 1000;
    int64_t wait = due == FAR_MS ? most : due - mrp_now_ms();
    if (wait > most)
        wait = most;
    return wait < 0 ? 0 : (int)wait;
}

/* Everybody waits for a wake that no one is left to give. */
static bool is_stuck(const struct mrp_http *http)
{
    return !http->calls && !http->sleepers && !http->ready_first;
}

static void turn(struct mrp_http *http)
{
    run_ready(http);
    http->stuck = false; /* they have seen it */
    if (outside_done(http))
        return;
    calls_begin(http);
    sockets_timers(http);
    calls_reap(http);
    calls_collect(http);
    look_for_cancel(http);
    tick(http);
    if (outside_done(http))
        return;
    bool busy = http->ready_first || http->resumes || http->sockets.unread;
    if (!busy && is_stuck(http)) {
        http->stuck = true;
        loop_interrupt(http, NULL);
        return;
    }
    sockets_wait(http, busy ? 0 : patience(http));
    calls_reap(http);
    calls_collect(http);
}

int loop_wait(struct mrp_http *http, struct waiter *w, bool interruptible, struct mrp_error *err)
{
    w->fiber = http->fibers.current;
    if (!w->fiber && (http->outside || http->in_callback))
        return mrp_fail(err, MRP_E_BUG, "a wait inside of a callback of the HTTP engine");
    if (!w->fiber)
        http->outside = w;
    int rc = 0;
    while (rc == 0 && !w->woken) {
        rc = interruptible ? loop_interrupted(http, err) : 0;
        if (rc)
            break;
        if (w->fiber)
            fiber_park(&http->fibers);
        else
            turn(http);
    }
    if (!w->fiber)
        http->outside = NULL;
    return rc;
}
