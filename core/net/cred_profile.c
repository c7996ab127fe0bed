/* Credentials from the shared configuration files: keys, roles, SSO, commands. */
#include "chain.h"

#include "ini.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)4 << 20)
#define MAX_LINKS 8 /* profiles that name each other as source */

/* A missing file is an empty one. */
static int read_file(json_t **out,
                     const struct mrp_aws *aws,
                     const char *variable,
                     const char *name,
                     struct mrp_error *err)
{
    const char *named = aws_env(aws, variable);
    const char *home = aws_env(aws, "HOME");
    mrp_auto(mrp_free_str) char *path = named && named[0] != '~' ? mrp_strdup(named)
                                        : named && home          ? mrp_strf("%s%s", home, named + 1)
                                        : home ? mrp_strf("%s/.aws/%s", home, name)
                                               : NULL;
    if (!path || !mrp_exists(path)) {
        *out = json_object();
        return *out ? 0 : mrp_fail(err, MRP_E_NOMEM, "read %s", name);
    }
    mrp_auto(mrp_free_str) char *text = NULL;
    size_t len = 0;
    int rc = mrp_file_read(&text, &len, path, MAX_FILE, err);
    if (rc)
        return rc;
    rc = ini_parse(out, text, len, path, err);
    explicit_bzero(text, len);
    return rc;
}

static int load(struct mrp_aws *aws, struct mrp_error *err)
{
    int rc = 0;
    if (!aws->config)
        rc = read_file(&aws->config, aws, "AWS_CONFIG_FILE", "config", err);
    if (rc == 0 && !aws->shared)
        rc = read_file(&aws->shared, aws, "AWS_SHARED_CREDENTIALS_FILE", "credentials", err);
    if (rc)
        return rc;
    /* what stands in the credentials file wins */
    const char *name;
    json_t *section;
    json_object_foreach(aws->shared, name, section)
    {
        json_t *known = json_object_get(aws->config, name);
        if (known)
            json_object_update(known, section);
        else
            json_object_set(aws->config, name, section);
    }
    return 0;
}

const json_t *aws_profile(struct mrp_aws *aws, const char *name, struct mrp_error *err)
{
    if ((!aws->config || !aws->shared) && load(aws, err) != 0)
        return NULL;
    return mrp_json_obj(aws->config, name);
}

static int resolve(struct mrp_credentials *out,
                   struct mrp_aws *aws,
                   const char *name,
                   int links,
                   struct mrp_error *err);

static int
static_keys(struct mrp_credentials *out, const json_t *p, const char *name, struct mrp_error *err)
{
    int rc = credentials_set(out, mrp_json_str(p, "aws_access_key_id"),
                             mrp_json_str(p, "aws_secret_access_key"),
                             mrp_json_str(p, "aws_session_token"), NULL, "a profile", err);
    return rc ? mrp_wrap(err, "profile %s", name) : 0;
}

/* credential_source: where the keys come from that may assume the role. */
static int from_source(struct mrp_credentials *out,
                       struct mrp_aws *aws,
                       const char *source,
                       struct mrp_error *err)
{
    static const struct {
        const char *name;
        cred_fn fn;
    } table[] = {{"Environment", cred_env},
                 {"EcsContainer", cred_container},
                 {"Ec2InstanceMetadata", cred_imds}};
    for (size_t i = 0; i < MRP_COUNT(table); i++) {
        if (strcmp(table[i].name, source) != 0)
            continue;
        struct mrp_buf tried = MRP_BUF_INIT(1024);
        int rc = table[i].fn(out, aws, &tried, err);
        if (rc == MRP_E_NOTFOUND)
            rc = mrp_fail(err, MRP_E_AUTH, "credential_source %s: %s", source, mrp_buf_str(&tried));
        mrp_buf_done(&tried);
        return rc;
    }
    return mrp_fail(err, MRP_E_CONFIG, "unknown credential_source `%.60s`", source);
}

