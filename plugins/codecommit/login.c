/* Authorization for an HTTP end: CodeCommit's password, Basic, bearer, git's credential helpers. */
#include "end.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>
#include <mrpipe/url.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MAX = 16 << 10, HELPER_MS = 120000 };

static void wipe_str(char **s)
{
    if (*s)
        explicit_bzero(*s, strlen(*s));
    mrp_free_str(s);
}

void mrp_login_done(struct mrp_login *login)
{
    free(login->user);
    wipe_str(&login->password);
    if (login->has_aws)
        mrp_credentials_done(&login->aws);
    mrp_aws_free(&login->aws_own);
    *login = (struct mrp_login){0};
}

static int basic(char **out, const char *user, const char *password, struct mrp_error *err)
{
    mrp_auto(wipe_str) char *pair = mrp_strf("%s:%s", user, password);
    mrp_auto(wipe_str) char *code = pair ? mrp_base64(pair, strlen(pair)) : NULL;
    *out = code ? mrp_strf("Basic %s", code) : NULL;
    return *out ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "make a password");
}

/* The password is good for some minutes and is checked when a request begins: one for each. */
static int codecommit(char **out, struct mrp_end *end, struct mrp_error *err)
{
    struct mrp_credentials c = {0};
    mrp_auto(mrp_free_str) char *user = NULL;
    mrp_auto(wipe_str) char *password = NULL;
    struct mrp_aws *aws = end->login.aws_own ? end->login.aws_own : end->session->aws;
    int rc = mrp_aws_credentials(&c, aws, err);
    if (rc)
        return rc;
    rc = mrp_codecommit_password(&user, &password, &c, end->region, end->aws_host, end->aws_path,
                                 mrp_wall_ms(), err);
    mrp_credentials_done(&c);
    return rc ? rc : basic(out, user, password, err);
}

int mrp_login_header(char **out, struct mrp_end *end, struct mrp_error *err)
{
    const struct mrp_login *l = &end->login;
    switch (l->kind) {
    case MRP_LOGIN_CODECOMMIT:
        return codecommit(out, end, err);
    case MRP_LOGIN_BASIC:
        return basic(out, l->user, l->password, err);
    case MRP_LOGIN_BEARER:
        *out = mrp_strf("Bearer %s", l->password);
        return *out ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "make a header");
    default:
        return MRP_OK;
    }
}

/* ---- git credential ---- */

struct helper {
    pid_t pid;
    int in, out;
};

