/* Runs docker-credential-NAME with a request on its stdin and reads the answer, in bounds. */
#include "helper.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 << 10, HELPER_MS = 30000 };

static bool name_valid(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n && !name[n] && n < 100 && name[0] != '.';
}

/* One socket is stdin and stdout of the helper: our half-close tells it that the request ended. */
static int start(pid_t *pid, int *fd, const char *program, const char *verb, struct mrp_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return mrp_fail_errno(err, "start %s", program);
    mrp_auto(mrp_close_fd) int ours = pair[0];
    mrp_auto(mrp_close_fd) int theirs = pair[1];
    posix_spawn_file_actions_t files;
    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)verb, NULL};
    int rc = posix_spawn_file_actions_init(&files);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(&files, theirs, 0);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(&files, theirs, 1);
    if (!rc)
        rc = posix_spawnp(pid, program, &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (rc) {
        errno = rc;
        mrp_fail(err, MRP_E_AUTH, "%s cannot be started: %s", program, strerror(rc));
        return mrp_hint(err,
                        "docker's config.json names this helper; install it or remove the line");
    }
    *fd = mrp_take_fd(&ours);
    return 0;
}

static int read_answer(struct mrp_buf *out,
                       struct mrp_http *http,
                       int fd,
                       const char *program,
                       struct mrp_error *err)
{
    int64_t until_ms = mrp_now_ms() + HELPER_MS;
    for (;;) {
        int64_t left_ms = until_ms - mrp_now_ms();
        int rc = left_ms > 0 ? mrp_http_wait_fd(http, fd, false, left_ms, err) : 0;
        if (rc < 0)
            return rc;
        if (!rc)
            return mrp_fail(err, MRP_E_TIMEOUT, "%s did not answer within 30 s", program);
        char *room = mrp_buf_reserve(out, 4096);
        if (!room)
            return mrp_fail(err, MRP_E_AUTH, "%s answered more than 64 KiB", program);
        ssize_t n = read(fd, room, 4096);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0 && errno != ECONNRESET) /* that is an end too: it left without reading */
            return mrp_fail_errno(err, "read from %s", program);
        if (n <= 0)
            return 0;
        out->len += (size_t)n;
        room[n] = '\0';
    }
}

static int run(struct mrp_buf *out,
               int *status,
               struct mrp_http *http,
               const char *name,
               const char *verb,
               const char *request,
               struct mrp_error *err)
{
    if (!name_valid(name))
        return mrp_fail(err, MRP_E_CONFIG, "`%.60s` is no name of a credential helper", name);
    mrp_auto(mrp_free_str) char *program = mrp_strf("docker-credential-%s", name);
    if (!program)
        return mrp_fail(err, MRP_E_NOMEM, "credential helper");
    mrp_auto(mrp_close_fd) int fd = -1;
    pid_t pid = -1;
    int rc = start(&pid, &fd, program, verb, err);
    if (rc)
        return rc;
    /* Requests are far below the socket's buffer, so this does not block. A helper that has gone
     * away must not end the worker with SIGPIPE. */
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 && errno != EPIPE &&
        errno != ECONNRESET)
        rc = mrp_fail_errno(err, "write to %s", program);
    shutdown(fd, SHUT_WR);
    if (!rc)
        rc = read_answer(out, http, fd, program, err);
    if (rc)
        kill(pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    return rc;
}

int helper_get(char **user,
               char **password,
               struct mrp_http *http,
               const char *name,
               const char *host,
               struct mrp_error *err)
{
    mrp_auto(mrp_buf_done) struct mrp_buf answer = MRP_BUF_INIT(ANSWER_MAX);
    mrp_auto(mrp_free_str) char *request = mrp_strf("%s\n", host);
    int status = 0;
    int rc = request ? run(&answer, &status, http, name, "get", request, err)
                     : mrp_fail(err, MRP_E_NOMEM, "credential helper");
    if (rc)
        return rc;
    const char *text = mrp_buf_str(&answer);
    if (status) {
        if (strstr(text, "credentials not found"))
            return 0;
        return mrp_fail(err, MRP_E_AUTH, "docker-credential-%s has no credentials for %s: %.200s",
                        name, host, *text ? text : "it failed without a word");
    }
    mrp_auto(mrp_free_json) json_t *j = NULL;
    rc = mrp_json_parse(&j, text, answer.len, "the credential helper's answer", err);
    if (rc)
        return rc;
    const char *u = mrp_json_str(j, "Username");
    const char *s = mrp_json_str(j, "Secret");
    if (!u || !s)
        return mrp_fail(err, MRP_E_AUTH, "docker-credential-%s: Username or Secret is missing",
                        name);
    *user = mrp_strdup(u);
    *password = mrp_strdup(s);
    return *user && *password ? 0 : mrp_fail(err, MRP_E_NOMEM, "credential helper");
}

int helper_store(struct mrp_http *http,
                 const char *name,
                 const char *host,
                 const char *user,
                 const char *password,
                 struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *j = json_object();
    if (!j || mrp_json_puts(j, "ServerURL", host) || mrp_json_puts(j, "Username", user) ||
        mrp_json_puts(j, "Secret", password))
        return mrp_fail(err, MRP_E_NOMEM, "credential helper");
    mrp_auto(mrp_free_str) char *request = mrp_json_text(j);
    mrp_auto(mrp_buf_done) struct mrp_buf answer = MRP_BUF_INIT(ANSWER_MAX);
    int status = 0;
    int rc = request ? run(&answer, &status, http, name, "store", request, err)
                     : mrp_fail(err, MRP_E_NOMEM, "credential helper");
    if (!rc && status)
        rc = mrp_fail(err, MRP_E_AUTH, "docker-credential-%s did not store %s: %.200s", name, host,
                      mrp_buf_str(&answer));
    return rc;
}
