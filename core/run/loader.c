/* Plugin files: the search path, who may write them, pins, the descriptor's checks. */
#include "loader.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sha256.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ACTIONS_MAX = 256 };

char *mrp_plugins_home(void)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n > 0) {
        exe[n] = '\0';
        char *slash = strrchr(exe, '/');
        *slash = '\0';
        mrp_auto(mrp_free_str) char *beside = mrp_path_join(exe, MRP_PLUGIN_FROM_BIN);
        if (beside && mrp_exists(beside))
            return mrp_take_str(&beside);
    }
    return mrp_strdup(MRP_PLUGIN_INSTALL_DIR);
}

int mrp_plugin_dirs(char ***out, char *const *dirs, struct mrp_error *err)
{
    mrp_auto(mrp_free_strv) char **all = NULL;
    bool bad = false;
    for (char *const *d = dirs; d && *d; d++)
        bad = mrp_strv_add(&all, *d) || bad;
    /* NULL when privileges were raised: then the caller's environment is not trusted. */
    const char *path = secure_getenv("MRPIPE_PLUGIN_PATH");
    mrp_auto(mrp_free_strv) char **more = path ? mrp_split(path, ':') : NULL;
    for (char **d = more; d && *d; d++)
        bad = mrp_strv_add(&all, *d) || bad;
    mrp_auto(mrp_free_str) char *home = mrp_plugins_home();
    bad = !home || mrp_strv_add(&all, home) || bad;
    if (bad)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    *out = mrp_take_strv(&all);
    return 0;
}

static int trusted(const struct stat *st, const char *path, struct mrp_error *err)
{
    if (st->st_mode & (S_IWGRP | S_IWOTH)) {
        mrp_fail(err, MRP_E_CONFIG, "%s may be written by others (mode %03o)", path,
                 (unsigned)st->st_mode & 0777u);
        return mrp_hint(err, "chmod go-w %s", path);
    }
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return mrp_fail(err, MRP_E_CONFIG, "%s belongs to another user (%u)", path,
                        (unsigned)st->st_uid);
    return 0;
}

static int hash_fd(char out[65], int fd, const char *path, struct mrp_error *err)
{
    SHA2_CTX ctx;
    unsigned char sum[32], buf[65536];
    ssize_t n;
    SHA256Init(&ctx);
    while ((n = read(fd, buf, sizeof buf)) > 0)
        SHA256Update(&ctx, buf, (size_t)n);
    if (n < 0)
        return mrp_fail_errno(err, "read %s", path);
    SHA256Final(sum, &ctx);
    mrp_auto(mrp_free_str) char *hex = mrp_hex(sum, sizeof sum);
    if (!hex)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    mrp_copy(out, 65, hex);
    return 0;
}