static void helper_end(struct helper *h)
{
    mrp_close_fd(&h->in);
    mrp_close_fd(&h->out);
    if (h->pid > 0) {
        int status;
        kill(h->pid, SIGTERM);
        while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    h->pid = 0;
}

/* False: there is no git here. */
static bool helper_start(struct helper *h, const char *verb)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC))
        return false;
    if (pipe2(out, O_CLOEXEC)) {
        mrp_close_fd(&in[0]);
        mrp_close_fd(&in[1]);
        return false;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    char git[] = "git", config[] = "-c", ask[] = "core.askPass=", cmd[] = "credential";
    char word[16];
    mrp_copy(word, sizeof word, verb);
    char *argv[] = {git, config, ask, cmd, word, NULL};
    /* Nobody is there to answer a prompt. */
    char *env[512];
    size_t n = 0;
    char quiet[] = "GIT_TERMINAL_PROMPT=0", no_gui[] = "GIT_ASKPASS=true";
    for (char **e = environ; *e && n + 3 < MRP_COUNT(env); e++)
        if (!mrp_starts(*e, "GIT_TERMINAL_PROMPT=") && !mrp_starts(*e, "GIT_ASKPASS=") &&
            !mrp_starts(*e, "SSH_ASKPASS="))
            env[n++] = *e;
    env[n++] = quiet;
    env[n++] = no_gui;
    env[n] = NULL;
    int rc = posix_spawnp(&h->pid, "git", &actions, NULL, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    mrp_close_fd(&in[0]);
    mrp_close_fd(&out[1]);
    h->in = in[1];
    h->out = out[0];
    if (rc)
        h->pid = 0;
    return rc == 0;
}

static int
helper_read(struct mrp_buf *answer, struct helper *h, struct mrp_http *http, struct mrp_error *err)
{
    for (;;) {
        int ready = mrp_http_wait_fd(http, h->out, false, HELPER_MS, err);
        if (ready < 0)
            return ready;
        char piece[1024];
        ssize_t n = ready ? read(h->out, piece, sizeof piece) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return MRP_OK;
        mrp_buf_add(answer, piece, (size_t)n);
        explicit_bzero(piece, sizeof piece);
    }
}

static void done_url(struct mrp_url *url)
{
    mrp_url_done(url);
}

/* One conversation with git credential; `answer` may be NULL. */
static int
talk(struct mrp_buf *answer, struct mrp_end *end, const char *verb, struct mrp_error *err)
{
    mrp_auto(done_url) struct mrp_url url = {0};
    int rc = mrp_url_parse(&url, end->url, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_str) char *host = mrp_url_authority(&url);
    const struct mrp_login *l = &end->login;
    mrp_auto(wipe_str) char *ask = mrp_strf(
        "protocol=%s\nhost=%s\npath=%s\n%s%s%s%s%s%s\n", url.scheme, host ? host : url.host,
        url.path + (url.path[0] == '/'), l->user ? "username=" : "", l->user ? l->user : "",
        l->user ? "\n" : "", l->password ? "password=" : "", l->password ? l->password : "",
        l->password ? "\n" : "");
    if (!ask)
        return mrp_fail(err, MRP_E_NOMEM, "ask git credential");
    mrp_auto(helper_end) struct helper h = {.in = -1, .out = -1};
    if (!helper_start(&h, verb))
        return mrp_fail(err, MRP_E_AUTH, "git credential %s cannot be run", verb);
    if (mrp_write_all(h.in, ask, strlen(ask)))
        return mrp_fail(err, MRP_E_AUTH, "git credential %s takes no input", verb);
    mrp_close_fd(&h.in);
    struct mrp_buf none = MRP_BUF_INIT(ANSWER_MAX);
    rc = helper_read(answer ? answer : &none, &h, end->session->http, err);
    mrp_buf_done(&none);
    return rc;
}

static int take(char **out, const char *text, const char *key, struct mrp_error *err)
{
    size_t n = strlen(key);
    for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
        if (strncmp(p, key, n) != 0)
            continue;
        wipe_str(out);
        *out = mrp_strndup(p + n, strcspn(p + n, "\n"));
        return *out ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "keep a credential");
    }
    return MRP_OK;
}

int mrp_login_ask(struct mrp_end *end, struct mrp_error *err)
{
    struct mrp_login *l = &end->login;
    struct mrp_buf answer = MRP_BUF_INIT(ANSWER_MAX);
    int rc = talk(&answer, end, "fill", err);
    if (!rc)
        rc = take(&l->user, mrp_buf_str(&answer), "username=", err);
    if (!rc)
        rc = take(&l->password, mrp_buf_str(&answer), "password=", err);
    if (answer.data)
        explicit_bzero(answer.data, answer.len);
    mrp_buf_done(&answer);
    if (rc)
        return rc;
    if (!l->user || !l->password || !l->password[0])
        return mrp_fail(err, MRP_E_AUTH, "no git credential helper knows %s", end->text);
    mrp_secret(end->session->stage, l->password);
    l->kind = MRP_LOGIN_BASIC;
    l->from_helper = true;
    return MRP_OK;
}

void mrp_login_tell(struct mrp_end *end, bool good)
{
    struct mrp_error ignored = {0};
    if (!end->login.from_helper)
        return;
    if (talk(NULL, end, good ? "approve" : "reject", &ignored))
        mrp_log(end->session->stage, MRP_DEBUG, "%s: %s", end->text, ignored.msg);
    end->login.from_helper = false;
}
