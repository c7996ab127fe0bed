/* mrpipe: the entry point. */
#include "cli.h"

#include <fcntl.h>
#include <unistd.h>

static int dispatch(const struct mrp_cli_args *args, enum mrp_cli_id command)
{
    struct mrp_buf out = MRP_BUF_INIT(256 * 1024);
    if (args->version) {
        mrp_buf_adds(&out, "mrpipe " MRP_VERSION "\n");
        return mrp_cli_put(&out);
    }
    if (command == MRP_CLI_COMMANDS) {
        mrp_cli_overview(&out, mrp_cli_color(args, stdout));
        int rc = mrp_cli_put(&out);
        return rc || args->help ? rc : MRP_EXIT_USAGE;
    }
    if (args->help) {
        mrp_cli_describe_command(&out, command, mrp_cli_color(args, stdout));
        return mrp_cli_put(&out);
    }
    if (args->dir && chdir(args->dir) != 0) {
        struct mrp_error err = {0};
        mrp_fail_errno(&err, "enter %s", args->dir);
        (void)mrp_cli_fail(args, &err);
        return MRP_EXIT_USAGE;
    }
    return mrp_cli_commands[command].run(args);
}

/* A closed standard stream would give its number to the next file opened, and what is meant for the
 * user would be written into that. */
static void keep_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd)
            _exit(MRP_EXIT_FAILED);
    }
}

int main(int argc, char **argv)
{
    keep_streams();
    struct mrp_cli_args args = {0};
    struct mrp_error err = {0};
    enum mrp_cli_id command = MRP_CLI_COMMANDS;
    int rc = MRP_EXIT_USAGE;
    if (mrp_cli_parse(&args, &command, argc, argv, &err))
        (void)mrp_cli_fail(&args, &err);
    else
        rc = dispatch(&args, command);
    mrp_cli_args_done(&args);
    /* A full disk below standard output must not look like success. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (rc == MRP_EXIT_OK)
            rc = MRP_EXIT_FAILED;
    }
    return rc;
}
