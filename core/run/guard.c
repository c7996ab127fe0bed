/* The guard: ends process groups and stray daemons of a run, also when the runner was killed. */
#include "guard.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 2048, GRACE_MS = 1000, EXEC_MS = 30, ENVIRON_MAX = 2 << 20 };

/* Shared by the runner, its children and the guard. */
struct mrp_guard_table {
    _Atomic pid_t groups[SLOTS]; /* 0: free; -1: taken, not yet entered */
    char run_id[64];
    char temp[PATH_MAX];
};

/* True if the process was started with MRPIPE_RUN_ID of this run. */
static bool carries(const char *pid, const char *run_id)
{
    char path[64];
    mrp_auto(mrp_close_fd) int fd = -1;
    struct mrp_buf name = MRP_BUF_INIT(sizeof path - 1);
    mrp_buf_addf(&name, "/proc/%s/environ", pid);
    fd = open(mrp_buf_str(&name), O_RDONLY | O_CLOEXEC);
    mrp_buf_done(&name);
    if (fd < 0)
        return false;
    struct mrp_buf env = MRP_BUF_INIT(ENVIRON_MAX), want = MRP_BUF_INIT(128);
    ssize_t n;
    char *room;
    while ((room = mrp_buf_reserve(&env, 16384)) && (n = read(fd, room, 16384)) > 0)
        env.len += (size_t)n;
    mrp_buf_addf(&want, "MRPIPE_RUN_ID=%s", run_id);
    bool found = env.len && !env.failed &&
                 memmem(env.data, env.len, mrp_buf_str(&want), want.len + 1) != NULL;
    mrp_buf_done(&env);
    mrp_buf_done(&want);
    return found;
}

/* Daemons leave their process group but keep their first environment. Returns how many there were;
 * one that has ended has no environment any more. */
static int kill_strays(const char *run_id)
{
    mrp_auto(mrp_close_dir) DIR *proc = opendir("/proc");
    const struct dirent *entry;
    int found = 0;
    while (proc && (entry = readdir(proc))) {
        int64_t pid;
        if (mrp_parse_int(&pid, entry->d_name, 2, INT_MAX) == 0 && pid != getpid() &&
            pid != getppid() && carries(entry->d_name, run_id))
            found += kill((pid_t)pid, SIGKILL) == 0;
    }
    return found;
}

static void kill_groups(struct mrp_guard_table *table, int sig)
{
    for (size_t i = 0; i < SLOTS; i++) {
        pid_t group = atomic_load(&table->groups[i]);
        if (group > 1)
            kill(-group, sig);
    }
}

static void keep_watch(int fd, struct mrp_guard_table *table)
{
    char word;
    ssize_t n;
    while ((n = read(fd, &word, 1)) < 0 && errno == EINTR)
        ;
    if (n == 1)
        return;
    kill_groups(table, SIGKILL);
    (void)kill_strays(table->run_id);
    kill_groups(table, SIGKILL);
    if (table->temp[0])
        (void)mrp_remove_tree(table->temp, NULL);
}

int mrp_guard_start(struct mrp_guard *guard, const char *run_id, struct mrp_error *err)
{
    int ends[2];
    struct mrp_guard_table *table =
        mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED)
        return mrp_fail_errno(err, "share memory with the guard");
    mrp_copy(table->run_id, sizeof table->run_id, run_id);
    if (pipe2(ends, O_CLOEXEC)) {
        munmap(table, sizeof *table);
        return mrp_fail_errno(err, "pipe to the guard");
    }
    /* Orphans of the commands come back to the runner, which ends them with the run. */
    prctl(PR_SET_CHILD_SUBREAPER, 1L);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        setpgid(0, 0);
        dup2(ends[0], 0);
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        close_range(3, ~0u, 0);
        prctl(PR_SET_NAME, "mrpipe-guard");
        keep_watch(0, table);
        _exit(0);
    }
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        munmap(table, sizeof *table);
        return mrp_fail_errno(err, "start the guard");
    }
    *guard = (struct mrp_guard){.pid = pid, .fd = ends[1], .table = table};
    return 0;
}

