/* Checks before anything starts: the child that loads the plugins, and its findings as diagnostics.
 */
#include "check.h"

#include "check_child.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHECK_MS = 15000 };
#define FINDINGS_MAX ((size_t)16 << 20)

void mrp_used_done(struct mrp_used *used)
{
    for (size_t i = 0; i < used->count; i++) {
        free(used->list[i].name);
        free(used->list[i].path);
        free(used->list[i].version);
        free(used->list[i].identity);
    }
    free(used->list);
    *used = (struct mrp_used){0};
}

const struct mrp_used_plugin *mrp_used_find(const struct mrp_used *used, const char *name)
{
    for (size_t i = 0; i < used->count; i++)
        if (mrp_streq(used->list[i].name, name))
            return &used->list[i];
    return NULL;
}

struct findings {
    const struct mrp_spec *spec;
    const struct mrp_plan *plan;
    struct mrp_diags *diags;
    struct mrp_used *used;
    char *doing; /* the plugin or stage the child was busy with */
    bool ended;
};

static void add_used(struct findings *f, const json_t *j)
{
    struct mrp_used *u = f->used;
    struct mrp_used_plugin *list = realloc(u->list, (u->count + 1) * sizeof *list);
    if (!list)
        return;
    u->list = list;
    list[u->count++] =
        (struct mrp_used_plugin){.name = mrp_strdup(mrp_json_str(j, "name")),
                                 .path = mrp_strdup(mrp_json_str(j, "path")),
                                 .version = mrp_strdup(mrp_json_str(j, "version")),
                                 .identity = mrp_strdup(mrp_json_str(j, "identity"))};
}

static struct mrp_mark env_mark(const struct mrp_pairs *env, const char *name)
{
    for (size_t i = 0; i < env->count; i++)
        if (mrp_streq(env->list[i].name, name))
            return env->list[i].mark;
    return (struct mrp_mark){0};
}

/* Where a problem stands in the file; *exact: at the very text that a column counts in. */
static struct mrp_mark place(bool *exact, const struct findings *f, const json_t *j)
{
    *exact = false;
    int64_t index = mrp_json_int(j, "node", -1);
    if (index < 0 || (size_t)index >= f->plan->count)
        return (struct mrp_mark){0};
    const struct mrp_stage_spec *s = f->plan->nodes[index].spec;
    const char *part = mrp_json_str(j, "part"), *at = mrp_json_str(j, "at");
    struct mrp_mark mark = {0};
    if (mrp_streq(part, "with") && at)
        mark = mrp_value_mark(&s->with, at);
    else if (mrp_streq(part, "if"))
        mark = s->condition_mark;
    else if (mrp_streq(part, "uses"))
        mark = s->uses_mark;
    *exact = mark.line != 0;
    if (mrp_streq(part, "env"))
        mark = env_mark(&s->env, at); /* of the name */
    if (!mark.line && mrp_streq(part, "with"))
        mark = s->with.mark;
    return mark.line ? mark : s->mark;
}

static void add_problem(struct findings *f, const json_t *j)
{
    bool exact;
    struct mrp_mark mark = place(&exact, f, j);
    const char *message = mrp_json_str(j, "message");
    if (mrp_json_bool(j, "plugin-failure", false))
        f->used->failed = true;
    int col = (int)mrp_json_int(j, "column", 0);
    if (exact && col > 1 && col < 100000)
        mark.col += col - 1;
    /* Copies of a fanned-out stage stand at the same place: one diagnostic is enough. */
    for (size_t i = 0; i < f->diags->count; i++) {
        const struct mrp_diag *d = &f->diags->list[i];
        if (d->mark.line == mark.line && d->mark.col == mark.col && mrp_streq(d->message, message))
            return;
    }
    mrp_spec_stage_problem(f->diags, f->spec, mrp_json_bool(j, "warning", false), mark,
                           (int)mrp_json_int(j, "width", 1), mrp_json_str(j, "hint"), "%s",
                           message ? message : "unknown problem");
}

static void take_line(struct findings *f, const char *line, size_t len)
{
    mrp_auto(mrp_free_json) json_t *j = NULL;
    if (mrp_json_parse(&j, line, len, "a finding", NULL))
        return;
    const char *type = mrp_json_str(j, "type");
    if (mrp_streq(type, "doing")) {
        free(f->doing);
        f->doing = mrp_strdup(mrp_json_str(j, "what"));
    } else if (mrp_streq(type, "plugin")) {
        add_used(f, j);
    } else if (mrp_streq(type, "problem")) {
        add_problem(f, j);
    } else if (mrp_streq(type, "end")) {
        f->ended = true;
    }
}

