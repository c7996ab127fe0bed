/* mrpipe doctor: is everything here that a run needs? */
#include "../ui/table.h"
#include "cli.h"
#include "probe.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DISK_LOW (1ull << 30)

extern char **environ;

struct visit {
    const struct mrp_cli_args *args;
    struct mrp_ui_table table;
    size_t problems, warnings;
};

enum finding { GOOD, WARNING, PROBLEM };

static void
tell(struct visit *v, enum finding f, const char *what, const char *text, const char *fix)
{
    static const char *const words[] = {"ok", "warning", "problem"};
    static const enum mrp_ui_style styles[] = {MRP_UI_GREEN, MRP_UI_YELLOW, MRP_UI_RED};
    mrp_auto(mrp_free_str) char *both = fix ? mrp_strf("%s; %s", text, fix) : mrp_strdup(text);
    v->warnings += f == WARNING;
    v->problems += f == PROBLEM;
    mrp_ui_table_add(&v->table, styles[f], words[f]);
    mrp_ui_table_add(&v->table, MRP_UI_BOLD, what);
    mrp_ui_table_add(&v->table, MRP_UI_NORMAL, both);
}

static void see_plugins(struct visit *v)
{
    struct mrp_error err = {0};
    struct mrp_plugins plugins = {0};
    if (mrp_plugins_scan(&plugins, v->args->plugin_dirs, &err)) {
        tell(v, PROBLEM, "plugins", err.msg, NULL);
        return;
    }
    struct mrp_buf names = MRP_BUF_INIT(16 * 1024);
    for (size_t i = 0; i < plugins.count; i++) {
        const struct mrp_plugin_file *f = &plugins.list[i];
        if (f->plugin && !f->shadowed)
            mrp_buf_addf(&names, "%s%s %s", names.len ? ", " : "", f->plugin->name,
                         f->plugin->version ? f->plugin->version : "");
        if (f->cause) {
            mrp_auto(mrp_free_str) char *text = mrp_strf("%s: %s", f->path, f->cause);
            tell(v, PROBLEM, "plugins", text ? text : f->cause, NULL);
        } else if (f->shadowed) {
            mrp_auto(mrp_free_str) char *text =
                mrp_strf("%s is not used: one of this name was found before", f->path);
            tell(v, WARNING, "plugins", text ? text : f->path, NULL);
        }
    }
    if (names.len > 0)
        tell(v, GOOD, "plugins", mrp_buf_str(&names), NULL);
    else
        tell(v, PROBLEM, "plugins", "none found",
             "name their folder with --plugin-dir or MRPIPE_PLUGIN_PATH");
    mrp_buf_done(&names);
    mrp_plugins_done(&plugins);
}

