/* mrpipe new-plugin: a plugin that compiles, in a folder of its own. */
#include "cli.h"
#include "skeleton.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_MAX_LEN 32

/* Lower-case letters, digits and hyphens: it is a file name, a C name and part of `uses`. */
static int check_name(const char *name, struct mrp_error *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz", rest[] =
                                                                    "abcdefghijklmnopqrstuvwxyz"
                                                                    "0123456789-";
    size_t len = strlen(name);
    if (len > 0 && len <= NAME_MAX_LEN && strchr(letters, name[0]) && strspn(name, rest) == len &&
        name[len - 1] != '-')
        return MRP_OK;
    mrp_fail(err, MRP_E_CONFIG, "`%s` cannot be the name of a plugin", name);
    return mrp_hint(err, "use lower-case letters, digits and hyphens, at most %d, such as hello",
                    NAME_MAX_LEN);
}

/* The template with @NAME@ and @IDENT@ (hyphens as underscores) filled in. */
static char *fill(const char *template, const char *name)
{
    struct mrp_buf out = MRP_BUF_INIT(64 * 1024);
    for (const char *p = template; *p;) {
        if (mrp_starts(p, "@NAME@")) {
            mrp_buf_adds(&out, name);
            p += 6;
        } else if (mrp_starts(p, "@IDENT@")) {
            for (const char *q = name; *q; q++)
                mrp_buf_addc(&out, *q == '-' ? '_' : *q);
            p += 7;
        } else {
            mrp_buf_addc(&out, *p++);
        }
    }
    return mrp_buf_take(&out);
}

static int write_one(const char *folder,
                     const char *file,
                     const char *template,
                     const char *name,
                     struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = mrp_strf("%s/%s", folder, file);
    mrp_auto(mrp_free_str) char *full = path ? fill(path, name) : NULL;
    mrp_auto(mrp_free_str) char *text = fill(template, name);
    if (!full || !text)
        return mrp_fail(err, MRP_E_NOMEM, "no memory");
    return mrp_file_write(full, text, strlen(text), 0644, false, err);
}

int mrp_cli_new_plugin(const struct mrp_cli_args *args)
{
    struct mrp_error err = {0};
    const char *name = args->operands[0];
    if (check_name(name, &err)) {
        (void)mrp_cli_fail(args, &err);
        return MRP_EXIT_USAGE;
    }
    if (mkdir(name, 0755) != 0) {
        if (errno == EEXIST)
            mrp_fail(&err, MRP_E_IO, "%s exists already; nothing was written", name);
        else
            mrp_fail_errno(&err, "make the folder %s", name);
        return mrp_cli_fail(args, &err);
    }
    for (size_t i = 0; i < mrp_cli_skeleton_count; i++) {
        const struct mrp_cli_skeleton *s = &mrp_cli_skeletons[i];
        if (write_one(name, s->file, s->text, name, &err))
            return mrp_cli_fail(args, &err);
    }
    printf("%s/ is written. Next:\n"
           "  make -C %s\n"
           "  mrpipe do %s/greet name=you --plugin-dir %s\n",
           name, name, name, name);
    return MRP_EXIT_OK;
}
