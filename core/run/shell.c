/* The phase shell: writes the script of a command, becomes it, keeps the state it leaves. */
#include "shell.h"

#include "buildenv.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATE_MAX = 16 << 20, PATH_LINE_MAX = 8192 };

int mrp_shell_init(struct mrp_shell *shell,
                   const struct mrp_spec *spec,
                   const char *temp,
                   const char *workdir,
                   struct mrp_error *err)
{
    const char *program = spec->shell ? spec->shell : "/bin/sh";
    *shell = (struct mrp_shell){.temp = temp, .program = program, .workdir = workdir};
    shell->carry = !mrp_streq(spec->version, "0.1");
    shell->dir = mrp_strdup(workdir);
    shell->script = mrp_strf("%s/script.sh", temp);
    shell->env_file = mrp_strf("%s/env.sh", temp);
    shell->env_new = mrp_strf("%s/env.new", temp);
    shell->dir_new = mrp_strf("%s/dir.new", temp);
    if (!shell->dir || !shell->script || !shell->env_file || !shell->env_new || !shell->dir_new)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    return mrp_file_write(shell->env_file, "", 0, 0600, false, err);
}

void mrp_shell_done(struct mrp_shell *shell)
{
    free(shell->dir);
    free(shell->script);
    free(shell->env_file);
    free(shell->env_new);
    free(shell->dir_new);
}

/* The command's user must read the script and write the state; root keeps access anyway. */
static int hand_over(const struct mrp_shell *shell, const char *run_as, struct mrp_error *err)
{
    const struct passwd *user = run_as ? getpwnam(run_as) : NULL;
    if (run_as && !user) {
        mrp_fail(err, MRP_E_CONFIG, "run-as: there is no user `%s`", run_as);
        return mrp_hint(err, "create it, or leave out run-as");
    }
    if (user && user->pw_uid != geteuid() && geteuid() != 0) {
        mrp_fail(err, MRP_E_CONFIG, "run-as: %s needs root", run_as);
        return mrp_hint(err, "start mrpipe as root or as %s", run_as);
    }
    if (geteuid() != 0)
        return 0;
    uid_t uid = user ? user->pw_uid : 0;
    gid_t gid = user ? user->pw_gid : 0;
    struct stat st;
    if (stat(shell->temp, &st) == 0 && st.st_uid == uid && !user)
        return 0;
    if (chown(shell->temp, uid, gid) || chown(shell->script, uid, gid) ||
        chown(shell->env_file, uid, gid))
        return mrp_fail_errno(err, "give the shell's state to %s", user ? run_as : "root");
    return 0;
}

int mrp_shell_prepare(const struct mrp_shell *shell,
                      const char *command,
                      bool succeeding,
                      const char *run_as,
                      struct mrp_error *err)
{
    /* Three lines before the user's text, as in CodeBuild, so that line numbers are the same. Its
     * own lines behind are skipped by `exit` and `set -e`, and with them the state. */
    struct mrp_buf text = MRP_BUF_INIT(STATE_MAX);
    if (shell->carry)
        mrp_buf_addf(&text, ". '%s'\nexport CODEBUILD_BUILD_SUCCEEDING=%d\nset -a\n",
                     shell->env_file, succeeding);
    else
        mrp_buf_addf(&text, ":\nexport CODEBUILD_BUILD_SUCCEEDING=%d\n:\n", succeeding);
    mrp_buf_adds(&text, command);
    if (shell->carry)
        mrp_buf_addf(&text,
                     "\nCODEBUILD_LAST_EXIT=$?\nexport -p > '%s'\npwd > '%s'\nexit "
                     "$CODEBUILD_LAST_EXIT\n",
                     shell->env_new, shell->dir_new);
    else
        mrp_buf_addc(&text, '\n');
    int rc = mrp_buf_check(&text, "the script of a command", err);
    mrp_auto(mrp_close_fd) int fd =
        rc ? -1 : open(shell->script, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (!rc && (fd < 0 || mrp_write_all(fd, text.data, text.len)))
        rc = mrp_fail_errno(err, "write %s", shell->script);
    mrp_buf_done(&text);
    unlink(shell->env_new);
    unlink(shell->dir_new);
    return rc ? rc : hand_over(shell, run_as, err);
}

static void die(const char *what)
{
    dprintf(2, "mrpipe: %s: %s\n", what, strerror(errno));
    _exit(127);
}

void mrp_shell_exec(void *arg)
{
    const struct mrp_shell_call *call = arg;
    const struct mrp_shell *shell = call->shell;
    const struct passwd *user = call->run_as ? getpwnam(call->run_as) : NULL;
    if (user && user->pw_uid != geteuid() &&
        (initgroups(user->pw_name, user->pw_gid) || setgid(user->pw_gid) || setuid(user->pw_uid)))
        die("run-as");
    if (chdir(shell->dir) && chdir(shell->workdir))
        die(shell->workdir);
    environ = (char **)(uintptr_t)call->env;
    char *const argv[] = {(char *)(uintptr_t)mrp_basename(shell->program), shell->script, NULL};
    execvp(shell->program, argv);
    die(shell->program);
}

int mrp_shell_keep(struct mrp_shell *shell, struct mrp_error *err)
{
    if (!shell->carry)
        return 0;
    mrp_auto(mrp_free_str) char *dir = NULL;
    size_t len = 0;
    struct stat st;
    if (lstat(shell->env_new, &st) || !S_ISREG(st.st_mode) || lstat(shell->dir_new, &st) ||
        !S_ISREG(st.st_mode))
        return 0; /* the command left by `exit`: its state is lost, as in CodeBuild */
    int rc = mrp_file_read(&dir, &len, shell->dir_new, PATH_LINE_MAX, err);
    if (rc)
        return rc;
    if (len && dir[len - 1] == '\n')
        dir[len - 1] = '\0';
    if (rename(shell->env_new, shell->env_file))
        return mrp_fail_errno(err, "keep the shell's variables");
    if (*dir) {
        free(shell->dir);
        shell->dir = mrp_take_str(&dir);
    }
    return 0;
}

int mrp_shell_env(char ***env, const struct mrp_shell *shell, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *text = NULL;
    size_t len;
    int rc = mrp_file_read(&text, &len, shell->env_file, STATE_MAX, err);
    return rc ? rc : mrp_shell_exports(env, text, len, err);
}
