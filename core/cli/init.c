/* mrpipe init: the derived stages become a section of the file. */
#include "cli.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SPEC_MAX (1u << 20)

static int derive(char **section, const struct mrp_cli_args *args, struct mrp_error *err)
{
    struct mrp_diags diags = {0};
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    if (!args->to) {
        mrp_fail(err, MRP_E_CONFIG, "init needs the other region: --to REGION");
        return mrp_hint(err, "for example: mrpipe init --to us-east-1 %s", mrp_cli_spec_path(args));
    }
    int rc = mrp_cli_check_regions(args, err);
    if (!rc)
        rc = mrp_spec_load(&spec, &diags, mrp_cli_spec_path(args), NULL, err);
    if (!rc && spec->pipeline.present) {
        rc = mrp_fail(err, MRP_E_CONFIG, "%s has a mrpipe: section already",
                      mrp_cli_spec_path(args));
        mrp_hint(err, "edit the section, or take it out first");
    }
    struct mrp_derive how = {.to = args->to,
                             .maps = args->maps,
                             .primary = args->region ? args->region : mrp_cli_env_region()};
    if (!rc)
        rc = mrp_spec_derive(spec, &how, &diags, err);
    mrp_cli_diags(args, &diags);
    mrp_diags_done(&diags);
    if (rc)
        return rc;
    *section = mrp_spec_pipeline_yaml(spec);
    return *section ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "no memory");
}

/* The file's own line ends, also where it ends without one. */
static int
append(struct mrp_buf *out, const char *old, size_t len, const char *section, struct mrp_error *err)
{
    const char *first = memchr(old, '\n', len);
    bool crlf = first && first > old && first[-1] == '\r';
    const char *nl = crlf ? "\r\n" : "\n";
    mrp_buf_add(out, old, len);
    if (len > 0 && old[len - 1] != '\n')
        mrp_buf_adds(out, nl);
    mrp_buf_adds(out, nl);
    for (const char *p = section; *p; p++) {
        if (*p == '\n')
            mrp_buf_adds(out, nl);
        else
            mrp_buf_addc(out, *p);
    }
    return mrp_buf_check(out, "the new file", err);
}

/* Is the new text a good spec? A file that ends with `...` or is one flow map cannot be appended
 * to. */
static int prove(const char *path, const struct mrp_buf *text, struct mrp_error *err)
{
    struct mrp_diags diags = {0};
    mrp_auto(mrp_spec_free) struct mrp_spec *spec = NULL;
    int rc = mrp_spec_parse(&spec, &diags, path, mrp_buf_str(text), text->len, err);
    if (!rc && !spec->pipeline.present)
        rc = MRP_E_CONFIG;
    mrp_diags_done(&diags);
    if (!rc)
        return MRP_OK;
    mrp_fail(err, MRP_E_CONFIG, "a section cannot be appended to %s", path);
    return mrp_hint(err, "write it to a file of its own (init --dry-run > mrpipe.yml) and use "
                         "--with mrpipe.yml");
}

static int write_back(const char *path, const char *section, struct mrp_error *err)
{
    struct mrp_buf text = MRP_BUF_INIT(2 * SPEC_MAX);
    struct stat st;
    size_t len = 0;
    /* A symbolic link stays one: the file that it names is replaced. */
    mrp_auto(mrp_free_str) char *real = realpath(path, NULL);
    mrp_auto(mrp_free_str) char *old = NULL;
    if (!real || stat(real, &st) != 0)
        return mrp_fail_errno(err, "find %s", path);
    int rc = mrp_file_read(&old, &len, real, SPEC_MAX, err);
    if (!rc)
        rc = append(&text, old, len, section, err);
    if (!rc)
        rc = prove(path, &text, err);
    if (!rc)
        rc = mrp_file_write(real, mrp_buf_str(&text), text.len, st.st_mode & 0777u, true, err);
    mrp_buf_done(&text);
    return rc;
}

int mrp_cli_init(const struct mrp_cli_args *args)
{
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *section = NULL;
    int rc = derive(&section, args, &err);
    if (!rc && args->dry_run) {
        fputs(section, stdout);
        return MRP_EXIT_OK;
    }
    if (!rc)
        rc = write_back(mrp_cli_spec_path(args), section, &err);
    if (rc)
        return mrp_cli_fail(args, &err);
    printf("%s: the stages are written; `mrpipe plan %s` shows what they would do\n",
           mrp_cli_spec_path(args), mrp_cli_spec_path(args));
    return MRP_EXIT_OK;
}
