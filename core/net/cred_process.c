/* Credentials from the output of a command (credential_process). */
#include "chain.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 60000
#define MAX_OUTPUT ((size_t)256 << 10)

extern char **environ;

/* Words as a shell would see them, without expansions: the AWS CLI's rule. NULL: an open quote. */
static char **split_words(const char *s)
{
    mrp_auto(mrp_free_strv) char **words = NULL;
    struct mrp_buf word = MRP_BUF_INIT(1 << 16);
    char quote = '\0';
    bool inside = false;
    for (; *s; s++) {
        if (!quote && strchr(" \t\n", *s)) {
            if (inside)
                mrp_strv_add(&words, mrp_buf_str(&word));
            mrp_buf_reset(&word);
            inside = false;
            continue;
        }
        inside = true;
        if (*s == quote)
            quote = '\0';
        else if (!quote && (*s == '"' || *s == '\''))
            quote = *s;
        else if (*s == '\\' && quote != '\'' && s[1])
            mrp_buf_addc(&word, *++s);
        else
            mrp_buf_addc(&word, *s);
    }
    if (inside)
        mrp_strv_add(&words, mrp_buf_str(&word));
    mrp_buf_done(&word);
    return quote ? NULL : mrp_take_strv(&words);
}

static int start(pid_t *pid, int *out_fd, char **words, struct mrp_error *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return mrp_fail_errno(err, "start %s", words[0]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    int rc = posix_spawnp(pid, words[0], &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    if (rc != 0) {
        close(fds[0]);
        errno = rc;
        return mrp_fail_errno(err, "credential_process: start %s", words[0]);
    }
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    *out_fd = fds[0];
    return 0;
}

static int
read_all(struct mrp_buf *buf, struct mrp_aws *aws, int fd, const char *name, struct mrp_error *err)
{
    int64_t until = mrp_now_ms() + LIMIT_MS;
    for (;;) {
        char piece[4096];
        ssize_t n = read(fd, piece, sizeof piece);
        if (n == 0)
            return mrp_buf_check(buf, "credential_process", err);
        if (n > 0) {
            mrp_buf_add(buf, piece, (size_t)n);
            explicit_bzero(piece, sizeof piece);
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return mrp_fail_errno(err, "credential_process: read from %s", name);
        int rc = mrp_http_wait_fd(aws->http, fd, false, until - mrp_now_ms(), err);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return mrp_fail(err, MRP_E_TIMEOUT, "credential_process: %s did not end in a minute",
                            name);
    }
}

static int parse(struct mrp_credentials *out,
                 const struct mrp_buf *text,
                 const char *name,
                 struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *j = NULL;
    int rc = mrp_json_parse(&j, mrp_buf_str(text), text->len, "credential_process", err);
    if (rc)
        return rc;
    if (mrp_json_int(j, "Version", 0) != 1)
        return mrp_fail(err, MRP_E_AUTH, "credential_process: %s gave no \"Version\": 1", name);
    return credentials_set(out, mrp_json_str(j, "AccessKeyId"), mrp_json_str(j, "SecretAccessKey"),
                           mrp_json_str(j, "SessionToken"), mrp_json_str(j, "Expiration"),
                           "credential_process", err);
}

int cred_process(struct mrp_credentials *out,
                 struct mrp_aws *aws,
                 const char *command,
                 struct mrp_error *err)
{
    mrp_auto(mrp_free_strv) char **words = split_words(command);
    if (!words || !words[0])
        return mrp_fail(err, MRP_E_CONFIG, "credential_process: bad command `%.200s`", command);
    pid_t pid = 0;
    mrp_auto(mrp_close_fd) int fd = -1;
    int rc = start(&pid, &fd, words, err);
    if (rc)
        return rc;
    struct mrp_buf text = MRP_BUF_INIT(MAX_OUTPUT);
    rc = read_all(&text, aws, fd, words[0], err);
    if (rc)
        kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (rc == 0 && status != 0)
        rc = mrp_fail(err, MRP_E_AUTH, "credential_process: %s failed (%s %d)", words[0],
                      WIFEXITED(status) ? "exit" : "signal",
                      WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    if (rc == 0)
        rc = parse(out, &text, words[0], err);
    if (text.data)
        explicit_bzero(text.data, text.len);
    mrp_buf_done(&text);
    return rc;
}
