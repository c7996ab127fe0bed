/* ecr/login: credentials of ECR registries for the docker of the phases. */
#include "actions.h"
#include "dockercfg.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

const struct mrp_option ecr_login_options[] = {
    {"registries", MRP_LIST(struct ecr_login, registries),
     .help = "ECR hosts, or image references of them"},
    {"regions", MRP_LIST(struct ecr_login, regions),
     .help = "regions of the account (default: all of the run)"},
    {"account", MRP_STRING(struct ecr_login, account),
     .help = "account id (default: the caller's)"},
    {"config", MRP_PATH(struct ecr_login, config),
     .help = "file to write (default: DOCKER_CONFIG or ~/.docker, config.json)"},
    {0},
};

const struct mrp_output_info ecr_login_outputs[] = {
    {"registries", "list", "hosts that docker can use now"},
    {"config", "string", "the file that was written"},
    {0},
};

struct logins {
    char **hosts;
    char **users;
    char **passwords;
};

static void wipe(struct logins *l)
{
    mrp_free_strv(&l->hosts);
    mrp_free_strv(&l->users);
    mrp_free_strv(&l->passwords);
}

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "login");
}

static int add_host(char ***hosts, const char *name, struct mrp_error *err)
{
    struct ecr_name ecr;
    size_t n = strcspn(name, "/");
    mrp_auto(mrp_free_str) char *host = mrp_strndup(name, n);
    if (!host)
        return nomem(err);
    if (!ecr_name_parse(&ecr, host)) {
        mrp_fail(err, MRP_E_CONFIG, "`%.120s` is no ECR registry", host);
        return mrp_hint(err, "write ACCOUNT.dkr.ecr.REGION.amazonaws.com; for others use `docker "
                             "login`");
    }
    if (mrp_strv_has(*hosts, host))
        return 0;
    return mrp_strv_add(hosts, host) ? nomem(err) : 0;
}

static int add_region(char ***hosts,
                      struct hub *hub,
                      const char *account,
                      const char *region,
                      struct mrp_error *err)
{
    int rc = 0;
    if (!account || !*account)
        rc = mrp_aws_account(&account, hub->aws, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_str) char *host = ecr_host(account, region);
    return host ? add_host(hosts, host, err) : nomem(err);
}

static int
find_hosts(char ***hosts, struct hub *hub, const struct ecr_login *o, struct mrp_error *err)
{
    int rc = 0;
    for (char **r = o->registries; !rc && r && *r; r++)
        rc = add_host(hosts, *r, err);
    for (char **r = o->regions; !rc && r && *r; r++)
        rc = add_region(hosts, hub, o->account, *r, err);
    if (rc || o->registries || o->regions)
        return rc;
    const char *own = mrp_stage_region(hub->stage);
    const char *primary = mrp_stage_primary(hub->stage);
    if (*own)
        rc = add_region(hosts, hub, o->account, own, err);
    if (!rc && *primary)
        rc = add_region(hosts, hub, o->account, primary, err);
    for (char *const *r = mrp_stage_secondaries(hub->stage); !rc && r && *r; r++)
        rc = add_region(hosts, hub, o->account, *r, err);
    if (!rc && !*hosts) {
        mrp_fail(err, MRP_E_CONFIG, "no region is known to log in to");
        mrp_hint(err, "set `regions` or `registries`");
        rc = MRP_E_CONFIG;
    }
    return rc;
}

/* "http://127.0.0.1:5001" -> "127.0.0.1:5001": what docker is told where AWS's names are mapped. */
static const char *mapped_name(const struct host *h)
{
    const char *at = strstr(h->base, "://");
    at = at ? at + 3 : h->base;
    return strchr(at, '/') || !strcmp(at, h->name) ? NULL : at;
}

static int add_login(struct logins *l,
                     const char *host,
                     const char *user,
                     const char *password,
                     struct mrp_error *err)
{
    if (mrp_strv_add(&l->hosts, host) || mrp_strv_add(&l->users, user) ||
        mrp_strv_add(&l->passwords, password))
        return nomem(err);
    return 0;
}

static int get_login(struct logins *l, struct hub *hub, const char *name, struct mrp_error *err)
{
    struct host *h = NULL;
    mrp_auto(mrp_free_str) char *basic = NULL;
    int rc = hub_host(&h, hub, name, err);
    if (!rc)
        rc = host_authorization(&basic, h, NULL, NULL, false, err);
    if (rc)
        return mrp_wrap(err, "log in to %s", name);
    size_t n = 0;
    mrp_auto(mrp_free_str) char *pair =
        basic ? mrp_unbase64(&n, basic + 6, strlen(basic + 6)) : NULL;
    char *colon = pair ? memchr(pair, ':', n) : NULL;
    if (!colon)
        return mrp_fail(err, MRP_E_REMOTE, "log in to %s: the token has no user and password",
                        name);
    *colon = '\0';
    rc = add_login(l, name, pair, colon + 1, err);
    const char *real = mapped_name(h);
    return rc || !real ? rc : add_login(l, real, pair, colon + 1, err);
}