static int with_role(struct mrp_credentials *out,
                     struct mrp_aws *aws,
                     const json_t *p,
                     const char *name,
                     int links,
                     struct mrp_error *err)
{
    const char *role = mrp_json_str(p, "role_arn");
    const char *session = mrp_json_str(p, "role_session_name");
    const char *file = mrp_json_str(p, "web_identity_token_file");
    if (file)
        return cred_web_token(out, aws, file, role, session, err);
    if (mrp_json_str(p, "mfa_serial"))
        return mrp_fail(err, MRP_E_AUTH, "profile %s asks for a one-time code (mfa_serial)", name);
    const char *source_profile = mrp_json_str(p, "source_profile");
    const char *source = mrp_json_str(p, "credential_source");
    struct mrp_credentials base = {0};
    int rc;
    if (source_profile && strcmp(source_profile, name) == 0)
        rc = static_keys(&base, p, name, err);
    else if (source_profile)
        rc = resolve(&base, aws, source_profile, links + 1, err);
    else if (source)
        rc = from_source(&base, aws, source, err);
    else
        rc = mrp_fail(err, MRP_E_CONFIG,
                      "profile %s has a role_arn but no source_profile or credential_source", name);
    if (rc == 0)
        rc = assume_role(out, aws, &base,
                         &(struct assume){.role_arn = role,
                                          .external_id = mrp_json_str(p, "external_id"),
                                          .session_name = session,
                                          .duration = mrp_json_str(p, "duration_seconds"),
                                          .source = "a profile's role"},
                         err);
    mrp_credentials_done(&base);
    return rc;
}

static int
with_sso(struct mrp_credentials *out, struct mrp_aws *aws, const json_t *p, struct mrp_error *err)
{
    const char *session_name = mrp_json_str(p, "sso_session");
    if (!session_name)
        return cred_sso(out, aws, p, p, NULL, err);
    mrp_auto(mrp_free_str) char *section = mrp_strf("sso-session %s", session_name);
    const json_t *session = section ? mrp_json_obj(aws->config, section) : NULL;
    if (!session)
        return mrp_fail(err, MRP_E_CONFIG, "there is no section [sso-session %s]", session_name);
    return cred_sso(out, aws, p, session, session_name, err);
}

static int resolve(struct mrp_credentials *out,
                   struct mrp_aws *aws,
                   const char *name,
                   int links,
                   struct mrp_error *err)
{
    if (links > MAX_LINKS)
        return mrp_fail(err, MRP_E_CONFIG, "profiles name each other as source_profile: %s", name);
    const json_t *p = aws_profile(aws, name, err);
    if (!p)
        return aws->config ? mrp_fail(err, MRP_E_NOTFOUND, "there is no profile `%.100s`", name)
                           : MRP_E_IO;
    if (mrp_json_str(p, "role_arn"))
        return with_role(out, aws, p, name, links, err);
    if (mrp_json_str(p, "aws_access_key_id"))
        return static_keys(out, p, name, err);
    if (mrp_json_str(p, "sso_session") || mrp_json_str(p, "sso_start_url"))
        return with_sso(out, aws, p, err);
    const char *command = mrp_json_str(p, "credential_process");
    if (command)
        return cred_process(out, aws, command, err);
    return mrp_fail(err, MRP_E_NOTFOUND, "profile `%.100s` holds no credentials", name);
}

int cred_profile(struct mrp_credentials *out,
                 struct mrp_aws *aws,
                 struct mrp_buf *tried,
                 struct mrp_error *err)
{
    const char *named = aws_env(aws, "AWS_PROFILE");
    if (!named)
        named = aws_env(aws, "AWS_DEFAULT_PROFILE");
    const char *name = named ? named : "default";
    int rc = resolve(out, aws, name, 0, err);
    if (rc != MRP_E_NOTFOUND)
        return rc;
    if (named) { /* whoever names a profile wants that one */
        err->code = MRP_E_AUTH;
        return MRP_E_AUTH;
    }
    mrp_buf_addf(tried, "profile %s (not found)", name);
    return MRP_E_NOTFOUND;
}
