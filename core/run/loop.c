/* The poll loop: reads pipes, frames, pidfds and signals of the run, and keeps deadlines. */
#include "loop.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/time.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10, DRAIN_ROUNDS = 64 };

int mrp_loop_init(struct mrp_loop *loop,
                  struct mrp_guard *guard,
                  struct mrp_journal *journal,
                  struct mrp_error *err)
{
    *loop = (struct mrp_loop){.guard = guard, .journal = journal, .signal_fd = -1};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return loop->signal_fd < 0 ? mrp_fail_errno(err, "signalfd") : 0;
}

void mrp_loop_done(struct mrp_loop *loop)
{
    free(loop->procs);
    loop->procs = NULL;
    loop->count = loop->cap = 0;
    if (loop->signal_fd >= 0) {
        mrp_close_fd(&loop->signal_fd);
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
    }
}

/* ---- output ---- */

int mrp_capture_open(struct mrp_capture *capture,
                     const struct mrp_masker *masker,
                     struct mrp_error *err)
{
    capture->masker = masker;
    for (int i = 0; i < 2; i++)
        capture->fd[i] = capture->write_fd[i] = -1;
    for (int i = 0; i < 2; i++) {
        int ends[2];
        mrp_buf_init(&capture->raw[i], (size_t)READ_BYTES * 2);
        mrp_buf_init(&capture->text[i], (size_t)READ_BYTES * 2 + MRP_MASK_HELD_MAX);
        mrp_mask_init(&capture->mask[i]);
        if (pipe2(ends, O_CLOEXEC))
            return mrp_fail_errno(err, "make a pipe");
        capture->fd[i] = ends[0];
        capture->write_fd[i] = ends[1];
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
    }
    return 0;
}

void mrp_capture_close(struct mrp_capture *capture)
{
    for (int i = 0; i < 2; i++) {
        mrp_close_fd(&capture->fd[i]);
        mrp_close_fd(&capture->write_fd[i]);
        mrp_buf_done(&capture->raw[i]);
        mrp_buf_done(&capture->text[i]);
        mrp_mask_done(&capture->mask[i]);
    }
}

static void cut_lines(struct mrp_capture *c, int stream, bool flush)
{
    struct mrp_buf *text = &c->text[stream];
    size_t at = 0;
    while (at < text->len) {
        const char *p = text->data + at;
        size_t left = text->len - at;
        size_t window = left < MRP_LINE_MAX ? left : MRP_LINE_MAX;
        const char *end = memchr(p, '\n', window);
        size_t n = end ? (size_t)(end - p) : window;
        if (!end && left < MRP_LINE_MAX && !flush)
            break;
        at += n + (end ? 1 : 0);
        if (n && p[n - 1] == '\r')
            n--;
        c->line(c->arg, stream, p, n);
    }
    mrp_buf_drop(text, at);
}

static void pass_on(struct mrp_capture *c, bool flush)
{
    if (c->before)
        c->before(c->arg);
    for (int i = 0; i < 2; i++) {
        struct mrp_buf *raw = &c->raw[i];
        if (mrp_mask_feed(&c->mask[i], c->masker, mrp_buf_str(raw), raw->len, flush, &c->text[i])) {
            /* Out of memory: the bytes are lost rather than shown unmasked. */
            mrp_buf_done(&c->text[i]);
            mrp_mask_done(&c->mask[i]);
        }
        mrp_buf_reset(raw);
        cut_lines(c, i, flush);
    }
}

void mrp_capture_flush(struct mrp_capture *capture)
{
    pass_on(capture, true);
}

/* One read of each stream into its raw buffer; true if something came. */
static bool fill(struct mrp_capture *c)
{
    bool any = false;
    for (int i = 0; i < 2; i++) {
        if (c->fd[i] < 0 || c->raw[i].len)
            continue;
        char *room = mrp_buf_reserve(&c->raw[i], READ_BYTES);
        ssize_t n = room ? read(c->fd[i], room, READ_BYTES) : -1;
        if (n > 0) {
            c->raw[i].len += (size_t)n;
            any = true;
        } else if (n == 0 && c->write_fd[i] < 0) {
            mrp_close_fd(&c->fd[i]);
        }
    }
    return any;
}