/* Whether what docker has already is still taken by the registry. */
static bool still_valid(struct hub *hub, const json_t *config, const char *name)
{
    mrp_auto(docker_login_done) struct docker_login login = {0};
    struct mrp_error ignored = {0};
    struct host *h = NULL;
    if (dockercfg_lookup(&login, config, name, &ignored) || !login.user ||
        hub_host(&h, hub, name, &ignored))
        return false;
    mrp_auto(mrp_free_str) char *pair = mrp_strf("%s:%s", login.user, login.password);
    mrp_auto(mrp_free_str) char *text = pair ? mrp_base64(pair, strlen(pair)) : NULL;
    mrp_auto(mrp_free_str) char *header = text ? mrp_strf("Basic %s", text) : NULL;
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s/v2/", h->base);
    if (!header || !url)
        return false;
    const struct mrp_http_header headers[] = {{"Authorization", header}, {0}};
    const struct mrp_http_request req = {
        .method = "GET", .url = url, .headers = headers, .flags = MRP_HTTP_NO_REDIRECT};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    return !mrp_http_do(&resp, hub->http, &req, &ignored) && resp.status == 200;
}

static int
config_path(char **out, const struct ecr_login *o, struct mrp_stage *stage, struct mrp_error *err)
{
    if (o->config)
        return mrp_stage_path(out, stage, o->config, err);
    *out = dockercfg_path(stage);
    if (*out)
        return 0;
    mrp_fail(err, MRP_E_CONFIG, "neither DOCKER_CONFIG nor HOME is set");
    return mrp_hint(err, "set `config` to the file that docker reads");
}

static int set_outputs(struct mrp_stage *stage,
                       const struct logins *l,
                       const char *path,
                       struct mrp_error *err)
{
    json_t *list = json_array();
    for (size_t i = 0; list && l->hosts[i]; i++)
        json_array_append_new(list, json_string(l->hosts[i]));
    int rc = list ? mrp_output(stage, "registries", list, err) : nomem(err);
    return rc ? rc : mrp_output(stage, "config", json_string(path), err);
}

static int
login(void *opt, struct mrp_stage *stage, bool dry, enum mrp_result *result, struct mrp_error *err)
{
    const struct ecr_login *o = opt;
    const struct hub_options how = {0};
    mrp_auto(hub_free) struct hub *hub = NULL;
    mrp_auto(wipe) struct logins logins = {0};
    mrp_auto(mrp_free_strv) char **hosts = NULL;
    mrp_auto(mrp_free_str) char *path = NULL;
    int rc = config_path(&path, o, stage, err);
    if (!rc)
        rc = hub_new(&hub, stage, &how, err);
    if (!rc)
        rc = find_hosts(&hosts, hub, o, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_json) json_t *config = NULL;
    struct mrp_error ignored = {0};
    if (mrp_json_read(&config, path, 4 << 20, &ignored))
        config = NULL;
    *result = MRP_UNCHANGED;
    for (char **h = hosts; *h; h++) {
        if (still_valid(hub, config, *h))
            continue;
        *result = MRP_CHANGED;
        mrp_change(stage, "log docker in to %s", *h);
    }
    /* Tokens live 12 hours: a valid one is renewed all the same, which changes nothing remote. */
    for (char **h = hosts; !rc && !dry && *h; h++)
        rc = get_login(&logins, hub, *h, err);
    if (rc || dry)
        return rc;
    rc = dockercfg_store(hub->http, stage, path, logins.hosts, logins.users, logins.passwords, err);
    return rc ? rc : set_outputs(stage, &logins, path, err);
}

int ecr_login_plan(void *opt,
                   struct mrp_stage *stage,
                   enum mrp_result *result,
                   struct mrp_error *err)
{
    return login(opt, stage, true, result, err);
}

int ecr_login_run(void *opt,
                  struct mrp_stage *stage,
                  enum mrp_result *result,
                  struct mrp_error *err)
{
    return login(opt, stage, mrp_stage_dry_run(stage), result, err);
}

int ecr_login_check(const void *opt, const char **bad, struct mrp_error *err)
{
    const struct ecr_login *o = opt;
    mrp_auto(mrp_free_strv) char **hosts = NULL;
    *bad = "registries";
    for (char **r = o->registries; r && *r; r++)
        if (add_host(&hosts, *r, err))
            return MRP_E_CONFIG;
    *bad = "regions";
    for (char **r = o->regions; r && *r; r++)
        if (!mrp_aws_is_region(*r))
            return mrp_fail(err, MRP_E_CONFIG, "`%.60s` is no region", *r);
    *bad = NULL;
    return 0;
}