/* Open it once, so that what is checked is what is mapped. */
static int open_checked(int *out, const char *path, const char *sha256, struct mrp_error *err)
{
    mrp_auto(mrp_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return mrp_fail_errno(err, "open %s", path);
    if (!S_ISREG(st.st_mode))
        return mrp_fail(err, MRP_E_CONFIG, "%s is not a regular file", path);
    int rc = trusted(&st, path, err);
    if (rc || !sha256) {
        *out = rc ? -1 : mrp_take_fd(&fd);
        return rc;
    }
    char hex[65];
    if ((rc = hash_fd(hex, fd, path, err)))
        return rc;
    if (strcasecmp(hex, sha256) != 0) {
        mrp_fail(err, MRP_E_CONFIG, "%s has sha256 %.16s..., the spec pins %.16s...", path, hex,
                 sha256);
        return mrp_hint(err, "if the new file is right, pin sha256: %s", hex);
    }
    *out = mrp_take_fd(&fd);
    return 0;
}

static bool good_name(const char *name)
{
    if (!name || !islower((unsigned char)name[0]) || strlen(name) > 64)
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(name);
}

int mrp_plugin_candidates(char ***paths,
                          char ***causes,
                          const char *name,
                          char *const *dirs,
                          const struct mrp_plugin_pin *pin,
                          struct mrp_error *err)
{
    mrp_auto(mrp_free_strv) char **found = NULL;
    mrp_auto(mrp_free_strv) char **refused = NULL;
    bool bad = false;
    for (char *const *d = dirs; good_name(name) && d && *d; d++) {
        mrp_auto(mrp_free_str) char *dir = realpath(*d, NULL);
        mrp_auto(mrp_free_str) char *path = dir ? mrp_strf("%s/%s.so", dir, name) : NULL;
        mrp_auto(mrp_close_fd) int fd = -1;
        struct stat st;
        struct mrp_error why = {0};
        if (!path || stat(path, &st))
            continue;
        int rc = stat(dir, &st) ? mrp_fail_errno(&why, "stat %s", dir) : trusted(&st, dir, &why);
        if (!rc)
            rc = open_checked(&fd, path, pin ? pin->sha256 : NULL, &why);
        mrp_auto(mrp_free_str) char *text =
            rc ? mrp_strf("%s%s%s", why.msg, why.hint[0] ? "; " : "", why.hint) : NULL;
        bad = (rc ? mrp_strv_add(&refused, text ? text : why.msg) : mrp_strv_add(&found, path)) ||
              bad;
    }
    if (bad)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    *paths = mrp_take_strv(&found);
    *causes = mrp_take_strv(&refused);
    return 0;
}

static int check_descriptor(const struct mrp_plugin *p, const char *path, struct mrp_error *err)
{
    if (p->magic != MRP_PLUGIN_MAGIC)
        return mrp_fail(err, MRP_E_CONFIG, "%s is not an mrpipe plugin (magic %08x)", path,
                        p->magic);
    if (p->abi_major != MRP_ABI_MAJOR) {
        mrp_fail(err, MRP_E_CONFIG, "%s was built for plugin ABI %u.%u, this runner has %u.%u",
                 path, p->abi_major, p->abi_minor, MRP_ABI_MAJOR, MRP_ABI_MINOR);
        return mrp_hint(err, "build the plugin again with this version's headers");
    }
    if (p->struct_size < sizeof(struct mrp_plugin) || p->action_size < sizeof(struct mrp_action))
        return mrp_fail(err, MRP_E_CONFIG, "%s has a descriptor that is too small (%u, %u bytes)",
                        path, p->struct_size, p->action_size);
    mrp_auto(mrp_free_str) char *want = p->name ? mrp_strf("%s.so", p->name) : NULL;
    if (!good_name(p->name) || !mrp_streq(mrp_basename(path), want))
        return mrp_fail(err, MRP_E_CONFIG, "%s calls itself `%.64s`", path, p->name ? p->name : "");
    if (!p->version || !p->summary || !p->actions || p->action_count > ACTIONS_MAX)
        return mrp_fail(err, MRP_E_CONFIG, "%s has an incomplete descriptor", path);
    for (size_t i = 0; i < p->action_count; i++) {
        const struct mrp_action *a =
            (const struct mrp_action *)((const char *)p->actions + i * p->action_size);
        if (!a->name || !a->summary || !a->run || !a->options)
            return mrp_fail(err, MRP_E_CONFIG, "%s: action %zu is incomplete", path, i + 1);
    }
    return 0;
}

int mrp_plugin_open(const struct mrp_plugin **out,
                    void **handle,
                    const char *path,
                    const char *sha256,
                    struct mrp_error *err)
{
    mrp_auto(mrp_close_fd) int fd = -1;
    mrp_auto(mrp_free_str) char *by_fd = NULL;
    int rc = open_checked(&fd, path, sha256, err);
    if (rc)
        return rc;
    if (sha256 && !(by_fd = mrp_strf("/proc/self/fd/%d", fd)))
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    /* What was mapped stays: a thread of the plugin may run in it. */
    void *lib = dlopen(by_fd ? by_fd : path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!lib) {
        const char *why = dlerror();
        mrp_fail(err, MRP_E_CONFIG, "%s cannot be loaded: %s", path, why ? why : "unknown cause");
        return mrp_hint(err, "`ldd %s` shows what it needs", path);
    }
    const struct mrp_plugin *plugin = dlsym(lib, "mrp_plugin_v1");
    if (!plugin)
        rc = mrp_fail(err, MRP_E_CONFIG, "%s is not an mrpipe plugin: it exports no mrp_plugin_v1",
                      path);
    else
        rc = check_descriptor(plugin, path, err);
    if (rc) {
        dlclose(lib);
        return rc;
    }
    *out = plugin;
    *handle = lib;
    return 0;
}

char *mrp_plugin_identity(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return NULL;
    return mrp_strf("%llu %llu %lld %lld.%09ld %lld.%09ld", (unsigned long long)st.st_dev,
                    (unsigned long long)st.st_ino, (long long)st.st_size,
                    (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec,
                    st.st_ctim.tv_nsec);
}

const struct mrp_action *mrp_plugin_action(const struct mrp_plugin *plugin, const char *name)
{
    /* Steps by the plugin's own size of an action: a newer one may have more fields. */
    for (size_t i = 0; i < plugin->action_count; i++) {
        const struct mrp_action *a =
            (const struct mrp_action *)((const char *)plugin->actions + i * plugin->action_size);
        if (mrp_streq(a->name, name))
            return a;
    }
    return NULL;
}

const struct mrp_plugin_pin *mrp_plugin_pin_of(const struct mrp_spec *spec, const char *name)
{
    for (size_t i = 0; spec->pipeline.present && i < spec->pipeline.pin_count; i++)
        if (mrp_streq(spec->pipeline.pins[i].name, name))
            return &spec->pipeline.pins[i];
    return NULL;
}

/* ---- all of them, for `plugins` and `help` ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int list_dir(char ***out, const char *dir)
{
    mrp_auto(mrp_close_dir) DIR *d = opendir(dir);
    const struct dirent *entry;
    while (d && (entry = readdir(d)))
        if (entry->d_name[0] != '.' && mrp_ends(entry->d_name, ".so") &&
            mrp_strv_add(out, entry->d_name))
            return -1;
    if (*out)
        qsort(*out, mrp_strv_len(*out), sizeof(char *), compare_names);
    return 0;
}

enum { TRIAL_SECONDS = 10, TRIAL_MAPPED = 42, TRIAL_REFUSED };

/* Mapping runs the file's own code. A child tries it first: what ends it must not end the caller.
 */
static int try_in_child(const char *path, struct mrp_error *err)
{
    int status = 0;
    pid_t pid = fork();
    if (pid < 0)
        return mrp_fail_errno(err, "start a trial of %s", path);
    if (pid == 0) {
        const struct mrp_plugin *plugin;
        void *handle;
        struct mrp_error ignored = {0};
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; null >= 0 && fd < 3; fd++)
            dup2(null, fd);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int sig = 1; sig < 32; sig++)
            signal(sig, SIG_DFL);
        alarm(TRIAL_SECONDS);
        int rc = mrp_plugin_open(&plugin, &handle, path, NULL, &ignored);
        _exit(rc ? TRIAL_REFUSED : TRIAL_MAPPED); /* the caller hears a refusal from its own try */
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code == TRIAL_MAPPED || code == TRIAL_REFUSED)
        return 0;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return mrp_fail(err, MRP_E_CONFIG, "loading %s did not end within %d s", path,
                        TRIAL_SECONDS);
    if (WIFSIGNALED(status))
        return mrp_fail(err, MRP_E_CONFIG, "loading %s crashes (SIG%s)", path,
                        sigabbrev_np(WTERMSIG(status)));
    return mrp_fail(err, MRP_E_CONFIG, "loading %s ends the process (exit %d)", path, code);
}

