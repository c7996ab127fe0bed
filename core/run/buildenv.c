/* The environment of the commands: the caller's, the spec's variables and CODEBUILD_*. */
#include "buildenv.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **find(char **env, const char *name)
{
    size_t n = strlen(name);
    for (; env && *env; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return env;
    return NULL;
}

int mrp_env_set(char ***env, const char *name, const char *value)
{
    char *text = mrp_strf("%s=%s", name, value);
    if (!text)
        return MRP_E_NOMEM;
    char **old = find(*env, name);
    if (old) {
        free(*old);
        *old = text;
        return 0;
    }
    int rc = mrp_strv_add(env, text);
    free(text);
    return rc;
}

void mrp_env_unset(char **env, const char *name)
{
    char **old = find(env, name);
    if (!old)
        return;
    free(*old);
    do
        old[0] = old[1];
    while (*old++);
}

int mrp_buildenv_early(char ***out,
                       const struct mrp_spec *spec,
                       const struct mrp_run_options *options,
                       struct mrp_error *err)
{
    mrp_auto(mrp_free_strv) char **env = NULL;
    bool bad = false;
    for (char **e = environ; e && *e; e++)
        bad = mrp_strv_add(&env, *e) || bad;
    for (size_t i = 0; i < spec->variables.count; i++)
        bad = mrp_env_set(&env, spec->variables.list[i].name, spec->variables.list[i].value) || bad;
    for (char *const *e = options->env; e && *e; e++) {
        const char *eq = strchr(*e, '=');
        if (!eq || eq == *e)
            return mrp_fail(err, MRP_E_CONFIG, "--env `%s` is not NAME=value", *e);
        mrp_auto(mrp_free_str) char *name = mrp_strndup(*e, (size_t)(eq - *e));
        bad = !name || mrp_env_set(&env, name, eq + 1) || bad;
    }
    if (bad)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    *out = mrp_take_strv(&env);
    return 0;
}

/* A variable that the caller's environment does not have. */
static bool set_default(char ***env, const char *name, const char *value)
{
    return value && !find(*env, name) && mrp_env_set(env, name, value);
}

static bool set_region(struct mrp_session *s)
{
    const char *region = mrp_env_get(s->env, "AWS_REGION");
    if (!region || !*region)
        region = mrp_env_get(s->env, "AWS_DEFAULT_REGION");
    if (!region || !*region)
        region = s->names.primary;
    bool bad = set_default(&s->env, "AWS_REGION", region);
    return set_default(&s->env, "AWS_DEFAULT_REGION", region) || bad;
}

static bool set_codebuild(struct mrp_session *s, const struct mrp_checkout *source)
{
    char ***env = &s->env;
    const char *region = mrp_env_get(s->env, "AWS_REGION");
    mrp_auto(mrp_free_str) char *build = mrp_strf("mrpipe:%s", s->folder.id);
    mrp_auto(mrp_free_str) char *arn = mrp_strf("arn:aws:codebuild:%s:000000000000:build/mrpipe:%s",
                                                region ? region : "us-east-1", s->folder.id);
    mrp_auto(mrp_free_str) char *project =
        mrp_strf("arn:aws:codebuild:%s:000000000000:project/mrpipe", region ? region : "us-east-1");
    mrp_auto(mrp_free_str) char *start = mrp_strf("%lld", (long long)mrp_wall_ms());
    /* The name may come from a directory service, so it is asked for only if it is wanted. */
    const struct passwd *user =
        mrp_env_get(s->env, "CODEBUILD_INITIATOR") ? NULL : getpwuid(getuid());
    const struct {
        const char *name, *value;
    } defaults[] = {
        {"CODEBUILD_CI", "true"},
        {"CODEBUILD_BUILD_ID", build},
        {"CODEBUILD_BUILD_ARN", arn},
        {"CODEBUILD_PROJECT_ARN", project},
        {"CODEBUILD_BUILD_IMAGE", "local"},
        {"CODEBUILD_BUILD_NUMBER", "1"},
        {"CODEBUILD_INITIATOR", user ? user->pw_name : "unknown"},
        {"CODEBUILD_LOG_PATH", s->folder.id},
        {"CODEBUILD_START_TIME", start},
        {"CODEBUILD_RESOLVED_SOURCE_VERSION", source->version},
        {"CODEBUILD_SOURCE_VERSION", source->branch ? source->branch : source->version},
        {"CODEBUILD_SOURCE_REPO_URL", source->url},
        {"HOME", "/root"},
    };
    bool bad = !build || !arn || !project || !start;
    for (size_t i = 0; i < MRP_COUNT(defaults); i++)
        bad = set_default(env, defaults[i].name, defaults[i].value) || bad;
    return bad;
}

int mrp_buildenv_complete(struct mrp_session *s,
                          const struct mrp_checkout *source,
                          struct mrp_error *err)
{
    const char *path = mrp_env_get(s->env, "PATH");
    if (!path)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    mrp_auto(mrp_free_str) char *with_helpers =
        s->folder.temp ? mrp_strf("%s/bin:%s", s->folder.temp, path) : mrp_strdup(path);
    bool bad = !with_helpers || mrp_env_set(&s->env, "PATH", with_helpers);
    bad = set_region(s) || bad;
    bad = set_codebuild(s, source) || bad;
    bad = mrp_env_set(&s->env, "CODEBUILD_SRC_DIR", s->options->workdir) || bad;
    bad = mrp_env_set(&s->env, "CODEBUILD_BUILD_SUCCEEDING", "1") || bad;
    bad = mrp_env_set(&s->env, "MRPIPE_RUN_ID", s->folder.id) || bad;
    return bad ? mrp_fail(err, MRP_E_NOMEM, "out of memory") : 0;
}

/* ---- what the shell left ---- */

static bool name_char(char c, bool first)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (!first && c >= '0' && c <= '9');
}