/* ---- frames ---- */

static void cut_frames(struct mrp_proc *p)
{
    size_t at = 0;
    const char *end;
    while (at < p->frame.len &&
           (end = memchr(p->frame.data + at, '\n', p->frame.len - at)) != NULL) {
        size_t n = (size_t)(end - (p->frame.data + at));
        p->on_frame(p->arg, p->frame.data + at, n);
        at += n + 1;
    }
    mrp_buf_drop(&p->frame, at);
}

static bool read_frames(struct mrp_proc *p)
{
    bool any = false;
    for (int round = 0; p->frame_fd >= 0 && round < DRAIN_ROUNDS; round++) {
        char *room = mrp_buf_reserve(&p->frame, READ_BYTES);
        if (!room) { /* a frame without an end */
            p->frame_overflow = true;
            mrp_close_fd(&p->frame_fd);
            mrp_proc_stop(p);
            break;
        }
        ssize_t n = recv(p->frame_fd, room, READ_BYTES, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            mrp_close_fd(&p->frame_fd);
            break;
        }
        p->frame.len += (size_t)n;
        any = true;
        cut_frames(p);
    }
    return any;
}

/* Output is read before the frames and passed on after them: a secret that a worker registered
 * before it printed it is known by then. */
static bool pump(struct mrp_proc *p)
{
    bool any = p->capture && fill(p->capture);
    any = read_frames(p) || any;
    if (p->capture)
        pass_on(p->capture, false);
    return any;
}

/* ---- processes ---- */

void mrp_proc_stop(struct mrp_proc *proc)
{
    if (proc->kill_ms || proc->pid <= 0)
        return;
    proc->stopped = true;
    proc->kill_ms = mrp_now_ms() + MRP_GRACE_MS;
    kill(-proc->pid, SIGTERM);
    kill(-proc->pid, SIGCONT);
}

static int add_proc(struct mrp_loop *loop, struct mrp_proc *proc)
{
    if (loop->count == loop->cap) {
        size_t cap = loop->cap ? loop->cap * 2 : 8;
        struct mrp_proc **procs = realloc(loop->procs, cap * sizeof(struct mrp_proc *));
        if (!procs)
            return -1;
        loop->procs = procs;
        loop->cap = cap;
    }
    loop->procs[loop->count++] = proc;
    return 0;
}

/* In the child: nothing of the runner is inherited but what was asked for. */
static void become_child(const struct mrp_spawn *spawn,
                         struct mrp_guard *guard,
                         int slot,
                         pid_t runner,
                         int frame_fd)
{
    setpgid(0, 0);
    mrp_guard_enter(guard, slot, getpid());
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != runner)
        _exit(127);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* The ends may sit in 0 to 3 if the runner was started without standard streams. */
    int out = spawn->capture ? fcntl(spawn->capture->write_fd[0], F_DUPFD_CLOEXEC, 10) : null;
    int errs = spawn->capture ? fcntl(spawn->capture->write_fd[1], F_DUPFD_CLOEXEC, 10) : null;
    int frames = frame_fd >= 0 ? fcntl(frame_fd, F_DUPFD_CLOEXEC, 10) : -1;
    null = fcntl(null, F_DUPFD_CLOEXEC, 10);
    if (!spawn->with_stdin)
        dup2(null, 0);
    dup2(out, 1);
    dup2(errs, 2);
    if (frames >= 0)
        dup3(frames, 3, O_CLOEXEC);
    close_range(frames >= 0 ? 4 : 3, ~0u, 0);
    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    spawn->child(spawn->arg);
    _exit(127);
}

