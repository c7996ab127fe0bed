/* `sh -n` of the commands: syntax errors and bash-only text under sh, as warnings. */
#include "check.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MAX = 4096 };

/* Text that bash knows and a plain sh may not; the needle and what to call it. */
static const struct {
    const char *needle, *what;
} bashisms[] = {
    {"<<<", "here-strings (<<<)"},
    {"<(", "process substitution <( )"},
    {">(", "process substitution >( )"},
    {"[[", "[[ ]]"},
    {"((", "(( ))"},
    {"=(", "arrays"},
    {"pipefail", "pipefail"},
    {"function ", "`function`"},
    {"shopt", "shopt"},
    {"source ", "`source`"},
    {"&>", "&> redirection"},
    {"${!", "${!name}"},
};

static const char *bashism(const char *text)
{
    for (size_t i = 0; i < MRP_COUNT(bashisms); i++) {
        const char *at = strstr(text, bashisms[i].needle);
        /* $(( )) is plain arithmetic */
        if (at && !(mrp_streq(bashisms[i].needle, "((") && at > text && at[-1] == '$'))
            return bashisms[i].what;
    }
    return NULL;
}

/* The shell's complaint about a text, or NULL. Owned. */
static char *complaint(const char *shell, const char *text)
{
    mrp_auto(mrp_close_fd) int in = memfd_create("command", MFD_CLOEXEC);
    mrp_auto(mrp_close_fd) int out = memfd_create("answer", MFD_CLOEXEC);
    if (in < 0 || out < 0 || mrp_write_all(in, text, strlen(text)) || mrp_write_all(in, "\n", 1) ||
        lseek(in, 0, SEEK_SET))
        return NULL;
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, out, 2);
    char name[] = "sh", flag[] = "-n";
    char *const argv[] = {name, flag, NULL};
    pid_t pid;
    int status = 0, rc = posix_spawnp(&pid, shell, &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (rc)
        return NULL;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NULL;
    char answer[ANSWER_MAX] = "";
    ssize_t n = pread(out, answer, sizeof answer - 1, 0);
    answer[n > 0 ? n : 0] = '\0';
    struct mrp_view rest = mrp_view_str(answer), line = rest;
    mrp_view_next(&line, &rest, '\n');
    line = mrp_view_trim(line);
    return mrp_strndup(line.p, line.n);
}

/* The line that "sh: 3: ..." or "sh: line 3: ..." names, and the words behind it. */
static int line_of(const char **words, const char *answer)
{
    const char *p = strstr(answer, ": ");
    *words = answer;
    if (!p)
        return 1;
    p += 2;
    if (mrp_starts(p, "line "))
        p += 5;
    const char *end = strstr(p, ": ");
    uint64_t line;
    if (!end || mrp_parse_uint(&line, p, (size_t)(end - p), 100000))
        return 1;
    *words = end + 2;
    return line ? (int)line : 1;
}

static void
lint(const struct mrp_spec *spec, const struct mrp_command *c, bool all, struct mrp_diags *diags)
{
    bool bash = spec->shell && mrp_streq(mrp_basename(spec->shell), "bash");
    const char *suspect = bash ? NULL : bashism(c->text), *words;
    if (!all && !suspect)
        return;
    mrp_auto(mrp_free_str) char *answer = complaint(bash ? "bash" : "sh", c->text);
    if (!answer && !(suspect && mrp_streq(suspect, "pipefail")))
        return;
    struct mrp_mark mark = c->mark;
    int line = answer ? line_of(&words, answer) : 1;
    words = answer ? words : "`set -o pipefail` is unknown to a plain sh";
    const char *first = mrp_spec_line(spec, mark.line);
    if (first && (size_t)mark.col <= strlen(first) && first[mark.col - 1] == '|') {
        mark.line += line; /* the text of a block begins below its mark */
        const char *at = mrp_spec_line(spec, mark.line);
        mark.col = at ? (int)strspn(at, " ") + 1 : 1;
    }
    mrp_auto(mrp_free_str) char *hint =
        suspect ? mrp_strf("%s: only bash knows this; set `env: shell: bash`", suspect) : NULL;
    mrp_diag_add(diags, true, spec->path, mark, 1, mrp_spec_line(spec, mark.line), hint,
                 "%s will fail: %s", bash ? "bash" : "sh", words);
}

void mrp_lint_commands(const struct mrp_spec *spec, bool all, struct mrp_diags *diags)
{
    const char *shell = spec->shell ? mrp_basename(spec->shell) : "sh";
    if (!mrp_streq(shell, "sh") && !mrp_streq(shell, "bash"))
        return;
    for (int i = 0; spec->has_phases && i < MRP_PHASES; i++) {
        const struct mrp_phase_spec *p = &spec->phases[i];
        for (size_t k = 0; k < p->command_count; k++)
            lint(spec, &p->commands[k], all, diags);
        for (size_t k = 0; k < p->finally_count; k++)
            lint(spec, &p->finally[k], all, diags);
    }
}