void mrp_guard_temp(struct mrp_guard *guard, const char *path)
{
    if (guard->table)
        mrp_copy(guard->table->temp, sizeof guard->table->temp, path);
}

static bool empty_group(pid_t group)
{
    return kill(-group, 0) != 0 && errno == ESRCH;
}

int mrp_guard_slot(struct mrp_guard *guard)
{
    for (int round = 0; guard->table && round < 2; round++)
        for (int i = 0; i < SLOTS; i++) {
            pid_t group = atomic_load(&guard->table->groups[i]);
            if (group == 0 || (round && group > 1 && empty_group(group))) {
                atomic_store(&guard->table->groups[i], -1);
                return i;
            }
        }
    return -1;
}

void mrp_guard_enter(struct mrp_guard *guard, int slot, pid_t group)
{
    if (slot >= 0 && guard->table)
        atomic_store(&guard->table->groups[slot], group);
}

void mrp_guard_leave(struct mrp_guard *guard, int slot)
{
    if (slot < 0 || !guard->table)
        return;
    pid_t group = atomic_load(&guard->table->groups[slot]);
    if (group <= 1 || empty_group(group))
        atomic_store(&guard->table->groups[slot], 0);
}

static bool groups_left(struct mrp_guard_table *table)
{
    bool left = false;
    for (size_t i = 0; i < SLOTS; i++) {
        pid_t group = atomic_load(&table->groups[i]);
        if (group <= 1)
            continue;
        if (empty_group(group))
            atomic_store(&table->groups[i], 0);
        else
            left = true;
    }
    return left;
}

/* Reap what came back to the runner; the guard itself stays. True while children are left. */
static bool reap(const struct mrp_guard *guard)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        if (pid == guard->pid)
            return false;
    return pid == 0;
}

/* Everything that is left descends from a child of this process, which adopts orphans. */
static bool has_children(const struct mrp_guard *guard)
{
    mrp_auto(mrp_free_str) char *path = mrp_strf("/proc/self/task/%d/children", (int)gettid());
    mrp_auto(mrp_close_fd) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    char text[4096];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n < 0)
        return true; /* a kernel without this file: look */
    text[n] = '\0';
    mrp_auto(mrp_free_strv) char **pids = mrp_split(text, ' ');
    mrp_auto(mrp_free_str) char *own = mrp_strf("%d", (int)guard->pid);
    return mrp_strv_len(pids) > (own && mrp_strv_has(pids, own) ? 1u : 0u);
}

void mrp_guard_sweep(struct mrp_guard *guard)
{
    if (!guard->table)
        return;
    bool killed = false;
    reap(guard);
    if (groups_left(guard->table)) {
        kill_groups(guard->table, SIGTERM);
        int64_t grace = mrp_now_ms() + GRACE_MS;
        while (groups_left(guard->table) && mrp_now_ms() < grace) {
            reap(guard);
            mrp_sleep_ms(5);
        }
        killed = groups_left(guard->table);
        kill_groups(guard->table, SIGKILL);
    }
    /* One that is being killed shows no environment any more, but is a child until it is reaped;
     * one that is in the middle of an exec shows none yet. */
    int64_t now = mrp_now_ms(), until = now + GRACE_MS, quiet = now + EXEC_MS;
    for (; has_children(guard) && now < until; now = mrp_now_ms()) {
        killed = kill_strays(guard->table->run_id) || killed;
        if (!killed && now >= quiet)
            break;
        mrp_sleep_ms(2);
        reap(guard);
    }
}

void mrp_guard_stop(struct mrp_guard *guard)
{
    if (guard->fd >= 0) {
        (void)mrp_write_all(guard->fd, "q", 1);
        mrp_close_fd(&guard->fd);
        waitpid(guard->pid, NULL, 0);
    }
    if (guard->table)
        munmap(guard->table, sizeof *guard->table);
    *guard = (struct mrp_guard)MRP_GUARD_INIT;
}
