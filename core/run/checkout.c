/* The source version: HEAD, branch and origin of the git repository around the work directory, read
 * by a child with libgit2. */
#include "checkout.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 << 10, CHILD_MS = 10000 };

void mrp_checkout_done(struct mrp_checkout *source)
{
    mrp_free_str(&source->version);
    mrp_free_str(&source->branch);
    mrp_free_str(&source->url);
}

/* What is used of libgit2. The runner never maps it, so it is not linked: the child opens it. */
struct git {
    __typeof__(&git_libgit2_init) init;
    __typeof__(&git_libgit2_opts) opts;
    __typeof__(&git_repository_open_ext) open;
    __typeof__(&git_repository_head) head;
    __typeof__(&git_reference_target) target;
    __typeof__(&git_reference_is_branch) is_branch;
    __typeof__(&git_reference_shorthand) shorthand;
    __typeof__(&git_oid_tostr_s) oid;
    __typeof__(&git_remote_lookup) remote;
    __typeof__(&git_remote_url) url;
};

static bool git_open(struct git *git)
{
    const struct {
        const char *name;
        void *field;
    } names[] = {
        {"git_libgit2_init", &git->init},
        {"git_libgit2_opts", &git->opts},
        {"git_repository_open_ext", &git->open},
        {"git_repository_head", &git->head},
        {"git_reference_target", &git->target},
        {"git_reference_is_branch", &git->is_branch},
        {"git_reference_shorthand", &git->shorthand},
        {"git_oid_tostr_s", &git->oid},
        {"git_remote_lookup", &git->remote},
        {"git_remote_url", &git->url},
    };
    void *lib = dlopen(MRP_LIBGIT2, RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; lib && i < MRP_COUNT(names); i++) {
        void *found = dlsym(lib, names[i].name);
        if (!found)
            return false;
        /* POSIX wants this copy: a cast from data to function pointer is not C. */
        memcpy(names[i].field, &found, sizeof found);
    }
    return lib != NULL;
}

/* In the child: the answer as one JSON object. It ends at once after, so nothing is freed. */
static json_t *look(const char *workdir)
{
    struct git git;
    git_repository *repo = NULL;
    git_reference *head = NULL;
    git_remote *remote = NULL;
    json_t *out = json_object();
    if (!git_open(&git) || git.init() < 0)
        return out;
    /* CodeBuild's checkout belongs to another user, and nothing of the repository is executed here.
     */
    git.opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
    if (git.open(&repo, workdir, 0, NULL))
        return out;
    if (git.head(&head, repo) == 0 && git.target(head)) {
        mrp_json_puts(out, "version", git.oid(git.target(head)));
        if (git.is_branch(head))
            mrp_json_puts(out, "branch", git.shorthand(head));
    }
    if (git.remote(&remote, repo, "origin") == 0)
        mrp_json_puts(out, "url", git.url(remote));
    return out;
}

static void child(int fd, const char *workdir)
{
    mrp_auto(mrp_free_json) json_t *answer = look(workdir);
    mrp_auto(mrp_free_str) char *text = mrp_json_text(answer);
    size_t len = text ? strlen(text) : 0;
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, text + at, len - at);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    _exit(0);
}

/* All that the child says, until it ends or the time is over. */
static char *listen_to(int fd, int64_t end)
{
    struct mrp_buf buf = MRP_BUF_INIT(ANSWER_MAX);
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = end - mrp_now_ms();
        int ready = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        char *to = ready > 0 ? mrp_buf_reserve(&buf, 4096) : NULL;
        ssize_t n = to ? read(fd, to, 4096) : -1;
        if (n < 0)
            mrp_buf_done(&buf);
        if (n <= 0)
            return mrp_buf_take(&buf);
        buf.len += (size_t)n;
        to[n] = '\0';
    }
}

/* A URL without user and password. */
static char *clean(const char *url)
{
    const char *host = url ? strstr(url, "://") : NULL;
    if (!host)
        return mrp_strdup(url);
    host += 3;
    size_t authority = strcspn(host, "/");
    const char *at = memrchr(host, '@', authority);
    return at ? mrp_strf("%.*s%s", (int)(host - url), url, at + 1) : mrp_strdup(url);
}

static bool has(const char *dir, size_t n, const char *name)
{
    mrp_auto(mrp_free_str) char *path = mrp_strf("%.*s/%s", (int)n, dir, name);
    return path && mrp_exists(path);
}

/* Is there anything to ask libgit2 about? Mapping it takes longer than all else of a short run. */
static bool has_repository(const char *workdir)
{
    for (size_t n = strlen(workdir);; n--) {
        if (has(workdir, n, ".git") || (has(workdir, n, "HEAD") && has(workdir, n, "objects")))
            return true;
        while (n && workdir[n - 1] != '/')
            n--;
        if (!n)
            return false;
    }
}

void mrp_checkout_begin(struct mrp_checkout_search *out, const char *workdir)
{
    int ends[2];
    *out = (struct mrp_checkout_search)MRP_CHECKOUT_SEARCH_INIT;
    if (!has_repository(workdir) || pipe2(ends, O_CLOEXEC))
        return;
    pid_t pid = fork();
    if (pid == 0)
        child(ends[1], workdir);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return;
    }
    *out = (struct mrp_checkout_search){pid, ends[0], mrp_now_ms() + CHILD_MS};
}

static void end_child(struct mrp_checkout_search *search)
{
    mrp_close_fd(&search->fd);
    kill(search->pid, SIGKILL);
    while (waitpid(search->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    search->pid = -1;
}

void mrp_checkout_take(struct mrp_checkout *out, struct mrp_checkout_search *search)
{
    *out = (struct mrp_checkout){0};
    if (search->pid <= 0)
        return;
    mrp_auto(mrp_free_str) char *text = listen_to(search->fd, search->until_ms);
    end_child(search);
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    if (!text || mrp_json_parse(&answer, text, strlen(text), "source version", NULL))
        return;
    out->version = mrp_strdup(mrp_json_str(answer, "version"));
    out->branch = mrp_strdup(mrp_json_str(answer, "branch"));
    out->url = clean(mrp_json_str(answer, "url"));
}

void mrp_checkout_drop(struct mrp_checkout_search *search)
{
    if (search->pid > 0)
        end_child(search);
}
