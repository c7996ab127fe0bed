/* From what the user wrote to an end: CodeCommit in its forms, URLs, paths, bundles. */
#include "git2_wire.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>
#include <mrpipe/url.h>

#include <stdlib.h>
#include <string.h>

bool mrp_is_repository_name(const char *text)
{
    size_t n = text ? strlen(text) : 0;
    if (n == 0 || n > 100 || mrp_ends(text, ".git") || mrp_ends(text, ".bundle") ||
        mrp_streq(text, ".") || mrp_streq(text, ".."))
        return false;
    for (const char *p = text; *p; p++) {
        char c = *p;
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static bool split_repository(char **profile, char **name, const char *rest)
{
    const char *at = strchr(rest, '@');
    if (!mrp_is_repository_name(at ? at + 1 : rest) || at == rest)
        return false;
    *profile = at ? mrp_strndup(rest, (size_t)(at - rest)) : NULL;
    *name = mrp_strdup(at ? at + 1 : rest);
    return *name && (!at || *profile);
}

int mrp_codecommit_url(char **region, char **profile, char **name, const char *text)
{
    *region = *profile = *name = NULL;
    if (mrp_starts(text, "codecommit://"))
        return split_repository(profile, name, text + 13) ? 0 : -1;
    if (!mrp_starts(text, "codecommit::"))
        return -1;
    const char *rest = strstr(text + 12, "://");
    if (!rest)
        return -1;
    *region = mrp_strndup(text + 12, (size_t)(rest - text - 12));
    if (*region && mrp_aws_is_region(*region) && split_repository(profile, name, rest + 3))
        return 0;
    mrp_free_str(region);
    mrp_free_str(profile);
    mrp_free_str(name);
    return -1;
}

/* https://git-codecommit[-fips].REGION.amazonaws.com[.cn]/v1/repos/NAME */
static bool is_codecommit_host(char **region, char **name, const struct mrp_url *url)
{
    const char *p = url->host;
    if (mrp_starts(p, "git-codecommit-fips."))
        p += 20;
    else if (mrp_starts(p, "git-codecommit."))
        p += 15;
    else
        return false;
    const char *dot = strchr(p, '.');
    if (!dot || !mrp_starts(url->path, "/v1/repos/") || !mrp_is_repository_name(url->path + 10))
        return false;
    mrp_auto(mrp_free_str) char *found = mrp_strndup(p, (size_t)(dot - p));
    if (!found || !mrp_aws_is_region(found) || !mrp_streq(dot + 1, mrp_aws_suffix(found)))
        return false;
    *name = mrp_strdup(url->path + 10);
    *region = mrp_take_str(&found);
    return *name != NULL;
}

static bool is_scp_like(const char *text)
{
    const char *colon = strchr(text, ':');
    const char *slash = strchr(text, '/');
    return colon && colon != text && (!slash || colon < slash) && colon[1] != ':' &&
           !strstr(text, "://");
}

static bool is_path(const char *text)
{
    return strchr(text, '/') || mrp_ends(text, ".git") || mrp_ends(text, ".bundle") ||
           text[0] == '.';
}

int mrp_end_check(const char *text, struct mrp_error *err)
{
    char *region = NULL, *profile = NULL, *name = NULL;
    if (!text[0])
        return mrp_fail(err, MRP_E_CONFIG, "an end of the mirror is empty");
    if (mrp_starts(text, "codecommit:")) {
        int rc = mrp_codecommit_url(&region, &profile, &name, text);
        mrp_free_str(&region);
        mrp_free_str(&profile);
        mrp_free_str(&name);
        if (!rc)
            return MRP_OK;
        mrp_fail(err, MRP_E_CONFIG, "\"%s\" is no CodeCommit URL", text);
        return mrp_hint(err, "codecommit://[PROFILE@]NAME or codecommit::REGION://[PROFILE@]NAME");
    }
    const char *scheme = strstr(text, "://");
    static const char *const known[] = {"http://", "https://", "ssh://", "file://"};
    for (size_t i = 0; i < MRP_COUNT(known); i++)
        if (mrp_starts(text, known[i]))
            return MRP_OK;
    if (scheme) {
        mrp_auto(mrp_free_str) char *shown = mrp_url_redact(text);
        mrp_fail(err, MRP_E_CONFIG, "\"%s\" has a scheme that cannot be mirrored",
                 shown ? shown : "");
        return mrp_hint(err, "https, http, ssh, file, codecommit, or a path");
    }
    if (is_scp_like(text) || is_path(text) || mrp_is_repository_name(text))
        return MRP_OK;
    return mrp_fail(err, MRP_E_CONFIG, "\"%s\" is no URL, no path and no repository name", text);
}

static int no_memory(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "describe a repository");
}

/* end->region and end->name are set. */
static int make_codecommit(struct mrp_end *end, const char *host, struct mrp_error *err)
{
    struct mrp_session *s = end->session;
    if (end->profile) {
        int rc = mrp_aws_new_profile(&end->login.aws_own, s->http, s->stage, end->profile, err);
        if (rc)
            return rc;
        if (!end->region)
            end->region = mrp_strdup(mrp_aws_region(end->login.aws_own));
    }
    if (!end->region || !end->region[0]) {
        mrp_fail(err, MRP_E_CONFIG, "no region is known for the CodeCommit repository %s",
                 end->name);
        return mrp_hint(err, "write codecommit::REGION://%s, or set regions.primary", end->name);
    }
    const char *fips = mrp_stage_env(s->stage, "AWS_USE_FIPS_ENDPOINT");
    end->aws_host = host
                        ? mrp_strdup(host)
                        : mrp_strf("git-codecommit%s.%s.%s", mrp_streq(fips, "true") ? "-fips" : "",
                                   end->region, mrp_aws_suffix(end->region));
    end->aws_path = mrp_strf("/v1/repos/%s", end->name);
    end->text = mrp_strf("%s in %s", end->name, end->region);
    mrp_auto(mrp_free_str) char *url =
        end->aws_host ? mrp_strf("https://%s%s", end->aws_host, end->aws_path) : NULL;
    if (!url || !end->aws_path || !end->text)
        return no_memory(err);
    end->login.kind = MRP_LOGIN_CODECOMMIT;
    end->ops = s->libgit2 ? &mrp_end_git2 : &mrp_end_http;
    return mrp_aws_map_url(&end->url, s->aws, url, err);
}

static int set_login(struct mrp_end *end,
                     const struct mrp_url *url,
                     const struct mrp_end_login *login,
                     struct mrp_error *err)
{
    const char *user = url->user, *password = url->password, *token = NULL;
    if (login && login->username)
        user = login->username;
    if (login && login->password)
        password = login->password;
    if (login)
        token = login->token;
    struct mrp_login *l = &end->login;
    if (token) {
        l->kind = MRP_LOGIN_BEARER;
        l->password = mrp_strdup(token);
        return l->password ? MRP_OK : no_memory(err);
    }
    l->user = mrp_strdup(user ? user : password ? "x-access-token" : NULL);
    if (!password)
        return MRP_OK;
    l->kind = MRP_LOGIN_BASIC;
    l->password = mrp_strdup(password);
    if (!l->user || !l->password)
        return no_memory(err);
    if (strchr(l->user, ':'))
        return mrp_fail(err, MRP_E_CONFIG, "the user name for %s holds a colon", end->text);
    mrp_secret(end->session->stage, l->password);
    return MRP_OK;
}

static void done_url(struct mrp_url *url)
{
    mrp_url_done(url);
}

static int make_http(struct mrp_end *end,
                     const char *text,
                     const struct mrp_end_login *login,
                     struct mrp_error *err)
{
    mrp_auto(done_url) struct mrp_url url = {0};
    int rc = mrp_url_parse(&url, text, err);
    if (rc)
        return rc;
    bool own = login && (login->password || login->token);
    if (!own && !url.password && is_codecommit_host(&end->region, &end->name, &url))
        return make_codecommit(end, url.host, err);
    if (url.query)
        return mrp_fail(err, MRP_E_CONFIG, "a git URL has no query: %s", url.host);
    for (size_t n = strlen(url.path); n > 1 && url.path[n - 1] == '/'; n--)
        url.path[n - 1] = '\0';
    end->url = mrp_url_text(&url);
    end->text = end->url ? mrp_strdup(end->url) : NULL;
    if (!end->text)
        return no_memory(err);
    size_t n = strlen(end->url);
    if (n && end->url[n - 1] == '/')
        end->url[n - 1] = '\0';
    end->ops = end->session->libgit2 ? &mrp_end_git2 : &mrp_end_http;
    return set_login(end, &url, login, err);
}

static int make_ssh(struct mrp_end *end, const char *text, struct mrp_error *err)
{
    end->url = mrp_strdup(text);
    end->text = mrp_starts(text, "ssh://") ? mrp_url_redact(text) : mrp_strdup(text);
    end->ops = &mrp_end_git2;
    return end->url && end->text ? MRP_OK : no_memory(err);
}

static int make_local(struct mrp_end *end, const char *text, struct mrp_error *err)
{
    const char *path = text;
    if (mrp_starts(text, "file://")) {
        path = text + 7;
        if (mrp_starts(path, "localhost/"))
            path += 9;
        if (path[0] != '/')
            return mrp_fail(err, MRP_E_CONFIG, "%s names another host", text);
    }
    int rc = mrp_stage_path(&end->path, end->session->stage, path, err);
    if (rc)
        return rc;
    end->text = mrp_strdup(path);
    end->ops = mrp_ends(path, ".bundle") ? &mrp_end_bundle : &mrp_end_local;
    return end->text ? MRP_OK : no_memory(err);
}

static int make(struct mrp_end *end,
                const char *text,
                const char *region,
                const struct mrp_end_login *login,
                struct mrp_error *err)
{
    int rc = mrp_end_check(text, err);
    if (rc)
        return rc;
    if (mrp_starts(text, "codecommit:")) {
        char *own = NULL;
        if (mrp_codecommit_url(&own, &end->profile, &end->name, text))
            return no_memory(err);
        end->region = own || end->profile ? own : mrp_strdup(region);
        return make_codecommit(end, NULL, err);
    }
    if (mrp_starts(text, "http://") || mrp_starts(text, "https://"))
        return make_http(end, text, login, err);
    if (mrp_starts(text, "ssh://") || (is_scp_like(text) && !mrp_starts(text, "file://")))
        return make_ssh(end, text, err);
    if (mrp_starts(text, "file://") || is_path(text))
        return make_local(end, text, err);
    end->name = mrp_strdup(text);
    end->region = mrp_strdup(region);
    return end->name ? make_codecommit(end, NULL, err) : no_memory(err);
}

int mrp_end_new(struct mrp_end **out,
                struct mrp_session *session,
                const char *text,
                const char *region,
                const struct mrp_end_login *login,
                struct mrp_error *err)
{
    mrp_auto(mrp_end_free) struct mrp_end *end = calloc(1, sizeof *end);
    if (!end)
        return no_memory(err);
    end->session = session;
    int rc = make(end, text, region, login, err);
    if (rc)
        return rc;
    *out = end;
    end = NULL;
    return MRP_OK;
}

void mrp_end_free(struct mrp_end **end)
{
    struct mrp_end *e = *end;
    if (!e)
        return;
    mrp_git2_wire_adopt(e->wire, NULL);
    mrp_git2_wire_free(&e->wire);
    mrp_login_done(&e->login);
    free(e->text);
    free(e->url);
    free(e->path);
    free(e->region);
    free(e->name);
    free(e->profile);
    free(e->aws_host);
    free(e->aws_path);
    free(e);
    *end = NULL;
}
