/* Finds and stores registry credentials where docker keeps them. */
#include "dockercfg.h"
#include "helper.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { CONFIG_MAX = 4 << 20 };
#define HUB_KEY "https://index.docker.io/v1/"

static const char *variable(const struct mrp_stage *stage, const char *name)
{
    const char *v = stage ? mrp_stage_env(stage, name) : NULL;
    if (!v)
        v = secure_getenv(name);
    return v && *v ? v : NULL;
}

char *dockercfg_path(const struct mrp_stage *stage)
{
    const char *dir = variable(stage, "DOCKER_CONFIG");
    if (dir)
        return mrp_strf("%s/config.json", dir);
    const char *home = variable(stage, "HOME");
    return home ? mrp_strf("%s/.docker/config.json", home) : NULL;
}

void docker_login_done(struct docker_login *login)
{
    free(login->user);
    free(login->password);
    free(login->helper);
    memset(login, 0, sizeof *login);
}

/* "https://HOST/v1/" and "HOST/path" and "HOST" all speak of HOST. */
static bool key_is_host(const char *key, const char *host)
{
    const char *p = strstr(key, "://");
    p = p ? p + 3 : key;
    size_t n = strcspn(p, "/");
    if (strlen(host) == n && !strncmp(p, host, n))
        return true;
    return !strcmp(host, "docker.io") && !strcmp(key, HUB_KEY);
}

static const json_t *find_host(const json_t *map, const char *host)
{
    const json_t *exact = json_object_get(map, host);
    if (exact)
        return exact;
    const char *key;
    json_t *value;
    void *iter = json_object_iter((json_t *)(uintptr_t)map);
    while (iter) {
        key = json_object_iter_key(iter);
        value = json_object_iter_value(iter);
        if (key_is_host(key, host))
            return value;
        iter = json_object_iter_next((json_t *)(uintptr_t)map, iter);
    }
    return NULL;
}

static int
split_auth(struct docker_login *out, const char *auth, const char *host, struct mrp_error *err)
{
    size_t n = 0;
    mrp_auto(mrp_free_str) char *text = mrp_unbase64(&n, auth, strlen(auth));
    char *colon = text ? memchr(text, ':', n) : NULL;
    if (!colon || strlen(text) != n)
        return mrp_fail(err, MRP_E_AUTH, "docker's config.json: the `auth` of %s is malformed",
                        host);
    *colon = '\0';
    out->user = mrp_strdup(text);
    out->password = mrp_strdup(colon + 1);
    return out->user && out->password ? 0 : mrp_fail(err, MRP_E_NOMEM, "docker's config.json");
}

int dockercfg_lookup(struct docker_login *out,
                     const json_t *config,
                     const char *host,
                     struct mrp_error *err)
{
    const json_t *helper = find_host(mrp_json_obj(config, "credHelpers"), host);
    const char *store = mrp_json_str(config, "credsStore");
    const json_t *entry = find_host(mrp_json_obj(config, "auths"), host);
    const char *identity = mrp_json_str(entry, "identitytoken");
    const char *auth = mrp_json_str(entry, "auth");
    if (json_is_string(helper)) {
        out->helper = mrp_strdup(json_string_value(helper));
    } else if (identity && *identity) {
        out->user = mrp_strdup("<token>");
        out->password = mrp_strdup(identity);
    } else if (auth && *auth) {
        return split_auth(out, auth, host, err);
    } else if (store && *store) {
        out->helper = mrp_strdup(store);
    }
    return 0;
}

static int
from_file(struct docker_login *out, const char *path, const char *host, struct mrp_error *err)
{
    if (!path || !mrp_exists(path))
        return 0;
    mrp_auto(mrp_free_json) json_t *config = NULL;
    int rc = mrp_json_read(&config, path, CONFIG_MAX, err);
    return rc ? rc : dockercfg_lookup(out, config, host, err);
}

