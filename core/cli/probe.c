/* Runs a small program with a deadline and takes the first line of its output. */
#include "probe.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_MS 5000

extern char **environ;

static pid_t start(int out, const char *const *argv)
{
    posix_spawn_file_actions_t files;
    pid_t pid = -1;
    if (posix_spawn_file_actions_init(&files) != 0)
        return -1;
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    /* posix_spawn takes char *const[] for historical reasons and does not write to it. */
    union {
        const char *const *in;
        char *const *out;
    } words = {.in = argv};
    if (posix_spawnp(&pid, argv[0], &files, NULL, words.out, environ) != 0)
        pid = -1;
    posix_spawn_file_actions_destroy(&files);
    return pid;
}

/* Reads until the end, the limit or the deadline. */
static size_t read_some(int fd, char *buf, size_t size)
{
    int64_t until = mrp_now_ms() + DEADLINE_MS;
    size_t len = 0;
    while (len < size) {
        int64_t left = until - mrp_now_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            break;
        ssize_t n = read(fd, buf + len, size - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    return len;
}

char *mrp_cli_probe(const char *const *argv)
{
    int ends[2];
    char buf[1024];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return NULL;
    pid_t pid = start(ends[1], argv);
    close(ends[1]);
    size_t len = pid > 0 ? read_some(ends[0], buf, sizeof buf - 1) : 0;
    close(ends[0]);
    if (pid > 0) {
        /* It has closed its output or overrun its time: nothing of worth is lost. */
        kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
    const char *nl = memchr(buf, '\n', len);
    len = nl ? (size_t)(nl - buf) : len;
    return len > 0 ? mrp_strndup(buf, len) : NULL;
}