static bool has(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

static bool has_files(void)
{
    const char *home = getenv("HOME");
    mrp_auto(mrp_free_str) char *credentials =
        has("AWS_SHARED_CREDENTIALS_FILE") ? mrp_strdup(getenv("AWS_SHARED_CREDENTIALS_FILE"))
                                           : mrp_strf("%s/.aws/credentials", home ? home : "");
    mrp_auto(mrp_free_str) char *config = has("AWS_CONFIG_FILE")
                                              ? mrp_strdup(getenv("AWS_CONFIG_FILE"))
                                              : mrp_strf("%s/.aws/config", home ? home : "");
    return (credentials && mrp_exists(credentials)) || (config && mrp_exists(config));
}

static bool has_container(void)
{
    return has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
           has("AWS_CONTAINER_CREDENTIALS_FULL_URI");
}

/* Where the credentials would come from, in the order of the chain. Never what they are. */
static void see_credentials(struct visit *v)
{
    mrp_auto(mrp_free_str) char *files = mrp_strf(
        "shared files, profile %s", has("AWS_PROFILE") ? getenv("AWS_PROFILE") : "default");
    if (has("AWS_ACCESS_KEY_ID") && has("AWS_SECRET_ACCESS_KEY"))
        tell(v, GOOD, "credentials",
             has("AWS_SESSION_TOKEN") ? "environment, temporary" : "environment", NULL);
    else if (has("AWS_ACCESS_KEY_ID"))
        tell(v, PROBLEM, "credentials", "AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY",
             "set both or none");
    else if (has("AWS_WEB_IDENTITY_TOKEN_FILE") && has("AWS_ROLE_ARN"))
        tell(v, mrp_exists(getenv("AWS_WEB_IDENTITY_TOKEN_FILE")) ? GOOD : PROBLEM, "credentials",
             "web identity token file", NULL);
    else if (has_files())
        tell(v, GOOD, "credentials", files ? files : "shared files", NULL);
    else if (has_container())
        tell(v, GOOD, "credentials", "container endpoint", NULL);
    else
        tell(v, WARNING, "credentials", "none set here; only an instance role is left to ask",
             "sign in, or set AWS_PROFILE");
}

static void see_region(struct visit *v)
{
    const char *region = mrp_cli_env_region();
    if (region)
        tell(v, GOOD, "region", region, NULL);
    else
        tell(v, WARNING, "region", "AWS_REGION is not set",
             "a spec without regions.primary needs it");
}

/* The address of an override without what may be a password in it. */
static void see_endpoints(struct visit *v)
{
    for (char **e = environ; *e; e++) {
        if (!mrp_starts(*e, "AWS_ENDPOINT_URL"))
            continue;
        const char *eq = strchr(*e, '=');
        const char *scheme = eq ? strstr(eq, "://") : NULL;
        if (!scheme) {
            mrp_auto(mrp_free_str) char *name = mrp_strndup(*e, eq ? (size_t)(eq - *e) : 0);
            tell(v, PROBLEM, "endpoint", name ? name : "AWS_ENDPOINT_URL", "its value is no URL");
            continue;
        }
        const char *host = scheme + 3;
        size_t n = strcspn(host, "/?#");
        const char *at = memrchr(host, '@', n);
        const char *from = at ? at + 1 : host;
        mrp_auto(mrp_free_str) char *text =
            mrp_strf("%.*s is %.*s", (int)(eq - *e), *e, (int)(n - (size_t)(from - host)), from);
        tell(v, GOOD, "endpoint", text ? text : "AWS_ENDPOINT_URL", NULL);
    }
}

static void see_tools(struct visit *v)
{
    static const struct {
        const char *const argv[3];
        const char *absent;
        const char *fix;
    } tools[] = {
        {{"docker", "--version", NULL}, "not found", "needed only by phases that build images"},
        {{"podman", "--version", NULL}, NULL, NULL},
        {{"buildah", "--version", NULL}, NULL, NULL},
        {{"git", "--version", NULL}, "not found", "needed only by phases that call it"},
        {{"aws", "--version", NULL}, "not found", "needed only by phases that call it"},
    };
    for (size_t i = 0; i < MRP_COUNT(tools); i++) {
        mrp_auto(mrp_free_str) char *version = mrp_cli_probe(tools[i].argv);
        if (version)
            tell(v, GOOD, tools[i].argv[0], version, NULL);
        else if (tools[i].absent)
            tell(v, WARNING, tools[i].argv[0], tools[i].absent, tools[i].fix);
    }
    if (access("/bin/sh", X_OK) != 0)
        tell(v, PROBLEM, "sh", "/bin/sh cannot be run", "every phase command needs it");
}

static void see_disk(struct visit *v, const char *what, const char *path, const char *fix)
{
    char free_text[32];
    struct statvfs fs;
    if (statvfs(path, &fs) != 0 || access(path, W_OK) != 0) {
        mrp_auto(mrp_free_str) char *text = mrp_strf("%s cannot be written to", path);
        tell(v, PROBLEM, what, text ? text : path, fix);
        return;
    }
    uint64_t bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    mrp_auto(mrp_free_str) char *text =
        mrp_strf("%s, %s free", path, mrp_show_bytes(free_text, sizeof free_text, bytes));
    tell(v, bytes < DISK_LOW ? WARNING : GOOD, what, text ? text : path,
         bytes < DISK_LOW ? "less than 1 GiB: large images may not fit" : NULL);
}

int mrp_cli_doctor(const struct mrp_cli_args *args)
{
    struct visit v = {.args = args, .table = {.columns = 3}};
    struct mrp_buf out = MRP_BUF_INIT(1 << 20);
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *workdir = NULL;
    mrp_ui_locale();
    see_plugins(&v);
    see_credentials(&v);
    see_region(&v);
    see_endpoints(&v);
    see_tools(&v);
    if (mrp_cli_workdir(&workdir, &err) == 0)
        see_disk(&v, "folder", workdir, "a run keeps its state in .mrpipe here");
    see_disk(&v, "temporary", has("TMPDIR") ? getenv("TMPDIR") : "/tmp", "set TMPDIR");
    mrp_ui_table_print(&out, &v.table, mrp_cli_color(args, stdout), 0, mrp_cli_width());
    mrp_ui_table_done(&v.table);
    mrp_buf_addf(&out, "\n%zu problem%s, %zu warning%s\n", v.problems, v.problems == 1 ? "" : "s",
                 v.warnings, v.warnings == 1 ? "" : "s");
    int rc = mrp_cli_put(&out);
    return rc ? rc : v.problems ? MRP_EXIT_FAILED : MRP_EXIT_OK;
}