/* A process that the fork server makes; -1: it cannot. */
static pid_t
ask_server(const struct mrp_spawn *spawn, struct mrp_guard *guard, int slot, int ends[2])
{
    if (!spawn->server)
        return -1;
    struct mrp_forkserver_ends its = {.out = spawn->capture->write_fd[0],
                                      .err = spawn->capture->write_fd[1],
                                      .frames = ends[1],
                                      .in = spawn->with_stdin ? STDIN_FILENO : -1};
    pid_t pid = mrp_forkserver_fork(spawn->server, &its, spawn->last);
    if (pid < 0)
        return -1;
    setpgid(pid, pid);
    mrp_guard_enter(guard, slot, pid);
    if (spawn->brief(spawn->arg, ends[0]) == 0)
        return pid;
    /* It has not begun, so another one may do the work, on frames of its own. */
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(ends[0]);
    close(ends[1]);
    ends[0] = ends[1] = -1;
    return -1;
}

int mrp_loop_spawn(struct mrp_loop *loop,
                   struct mrp_proc *proc,
                   const struct mrp_spawn *spawn,
                   struct mrp_error *err)
{
    int ends[2] = {-1, -1};
    proc->pid = proc->pidfd = proc->frame_fd = -1;
    proc->capture = spawn->capture;
    proc->frame_overflow = proc->timed_out = proc->stopped = false;
    proc->kill_ms = 0;
    proc->status = 0;
    mrp_buf_init(&proc->frame, MRP_FRAME_MAX);
    if (spawn->frames && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        return mrp_fail_errno(err, "make a socket pair");
    mrp_journal_flush(loop->journal); /* so that no child carries a copy of it */
    pid_t runner = getpid();
    proc->slot = mrp_guard_slot(loop->guard);
    pid_t pid = ask_server(spawn, loop->guard, proc->slot, ends);
    if (pid < 0 && spawn->frames && ends[0] < 0 &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
        mrp_guard_enter(loop->guard, proc->slot, 0);
        return mrp_fail_errno(err, "make a socket pair");
    }
    if (pid < 0)
        pid = fork();
    if (pid == 0)
        become_child(spawn, loop->guard, proc->slot, runner, ends[1]);
    mrp_close_fd(&ends[1]);
    if (pid < 0) {
        mrp_close_fd(&ends[0]);
        mrp_guard_enter(loop->guard, proc->slot, 0);
        return mrp_fail_errno(err, "start a process");
    }
    setpgid(pid, pid);
    mrp_guard_enter(loop->guard, proc->slot, pid);
    proc->pid = pid;
    proc->pidfd = pidfd_open(pid, 0);
    proc->frame_fd = ends[0];
    if (proc->capture && proc->capture != loop->lasting)
        for (int i = 0; i < 2; i++)
            mrp_close_fd(&proc->capture->write_fd[i]);
    if (proc->pidfd < 0 || add_proc(loop, proc)) {
        int saved = errno;
        kill(-pid, SIGKILL);
        waitpid(pid, NULL, 0);
        mrp_close_fd(&proc->pidfd);
        mrp_close_fd(&proc->frame_fd);
        errno = saved;
        return mrp_fail_errno(err, "watch a process");
    }
    fcntl(proc->pidfd, F_SETFD, FD_CLOEXEC);
    return 0;
}

static void finish(struct mrp_loop *loop, struct mrp_proc *p)
{
    for (int round = 0; round < DRAIN_ROUNDS && pump(p); round++)
        ;
    if (p->capture)
        mrp_capture_flush(p->capture);
    if (p->frame.len && !p->frame_overflow) /* a last frame without its line end */
        p->on_frame(p->arg, p->frame.data, p->frame.len);
    mrp_close_fd(&p->pidfd);
    mrp_close_fd(&p->frame_fd);
    mrp_buf_done(&p->frame);
    /* A worker leaves nothing behind; a command may leave jobs in the background until the end. */
    if (p->capture != loop->lasting)
        kill(-p->pid, SIGKILL);
    mrp_guard_leave(loop->guard, p->slot);
    for (size_t i = 0; i < loop->count; i++)
        if (loop->procs[i] == p) {
            loop->procs[i] = loop->procs[--loop->count];
            break;
        }
    p->on_exit(p->arg, p);
}

static void keep_deadlines(struct mrp_loop *loop)
{
    int64_t now = mrp_now_ms();
    for (size_t i = 0; i < loop->count; i++) {
        struct mrp_proc *p = loop->procs[i];
        if (p->deadline_ms && now >= p->deadline_ms && !p->kill_ms) {
            p->timed_out = true;
            mrp_proc_stop(p);
        }
        if (p->kill_ms && now >= p->kill_ms) {
            kill(-p->pid, SIGKILL);
            p->kill_ms = INT64_MAX;
        }
    }
}

static int wait_ms(const struct mrp_loop *loop)
{
    int64_t until = loop->wake_ms ? loop->wake_ms : INT64_MAX, now = mrp_now_ms();
    for (size_t i = 0; i < loop->count; i++) {
        const struct mrp_proc *p = loop->procs[i];
        if (p->kill_ms && p->kill_ms < until)
            until = p->kill_ms;
        if (!p->kill_ms && p->deadline_ms && p->deadline_ms < until)
            until = p->deadline_ms;
    }
    if (loop->journal->has_tick && now + 100 < until)
        until = now + 100;
    if (until == INT64_MAX)
        return -1;
    return until <= now ? 0 : until - now > 3600000 ? 3600000 : (int)(until - now);
}

static void read_signals(struct mrp_loop *loop)
{
    struct signalfd_siginfo info;
    while (read(loop->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (!loop->signal)
            loop->signal = (int)info.ssi_signo;
        loop->signals++;
    }
}

enum { FDS_FIRST = 3, FDS_PER_PROC = 4 };

/* The signals and the lasting capture, then for each process: its end, frames, output. */
static size_t list_fds(struct pollfd *fds, const struct mrp_loop *loop)
{
    size_t n = 0;
    fds[n++] = (struct pollfd){.fd = loop->signal_fd, .events = POLLIN};
    for (int k = 0; k < 2; k++)
        fds[n++] =
            (struct pollfd){.fd = loop->lasting ? loop->lasting->fd[k] : -1, .events = POLLIN};
    for (size_t i = 0; i < loop->count; i++) {
        const struct mrp_proc *p = loop->procs[i];
        bool own = p->capture && p->capture != loop->lasting;
        fds[n++] = (struct pollfd){.fd = p->pidfd, .events = POLLIN};
        fds[n++] = (struct pollfd){.fd = p->frame_fd, .events = POLLIN};
        for (int k = 0; k < 2; k++)
            fds[n++] = (struct pollfd){.fd = own ? p->capture->fd[k] : -1, .events = POLLIN};
    }
    return n;
}

static void handle(struct mrp_loop *loop, const struct pollfd *fds)
{
    if (fds[0].revents)
        read_signals(loop);
    if (fds[1].revents || fds[2].revents) {
        fill(loop->lasting);
        pass_on(loop->lasting, false);
    }
    /* Ends are handled last, and one at a time: a callback may change the list. */
    struct mrp_proc *ended = NULL;
    for (size_t i = 0; i < loop->count; i++) {
        struct mrp_proc *p = loop->procs[i];
        const struct pollfd *f = &fds[FDS_FIRST + i * FDS_PER_PROC];
        if (f[1].revents || f[2].revents || f[3].revents)
            pump(p);
        if (f[0].revents && !ended && waitpid(p->pid, &p->status, WNOHANG) == p->pid)
            ended = p;
    }
    if (ended)
        finish(loop, ended);
}

void mrp_loop_step(struct mrp_loop *loop)
{
    struct pollfd *fds = calloc(FDS_FIRST + loop->count * FDS_PER_PROC, sizeof *fds);
    if (!fds) {
        mrp_sleep_ms(10);
        return;
    }
    size_t n = list_fds(fds, loop);
    mrp_journal_flush(loop->journal);
    int ready = poll(fds, n, wait_ms(loop));
    mrp_journal_tick(loop->journal);
    if (ready > 0)
        handle(loop, fds);
    free(fds);
    keep_deadlines(loop);
}