static void load_one(struct mrp_plugins *all, struct mrp_plugin_file *file, const char *dir)
{
    struct mrp_error why = {0};
    struct stat st;
    int rc = stat(dir, &st) ? mrp_fail_errno(&why, "stat %s", dir) : trusted(&st, dir, &why);
    if (!rc)
        rc = try_in_child(file->path, &why);
    if (!rc)
        rc = mrp_plugin_open(&file->plugin, &file->handle, file->path, NULL, &why);
    if (rc)
        file->cause = mrp_strdup(why.msg);
    for (size_t i = 0; file->plugin && i < all->count; i++)
        if (all->list[i].plugin && mrp_streq(all->list[i].plugin->name, file->plugin->name))
            file->shadowed = true;
}

int mrp_plugins_scan(struct mrp_plugins *out, char *const *dirs, struct mrp_error *err)
{
    *out = (struct mrp_plugins){0};
    mrp_auto(mrp_free_strv) char **all = NULL;
    int rc = mrp_plugin_dirs(&all, dirs, err);
    for (char **d = all; !rc && *d; d++) {
        mrp_auto(mrp_free_str) char *dir = realpath(*d, NULL);
        mrp_auto(mrp_free_strv) char **names = NULL;
        if (dir && list_dir(&names, dir))
            rc = mrp_fail(err, MRP_E_NOMEM, "out of memory");
        for (char **name = names; !rc && name && *name; name++) {
            struct mrp_plugin_file *list = realloc(out->list, (out->count + 1) * sizeof *list);
            if (!list)
                return mrp_fail(err, MRP_E_NOMEM, "out of memory");
            out->list = list;
            struct mrp_plugin_file *file = &list[out->count];
            *file = (struct mrp_plugin_file){.path = mrp_strf("%s/%s", dir, *name)};
            if (!file->path)
                return mrp_fail(err, MRP_E_NOMEM, "out of memory");
            load_one(out, file, dir);
            out->count++;
        }
    }
    return rc;
}

void mrp_plugins_done(struct mrp_plugins *plugins)
{
    for (size_t i = 0; i < plugins->count; i++) {
        free(plugins->list[i].path);
        free(plugins->list[i].cause);
        if (plugins->list[i].handle)
            dlclose(plugins->list[i].handle);
    }
    free(plugins->list);
    *plugins = (struct mrp_plugins){0};
}

const struct mrp_action *mrp_plugins_action(const struct mrp_plugins *plugins, const char *uses)
{
    const char *slash = uses ? strchr(uses, '/') : NULL;
    if (!slash)
        return NULL;
    for (size_t i = 0; i < plugins->count; i++) {
        const struct mrp_plugin *p = plugins->list[i].plugin;
        if (p && !plugins->list[i].shadowed && strlen(p->name) == (size_t)(slash - uses) &&
            strncmp(p->name, uses, (size_t)(slash - uses)) == 0)
            return mrp_plugin_action(p, slash + 1);
    }
    return NULL;
}