int dockercfg_login(char **user,
                    char **password,
                    struct mrp_http *http,
                    struct mrp_stage *stage,
                    const char *host,
                    struct mrp_error *err)
{
    mrp_auto(docker_login_done) struct docker_login login = {0};
    mrp_auto(mrp_free_str) char *docker = dockercfg_path(stage);
    int rc = from_file(&login, docker, host, err);
    if (!rc && !login.user && !login.helper) {
        const char *named = variable(stage, "REGISTRY_AUTH_FILE");
        const char *runtime = variable(stage, "XDG_RUNTIME_DIR");
        mrp_auto(mrp_free_str) char *path = NULL;
        if (named)
            path = mrp_strdup(named);
        else if (runtime)
            path = mrp_strf("%s/containers/auth.json", runtime);
        rc = from_file(&login, path, host, err);
    }
    if (!rc && login.helper) {
        const char *key = strcmp(host, "docker.io") ? host : HUB_KEY;
        rc = helper_get(&login.user, &login.password, http, login.helper, key, err);
    }
    if (rc)
        return rc;
    *user = mrp_take_str(&login.user);
    *password = mrp_take_str(&login.password);
    return 0;
}

static int set_entry(json_t *auths,
                     const char *host,
                     const char *user,
                     const char *password,
                     struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *pair = mrp_strf("%s:%s", user, password);
    mrp_auto(mrp_free_str) char *auth = pair ? mrp_base64(pair, strlen(pair)) : NULL;
    json_t *entry = json_object();
    if (!auth || !entry || mrp_json_puts(entry, "auth", auth)) {
        json_decref(entry);
        return mrp_fail(err, MRP_E_NOMEM, "docker's config.json");
    }
    if (mrp_json_put(auths, host, entry))
        return mrp_fail(err, MRP_E_NOMEM, "docker's config.json");
    return 0;
}

/* A link is followed, so that a configuration kept elsewhere stays a link. */
static int write_config(const char *path, const json_t *config, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *real = realpath(path, NULL);
    mrp_auto(mrp_free_str) char *text = json_dumps(config, JSON_INDENT(4));
    if (!text)
        return mrp_fail(err, MRP_E_NOMEM, "docker's config.json");
    return mrp_file_write(real ? real : path, text, strlen(text), 0600, true, err);
}

static int open_config(json_t **out, const char *path, struct mrp_error *err)
{
    if (mrp_exists(path)) {
        int rc = mrp_json_read(out, path, CONFIG_MAX, err);
        if (rc)
            return rc;
        if (!json_is_object(*out))
            return mrp_fail(err, MRP_E_CONFIG, "%s is no JSON object", path);
        return 0;
    }
    mrp_auto(mrp_free_str) char *dir = mrp_strndup(path, (size_t)(mrp_basename(path) - path));
    *out = json_object();
    if (!dir || !*out)
        return mrp_fail(err, MRP_E_NOMEM, "docker's config.json");
    return mrp_mkdirs(dir, err);
}

int dockercfg_store(struct mrp_http *http,
                    struct mrp_stage *stage,
                    const char *path,
                    char *const *hosts,
                    char *const *users,
                    char *const *passwords,
                    struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *config = NULL;
    int rc = open_config(&config, path, err);
    if (rc)
        return rc;
    json_t *auths = mrp_json_obj(config, "auths");
    if (!auths) {
        auths = json_object();
        if (mrp_json_put(config, "auths", auths))
            return mrp_fail(err, MRP_E_NOMEM, "docker's config.json");
    }
    const char *store = mrp_json_str(config, "credsStore");
    const json_t *helpers = mrp_json_obj(config, "credHelpers");
    bool dirty = false;
    for (size_t i = 0; hosts[i]; i++) {
        const char *own = mrp_json_str(helpers, hosts[i]);
        if (own) {
            mrp_log(stage, MRP_INFO,
                    "%s: docker asks its helper docker-credential-%s, left as it is", hosts[i],
                    own);
            continue;
        }
        if (store && *store) {
            rc = helper_store(http, store, hosts[i], users[i], passwords[i], err);
            if (!rc && !json_object_get(auths, hosts[i])) {
                rc = mrp_json_put(auths, hosts[i], json_object());
                dirty = true;
            }
        } else {
            rc = set_entry(auths, hosts[i], users[i], passwords[i], err);
            dirty = true;
        }
        if (rc)
            return rc;
    }
    return dirty ? write_config(path, config, err) : 0;
}
