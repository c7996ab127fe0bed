/** One shell process per command, its state carried in files (reference: CodeBuild's own way). */
#ifndef MRP_RUN_SHELL_H
#define MRP_RUN_SHELL_H

#include "session.h"

/** The line of the script at which the user's text begins. */
enum { MRP_SCRIPT_FIRST_LINE = 4 };

struct mrp_shell {
    const char *temp;    /* the private folder */
    const char *program; /* "/bin/sh", "bash" */
    const char *workdir;
    bool carry; /* version 0.2: variables and directory live on */
    char *dir;  /* where the next command starts */
    char *script, *env_file, *env_new, *dir_new;
};

int mrp_shell_init(struct mrp_shell *shell,
                   const struct mrp_spec *spec,
                   const char *temp,
                   const char *workdir,
                   struct mrp_error *err);
void mrp_shell_done(struct mrp_shell *shell);

struct mrp_shell_call {
    const struct mrp_shell *shell;
    char *const *env;
    const char *run_as; /* NULL */
};
/** Write the script of one command. */
int mrp_shell_prepare(const struct mrp_shell *shell,
                      const char *command,
                      bool succeeding,
                      const char *run_as,
                      struct mrp_error *err);
/** In the child: become the command. `arg` is a struct mrp_shell_call. Does not return. */
void mrp_shell_exec(void *arg);
/** After the command: keep its state if the epilogue of the script was reached. */
int mrp_shell_keep(struct mrp_shell *shell, struct mrp_error *err);
/** The variables as the commands left them, put into `env`. */
int mrp_shell_env(char ***env, const struct mrp_shell *shell, struct mrp_error *err);

#endif
