/* Words to the user: errors, problems of a spec, results. */
#include "../ui/columns.h"
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <sys/ioctl.h>
#include <unistd.h>

bool mrp_cli_color(const struct mrp_cli_args *args, FILE *f)
{
    return args->color == 1 || (args->color == 0 && mrp_ui_color(f));
}

int mrp_cli_exit(int code)
{
    switch (code) {
    case MRP_OK:
        return MRP_EXIT_OK;
    case MRP_E_CONFIG:
        return MRP_EXIT_SPEC;
    case MRP_E_AUTH:
        return MRP_EXIT_AUTH;
    case MRP_E_REMOTE:
    case MRP_E_NET:
        return MRP_EXIT_NET;
    case MRP_E_TIMEOUT:
        return MRP_EXIT_TIMEOUT;
    case MRP_E_ARTIFACT:
        return MRP_EXIT_ARTIFACT;
    default:
        return MRP_EXIT_FAILED;
    }
}

int mrp_cli_fail(const struct mrp_cli_args *args, const struct mrp_error *err)
{
    bool color = mrp_cli_color(args, stderr);
    struct mrp_buf out = MRP_BUF_INIT(16 * 1024);
    mrp_ui_locale();
    mrp_buf_addf(&out, "mrpipe: %serror:%s ", mrp_ui_sgr(color, MRP_UI_RED),
                 mrp_ui_sgr(color, MRP_UI_RESET));
    mrp_ui_clean(&out, err->msg);
    if (err->hint[0]) {
        mrp_buf_adds(&out, "\n        hint: ");
        mrp_ui_clean(&out, err->hint);
    }
    fprintf(stderr, "%s\n", mrp_buf_str(&out));
    mrp_buf_done(&out);
    return mrp_cli_exit(err->code);
}

void mrp_cli_diags(const struct mrp_cli_args *args, const struct mrp_diags *diags)
{
    if (diags->count == 0)
        return;
    mrp_auto(mrp_free_str) char *text = mrp_diags_text(diags, mrp_cli_color(args, stderr));
    if (text)
        fputs(text, stderr);
    fflush(stderr);
}

int mrp_cli_put(struct mrp_buf *out)
{
    int rc = out->failed ? MRP_EXIT_FAILED : MRP_EXIT_OK;
    if (out->len > 0 && fwrite(mrp_buf_str(out), 1, out->len, stdout) != out->len)
        rc = MRP_EXIT_FAILED;
    mrp_buf_done(out);
    return rc;
}

size_t mrp_cli_width(void)
{
    struct winsize w = {0};
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 40)
        return w.ws_col < 110 ? w.ws_col : 110;
    return 100;
}
