/* The fork server: asks for workers in the runner, makes them in the child of the checks. */
#include "forkserver.h"

#include "brief.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MS = 5000, ENDS_MAX = 4, TASKS_OF_ONE_THREAD = 3 };

/* One message asks for one worker, its descriptors go with it; the answer is a pid. */
struct request {
    bool last;
    bool with_stdin;
};
union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(ENDS_MAX * sizeof(int))];
};

/* ---- in the runner ---- */

static bool ask(int fd, struct request request, const struct mrp_forkserver_ends *ends)
{
    const int fds[ENDS_MAX] = {ends->out, ends->err, ends->frames, ends->in};
    size_t size = (request.with_stdin ? 4 : 3) * sizeof(int);
    union control control = {0};
    struct iovec io = {&request, sizeof request};
    struct msghdr message = {.msg_iov = &io,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = CMSG_SPACE(size)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(head), fds, size);
    return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)sizeof request;
}

static pid_t hear(int fd)
{
    pid_t pid = -1;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ready;
    while ((ready = poll(&p, 1, ANSWER_MS)) < 0 && errno == EINTR)
        ;
    if (ready <= 0 || recv(fd, &pid, sizeof pid, 0) != (ssize_t)sizeof pid)
        return -1;
    return pid;
}

pid_t mrp_forkserver_fork(struct mrp_forkserver *server,
                          const struct mrp_forkserver_ends *ends,
                          bool last)
{
    if (server->pid <= 0)
        return -1;
    struct request request = {.last = last, .with_stdin = ends->in >= 0};
    pid_t pid = ask(server->fd, request, ends) ? hear(server->fd) : -1;
    if (pid <= 0 || (last && pid != server->pid)) {
        mrp_forkserver_stop(server);
        return -1;
    }
    if (last) { /* it is a worker now */
        mrp_close_fd(&server->fd);
        server->pid = -1;
    }
    return pid;
}

void mrp_forkserver_stop(struct mrp_forkserver *server)
{
    mrp_close_fd(&server->fd);
    if (server->pid > 0) {
        kill(-server->pid, SIGKILL);
        kill(server->pid, SIGKILL);
        while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    server->pid = -1;
}

/* ---- in the child of the checks ---- */

struct server {
    pid_t runner;
    const struct mrp_mapped *mapped;
    size_t count;
};

/* fork() copies one thread: what others hold at that moment would be lost. */
static bool one_thread(void)
{
    struct stat st;
    return stat("/proc/self/task", &st) == 0 && st.st_nlink == TASKS_OF_ONE_THREAD;
}

static void close_ends(struct mrp_forkserver_ends *ends)
{
    mrp_close_fd(&ends->out);
    mrp_close_fd(&ends->err);
    mrp_close_fd(&ends->frames);
    mrp_close_fd(&ends->in);
}

static bool receive(struct request *request, struct mrp_forkserver_ends *ends)
{
    int fds[ENDS_MAX] = {-1, -1, -1, -1};
    union control control = {0};
    struct iovec io = {request, sizeof *request};
    struct msghdr message = {.msg_iov = &io,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    ssize_t n;
    while ((n = recvmsg(MRP_FORKSERVER_FD, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    const struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (n != (ssize_t)sizeof *request || !head || head->cmsg_type != SCM_RIGHTS)
        return false;
    size_t size = head->cmsg_len - CMSG_LEN(0);
    memcpy(fds, CMSG_DATA(head), size < sizeof fds ? size : sizeof fds);
    *ends = (struct mrp_forkserver_ends){fds[0], fds[1], fds[2], fds[3]};
    return ends->frames >= 0;
}

static void answer(pid_t pid)
{
    if (send(MRP_FORKSERVER_FD, &pid, sizeof pid, MSG_NOSIGNAL) != (ssize_t)sizeof pid)
        _exit(0); /* the runner is gone */
}

/* The first byte of the work says that the runner knows this process and is its parent. */
static bool wait_for_work(int frames)
{
    char byte;
    ssize_t n;
    while ((n = recv(frames, &byte, 1, MSG_PEEK)) < 0 && errno == EINTR)
        ;
    return n == 1;
}

/* What mapping has opened, caught or changed stays as it is, as in a worker that maps by itself. */
static _Noreturn void be_worker(const struct server *s, struct mrp_forkserver_ends ends)
{
    struct mrp_work work;
    close(MRP_FORKSERVER_FD);
    prctl(PR_SET_NAME, "mrpipe");
    if (!wait_for_work(ends.frames))
        _exit(127);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != s->runner)
        _exit(127);
    if (ends.in >= 0)
        dup2(ends.in, 0);
    dup2(ends.out, 1);
    dup2(ends.err, 2);
    dup3(ends.frames, 3, O_CLOEXEC);
    close_ends(&ends);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (mrp_brief_read(&work, 3))
        _exit(127);
    for (size_t i = 0; i < s->count && !work.plugin; i++)
        if (s->mapped[i].plugin && mrp_streq(s->mapped[i].path, work.path))
            work.plugin = s->mapped[i].plugin;
    mrp_worker_main(&work);
    _exit(127);
}

/* The worker must become the runner's child. It does when its parent ends, since the runner adopts
 * orphans; that parent is a vfork, which copies nothing. fork() itself (not a bare clone with
 * CLONE_PARENT) runs the handlers by which libraries notice it. */
static pid_t bear(const struct server *s, const struct mrp_forkserver_ends *ends)
{
    volatile pid_t worker = -1;
    pid_t between = vfork(); /* NOLINT: see above */
    if (between == 0) {
        worker = fork(); /* NOLINT: the memory is shared and fork() leaves it sound */
        if (worker == 0)
            be_worker(s, *ends); /* NOLINT: in a process of its own by now */
        _exit(0);
    }
    while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR)
        ;
    return worker;
}

_Noreturn void mrp_forkserver_serve(pid_t runner, const struct mrp_mapped *mapped, size_t count)
{
    struct server s = {runner, mapped, count};
    struct request request;
    struct mrp_forkserver_ends ends;
    fflush(stdout); /* or each worker would say it again */
    prctl(PR_SET_NAME, "mrpipe-forks");
    while (one_thread() && receive(&request, &ends)) {
        if (request.last) {
            answer(getpid());
            be_worker(&s, ends);
        }
        answer(bear(&s, &ends));
        close_ends(&ends);
    }
    _exit(0);
}