/* True if the pipe came to its end in time. */
static bool read_findings(struct findings *f, int fd)
{
    struct mrp_buf text = MRP_BUF_INIT(FINDINGS_MAX);
    int64_t until = mrp_now_ms() + CHECK_MS;
    bool in_time = false;
    for (;;) {
        int64_t left = until - mrp_now_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        char *room = ready > 0 ? mrp_buf_reserve(&text, 65536) : NULL;
        ssize_t n = room ? read(fd, room, 65536) : -1;
        if (n <= 0) {
            in_time = n == 0;
            break;
        }
        text.len += (size_t)n;
    }
    struct mrp_view rest = {mrp_buf_str(&text), text.len}, line;
    while (mrp_view_next(&line, &rest, '\n'))
        if (line.n)
            take_line(f, line.p, line.n);
    mrp_buf_done(&text);
    return in_time;
}

static void check_main(const struct mrp_check_job *job, int findings, int server, pid_t runner)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != runner)
        _exit(1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* The ends may sit where they are to be put, or in each other's place. */
    findings = fcntl(findings, F_DUPFD_CLOEXEC, 10);
    server = server < 0 ? -1 : fcntl(server, F_DUPFD_CLOEXEC, 10);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    dup3(findings, MRP_CHECK_FD, O_CLOEXEC);
    if (server >= 0)
        dup3(server, MRP_FORKSERVER_FD, O_CLOEXEC);
    close_range(server >= 0 ? MRP_FORKSERVER_FD + 1 : MRP_CHECK_FD + 1, ~0u, 0);
    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    mrp_check_child(job, server >= 0 ? runner : -1);
    _exit(0);
}

/* The end of the child, unless it goes on as the fork server. */
static void end_child(pid_t pid, bool at_once)
{
    int status;
    if (at_once)
        kill(-pid, SIGKILL);
    kill(pid, at_once ? SIGKILL : 0);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
}

static int start_child(pid_t *pid,
                       int *findings,
                       struct mrp_forkserver *server,
                       const struct mrp_check_job *job,
                       struct mrp_error *err)
{
    int ends[2], asks[2] = {-1, -1};
    pid_t runner = getpid();
    if (pipe2(ends, O_CLOEXEC))
        return mrp_fail_errno(err, "make a pipe");
    if (server && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, asks))
        asks[0] = asks[1] = -1; /* without it a worker is forked here */
    *pid = fork();
    if (*pid == 0)
        check_main(job, ends[1], asks[1], runner);
    close(ends[1]);
    mrp_close_fd(&asks[1]);
    if (*pid < 0) {
        close(ends[0]);
        mrp_close_fd(&asks[0]);
        return mrp_fail_errno(err, "start the check");
    }
    *findings = ends[0];
    if (server)
        server->fd = asks[0];
    return 0;
}

int mrp_check(struct mrp_used *out,
              struct mrp_forkserver *server,
              const struct mrp_spec *spec,
              const struct mrp_plan *plan,
              const struct mrp_names *names,
              char *const *plugin_dirs,
              struct mrp_diags *diags,
              struct mrp_error *err)
{
    *out = (struct mrp_used){0};
    bool env = spec->parameter_store.count || spec->secrets_manager.count;
    if (!plan->count && !env)
        return 0;
    struct mrp_check_job job = {spec, plan, names, plugin_dirs, env};
    struct findings f = {.spec = spec, .plan = plan, .diags = diags, .used = out};
    size_t before = diags->errors;
    pid_t pid = -1;
    int findings = -1, rc = start_child(&pid, &findings, server, &job, err);
    if (rc)
        return rc;
    bool in_time = read_findings(&f, findings);
    close(findings);
    if (server && server->fd >= 0 && in_time && f.ended && diags->errors == before) {
        server->pid = pid;
    } else {
        if (server)
            mrp_close_fd(&server->fd);
        end_child(pid, !in_time || !f.ended);
    }
    if (!f.ended) {
        out->failed = true;
        const char *what = f.doing ? f.doing : "the plugins";
        mrp_diag_add(diags, false, spec->path, (struct mrp_mark){0}, 1, NULL,
                     "the plugin is at fault, not the spec",
                     in_time
                         ? "checking %s ended without a result: the plugin crashed or called exit()"
                         : "checking %s did not end within 15 s",
                     what);
    }
    free(f.doing);
    if (diags->errors == before)
        return 0;
    return mrp_fail(err, MRP_E_CONFIG, "%s has problems", spec->path);
}