static int octal(const char **p, const char *end)
{
    int value = 0;
    for (int i = 0; i < 3 && *p < end && **p >= '0' && **p <= '7'; i++)
        value = value * 8 + (*(*p)++ - '0');
    return value & 0xff;
}

/* One escape of bash's $'...'; *p stands after the backslash. */
static char dollar_escape(const char **p, const char *end)
{
    static const char from[] = "abefnrtv", to[] = "\a\b\033\f\n\r\t\v";
    char c = **p;
    if (c >= '0' && c <= '7')
        return (char)octal(p, end);
    (*p)++;
    const char *at = strchr(from, c);
    return c == 'E' ? '\033' : at ? to[at - from] : c;
}

/* '...' or $'...'; p stands behind the opening quote. NULL: it does not end. */
static const char *read_single(struct mrp_buf *out, const char *p, const char *end, bool ansi)
{
    while (p < end && *p != '\'') {
        if (ansi && *p == '\\' && p + 1 < end) {
            p++;
            mrp_buf_addc(out, dollar_escape(&p, end));
        } else {
            mrp_buf_addc(out, *p++);
        }
    }
    return p < end ? p + 1 : NULL;
}

/* "..."; p stands behind the opening quote. NULL: it does not end. */
static const char *read_double(struct mrp_buf *out, const char *p, const char *end)
{
    for (; p < end && *p != '"'; p++) {
        if (*p == '\\' && p + 1 < end && strchr("\\\"$`", p[1]))
            p++;
        mrp_buf_addc(out, *p);
    }
    return p < end ? p + 1 : NULL;
}

/* A shell word with its quotes, up to the blank or line end outside them; NULL: it does not end. */
static const char *read_word(struct mrp_buf *out, const char *p, const char *end)
{
    while (p && p < end && *p != '\n' && *p != ' ') {
        if (*p == '\'') {
            p = read_single(out, p + 1, end, false);
        } else if (*p == '$' && p + 1 < end && p[1] == '\'') {
            p = read_single(out, p + 2, end, true);
        } else if (*p == '"') {
            p = read_double(out, p + 1, end);
        } else {
            if (*p == '\\' && p + 1 < end)
                p++;
            mrp_buf_addc(out, *p++);
        }
    }
    return p;
}

/* Behind "export " or "declare -rx "; NULL: the line is no export. */
static const char *skip_word(const char *p, const char *end)
{
    if (end - p > 7 && memcmp(p, "export ", 7) == 0)
        return p + 7;
    if (end - p <= 8 || memcmp(p, "declare ", 8) != 0)
        return NULL;
    for (p += 8; p < end && *p == '-';)
        while (p < end && *p++ != ' ')
            ;
    return p;
}

/* NAME=WORD at p into env; *next is behind it. */
static int
take_export(char ***env, const char **next, const char *p, const char *end, struct mrp_error *err)
{
    const char *name = p;
    while (p < end && name_char(*p, p == name))
        p++;
    size_t n = (size_t)(p - name);
    *next = p;
    if (!n || p >= end || *p != '=')
        return 0; /* exported without a value */
    struct mrp_buf value = MRP_BUF_INIT((size_t)(end - p) + 1);
    mrp_auto(mrp_free_str) char *key = mrp_strndup(name, n);
    int rc = 0;
    p = read_word(&value, p + 1, end);
    if (!p)
        rc = mrp_fail(err, MRP_E_IO, "the shell's state ends inside a value");
    else if (!key || value.failed || mrp_env_set(env, key, mrp_buf_str(&value)))
        rc = mrp_fail(err, MRP_E_NOMEM, "out of memory");
    *next = p;
    mrp_buf_done(&value);
    return rc;
}

int mrp_shell_exports(char ***env, const char *text, size_t len, struct mrp_error *err)
{
    const char *p = text, *end = text + len;
    while (p < end) {
        const char *assignment = skip_word(p, end);
        int rc = assignment ? take_export(env, &p, assignment, end, err) : 0;
        if (rc)
            return rc;
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        p = newline ? newline + 1 : end;
    }
    return 0;
}
