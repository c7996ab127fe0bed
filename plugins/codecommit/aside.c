/* The thread of a blocking call, and the loop that waits for it and does what it asks for. */
#include "aside.h"
#include "libgit.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { STACK = 4 << 20, STALL_MS = 60000 };

typedef int call_fn(void *arg, struct mrp_error *err);

/* Something to do, and how it went. */
struct job {
    call_fn *fn;
    void *arg;
    struct mrp_error err;
    int rc;
};

struct mrp_aside {
    int event; /* readable: the thread asks, or it ended */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job work;
    struct job *ask; /* of the thread to the loop, until it is answered */
    enum {
        RUNNING, /* and may touch what is the loop's */
        BLOCKED, /* in a call that touches only the connection */
        ASKING,
        ENDED
    } state;
    bool given_up; /* the thread must not run any more */
    unsigned heard;
};

static void ring(struct mrp_aside *a)
{
    const uint64_t one = 1;
    while (write(a->event, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* Of the thread, with the lock held: go on only if the loop still counts on it. */
static void enter(struct mrp_aside *a, int state)
{
    while (a->given_up)
        pthread_cond_wait(&a->changed, &a->lock);
    a->state = state;
    pthread_cond_broadcast(&a->changed);
}

static void *thread(void *arg)
{
    struct mrp_aside *a = arg;
    a->work.rc = a->work.fn(a->work.arg, &a->work.err);
    pthread_mutex_lock(&a->lock);
    enter(a, ENDED);
    ring(a);
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* Signals are the loop's. */
static int start(pthread_t *out, struct mrp_aside *a)
{
    pthread_attr_t attr;
    sigset_t all, before;
    if (pthread_attr_init(&attr))
        return -1;
    pthread_attr_setstacksize(&attr, STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(out, &attr, thread, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rc ? -1 : 0;
}

static struct mrp_aside *aside_new(call_fn *fn, void *arg)
{
    struct mrp_aside *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->work = (struct job){.fn = fn, .arg = arg};
    a->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    return a;
}

static void aside_free(struct mrp_aside *a)
{
    mrp_close_fd(&a->event);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
    free(a);
}

static void answer(struct mrp_aside *a)
{
    a->ask = NULL;
    pthread_cond_broadcast(&a->changed);
}

/* True if it ended; else what it asks for is done. */
static bool serve(struct mrp_aside *a)
{
    pthread_mutex_lock(&a->lock);
    bool ended = a->state == ENDED;
    struct job *ask = a->ask;
    pthread_mutex_unlock(&a->lock);
    if (ended || !ask)
        return ended;
    ask->rc = ask->fn(ask->arg, &ask->err);
    pthread_mutex_lock(&a->lock);
    answer(a);
    pthread_mutex_unlock(&a->lock);
    return false;
}

static unsigned count_heard(struct mrp_aside *a)
{
    pthread_mutex_lock(&a->lock);
    unsigned n = a->heard;
    pthread_mutex_unlock(&a->lock);
    return n;
}

/* Until the thread ended: 0; MRP_E_TIMEOUT if the other side went silent, MRP_E_CANCELLED. */
static int attend(struct mrp_aside *a, struct mrp_end *end, int64_t stall_ms, struct mrp_error *err)
{
    for (unsigned heard = 0;; heard = count_heard(a)) {
        uint64_t rings;
        int ready = mrp_http_wait_fd(end->session->http, a->event, false, stall_ms, err);
        if (ready < 0)
            return ready;
        if (ready) {
            if (read(a->event, &rings, sizeof rings) < 0 && errno != EAGAIN)
                return mrp_fail_errno(err, "wait for %s", end->text);
            if (serve(a))
                return MRP_OK;
        } else if (count_heard(a) == heard) {
            return mrp_fail(err, MRP_E_TIMEOUT, "%s: nothing came for %lld s", end->text,
                            (long long)stall_ms / 1000);
        }
    }
}

/* The loop waits no more. A thread that waits for a silent server cannot be ended: it is left
 * behind with its connection, and stops for good when it wakes. True if that is so; any other is
 * told no when it asks, and ends. */
static bool leave_behind(struct mrp_aside *a, pthread_t id, const struct mrp_error *why)
{
    pthread_mutex_lock(&a->lock);
    while (a->state != ENDED && a->state != BLOCKED) {
        if (a->ask) {
            a->ask->err = *why;
            a->ask->rc = why->code;
            answer(a);
        }
        pthread_cond_wait(&a->changed, &a->lock);
    }
    a->given_up = a->state == BLOCKED;
    bool given_up = a->given_up;
    pthread_mutex_unlock(&a->lock);
    if (given_up)
        pthread_detach(id);
    else
        pthread_join(id, NULL);
    return given_up;
}

static int run(struct mrp_end *end, call_fn *fn, void *arg, struct mrp_error *err)
{
    bool wire = !end->path;
    int64_t stall_ms = !wire ? -1 : end->session->stall_ms ? end->session->stall_ms : STALL_MS;
    int rc = mrp_git2_start(end->session, err);
    if (rc)
        return rc;
    struct mrp_aside *a = aside_new(fn, arg);
    pthread_t id;
    if (!a)
        return mrp_fail(err, MRP_E_NOMEM, "work on %s", end->text);
    end->aside = a;
    if (a->event < 0 || start(&id, a)) {
        mrp_fail_errno(err, "start a thread for %s", end->text);
        end->aside = NULL;
        aside_free(a);
        return err->code;
    }
    rc = attend(a, end, stall_ms, err);
    end->aside = NULL;
    if (rc && leave_behind(a, id, err)) {
        end->wire = NULL;
        end->session->git2_left_behind = true;
        return rc;
    }
    if (!rc) {
        pthread_join(id, NULL);
        rc = a->work.rc;
        if (rc)
            *err = a->work.err;
    }
    aside_free(a);
    return rc;
}

/* ---- in the thread ---- */

int mrp_aside_ask(struct mrp_aside *a, call_fn *fn, void *arg, struct mrp_error *err)
{
    struct job job = {.fn = fn, .arg = arg};
    pthread_mutex_lock(&a->lock);
    a->ask = &job;
    enter(a, ASKING);
    ring(a);
    while (a->ask)
        pthread_cond_wait(&a->changed, &a->lock);
    enter(a, RUNNING);
    pthread_mutex_unlock(&a->lock);
    if (job.rc)
        *err = job.err;
    return job.rc;
}

void mrp_aside_blocks(struct mrp_aside *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    enter(a, BLOCKED);
    pthread_mutex_unlock(&a->lock);
}

void mrp_aside_heard(struct mrp_aside *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    enter(a, RUNNING);
    a->heard++;
    pthread_mutex_unlock(&a->lock);
}

struct hub_job {
    struct mrp_hub *hub;
    struct mrp_hub_reader *reader;
    const char *data;
    char *buf;
    size_t len;
};

static int do_start(void *arg, struct mrp_error *err)
{
    return mrp_hub_wait_start(((struct hub_job *)arg)->reader, err);
}

int mrp_aside_hub_start(struct mrp_end *end, struct mrp_hub_reader *reader, struct mrp_error *err)
{
    struct hub_job job = {.reader = reader};
    return mrp_aside_ask(end->aside, do_start, &job, err);
}

static int do_put(void *arg, struct mrp_error *err)
{
    struct hub_job *job = arg;
    return mrp_hub_put(job->hub, job->data, job->len, err);
}

int mrp_aside_hub_put(struct mrp_end *end,
                      struct mrp_hub *hub,
                      const char *data,
                      size_t len,
                      struct mrp_error *err)
{
    struct hub_job job = {.hub = hub, .data = data, .len = len};
    return mrp_aside_ask(end->aside, do_put, &job, err);
}

static int do_close(void *arg, struct mrp_error *err)
{
    return mrp_hub_close(((struct hub_job *)arg)->hub, err);
}

int mrp_aside_hub_close(struct mrp_end *end, struct mrp_hub *hub, struct mrp_error *err)
{
    struct hub_job job = {.hub = hub};
    return mrp_aside_ask(end->aside, do_close, &job, err);
}

static int do_take(void *arg, struct mrp_error *err)
{
    struct hub_job *job = arg;
    const char *ignored;
    size_t len;
    int rc = mrp_hub_peek(&ignored, &len, job->reader, err);
    long n = !rc && len ? mrp_hub_read(job->reader, job->buf, job->len) : 0;
    job->len = n > 0 ? (size_t)n : 0;
    return rc;
}

int mrp_aside_hub_take(struct mrp_end *end,
                       struct mrp_hub_reader *reader,
                       char *buf,
                       size_t cap,
                       size_t *len,
                       struct mrp_error *err)
{
    struct hub_job job = {.reader = reader, .buf = buf, .len = cap};
    int rc = mrp_aside_ask(end->aside, do_take, &job, err);
    *len = job.len;
    return rc;
}

/* ---- the operations ---- */

struct op {
    struct mrp_end *end;
    struct mrp_refs *refs;
    enum mrp_service service;
    const struct mrp_pull *pull;
    struct mrp_hub *hub;
    struct mrp_push *push;
    struct mrp_hub_reader *reader;
    const char *ref;
    bool *flag;
    const struct mrp_oid *now, *old;
};

static int do_list(void *arg, struct mrp_error *err)
{
    const struct op *op = arg;
    return op->end->ops->blocking->list(op->end, op->refs, op->service, err);
}

int mrp_aside_list(struct mrp_end *end,
                   struct mrp_refs *out,
                   enum mrp_service service,
                   struct mrp_error *err)
{
    struct op op = {.end = end, .refs = out, .service = service};
    return run(end, do_list, &op, err);
}

static int do_pull(void *arg, struct mrp_error *err)
{
    const struct op *op = arg;
    return op->end->ops->blocking->pull(op->end, op->pull, op->hub, err);
}

int mrp_aside_pull(struct mrp_end *end,
                   const struct mrp_pull *pull,
                   struct mrp_hub *hub,
                   struct mrp_error *err)
{
    struct op op = {.end = end, .pull = pull, .hub = hub};
    return run(end, do_pull, &op, err);
}

static int do_push(void *arg, struct mrp_error *err)
{
    const struct op *op = arg;
    return op->end->ops->blocking->push(op->end, op->push, op->reader, err);
}

int mrp_aside_push(struct mrp_end *end,
                   struct mrp_push *push,
                   struct mrp_hub_reader *reader,
                   struct mrp_error *err)
{
    struct op op = {.end = end, .push = push, .reader = reader};
    return run(end, do_push, &op, err);
}

static int do_create(void *arg, struct mrp_error *err)
{
    const struct op *op = arg;
    return op->end->ops->blocking->create(op->end, err);
}

int mrp_aside_create(struct mrp_end *end, struct mrp_error *err)
{
    struct op op = {.end = end};
    return run(end, do_create, &op, err);
}

static int do_set_head(void *arg, struct mrp_error *err)
{
    const struct op *op = arg;
    return op->end->ops->blocking->set_head(op->end, op->ref, op->flag, err);
}

int mrp_aside_set_head(struct mrp_end *end, const char *ref, bool *changed, struct mrp_error *err)
{
    struct op op = {.end = end, .ref = ref, .flag = changed};
    return run(end, do_set_head, &op, err);
}

static int do_contains(void *arg, struct mrp_error *err)
{
    const struct op *op = arg;
    return op->end->ops->blocking->contains(op->end, op->flag, op->now, op->old, err);
}

int mrp_aside_contains(struct mrp_end *end,
                       bool *yes,
                       const struct mrp_oid *now,
                       const struct mrp_oid *old,
                       struct mrp_error *err)
{
    struct op op = {.end = end, .flag = yes, .now = now, .old = old};
    return run(end, do_contains, &op, err);
}

static int do_end(void *arg, struct mrp_error *err)
{
    const struct op *op = arg;
    (void)err;
    op->end->ops->blocking->close(op->end);
    return MRP_OK;
}

void mrp_aside_close(struct mrp_end *end)
{
    struct op op = {.end = end};
    struct mrp_error err = {0};
    if (end->wire && run(end, do_end, &op, &err))
        mrp_log(end->session->stage, MRP_DEBUG, "%s: %s", end->text, err.msg);
}
