/* Every credential provider, the chain, renewal, and the stage's role. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client.h"
#include "server.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/host.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct server *server;
static struct mrp_http *http;
static struct mrp_error err;
static char *home;
static atomic_uint assumed;
static atomic_int lifetime_s; /* of what STS and the container give out */
static char last_sts[4096];

static void expiry(char *out, size_t size)
{
    mrp_iso8601(out, size, mrp_wall_ms() + 1000 * (int64_t)atomic_load(&lifetime_s), false);
}

static void sts(struct hit *hit)
{
    char when[40];
    char auth[300] = "";
    char body[1024];
    expiry(when, sizeof when);
    hit_header(hit, "Authorization", auth, sizeof auth);
    snprintf(last_sts, sizeof last_sts, "%.40s|%.3000s",
             auth[0] ? strstr(auth, "Credential=") + 11 : "", hit->body);
    unsigned n = atomic_fetch_add(&assumed, 1);
    if (strstr(hit->body, "forbidden")) {
        answer(hit, 403, "",
               "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not that "
               "role</Message></Error></ErrorResponse>");
        return;
    }
    const char *op = strstr(hit->body, "Action=AssumeRoleWithWebIdentity&")
                         ? "AssumeRoleWithWebIdentity"
                         : "AssumeRole";
    snprintf(body, sizeof body,
             "<%sResponse><%sResult><Credentials><AccessKeyId>ASIA%u</"
             "AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
             "<SessionToken>tok</SessionToken><Expiration>%s</Expiration></Credentials></"
             "%sResult></%sResponse>",
             op, op, n, when, op, op);
    answer(hit, 200, "", body);
}

static atomic_uint renewals;
static char last_token[2048];

/* sso-oidc CreateToken: what the refresh token is called says how it goes. */
static void create_token(struct hit *hit)
{
    char auth[64];
    atomic_fetch_add(&renewals, 1);
    snprintf(last_token, sizeof last_token, "%.10s %.60s %.1900s", hit->method,
             hit_header(hit, "Authorization", auth, sizeof auth) ? "signed" : "unsigned",
             hit->body);
    if (strstr(hit->body, "\"good\""))
        answer(hit, 200, "",
               "{\"accessToken\":\"sso-token\",\"expiresIn\":28800,\"refreshToken\":\"next\","
               "\"tokenType\":\"Bearer\"}");
    else if (strstr(hit->body, "\"plain\""))
        answer(hit, 200, "", "{\"accessToken\":\"sso-token\",\"expiresIn\":28800}");
    else if (strstr(hit->body, "\"junk\""))
        answer(hit, 200, "", "{\"accessToken\":7,\"expiresIn\":-1}");
    else
        answer(hit, 400, "x-amzn-ErrorType: InvalidGrantException\r\n",
               "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid refresh token "
               "provided\"}");
}

static void handle(void *arg, struct hit *hit)
{
    (void)arg;
    char when[40];
    char body[512];
    char token[128] = "";
    expiry(when, sizeof when);
    snprintf(body, sizeof body,
             "{\"AccessKeyId\":\"ASIACONTAINER\",\"SecretAccessKey\":\"s\",\"Token\":\"t\","
             "\"Expiration\":\"%s\"}",
             when);
    if (mrp_starts(hit->body, "Action=")) {
        sts(hit);
    } else if (mrp_starts(hit->target, "/container")) {
        hit_header(hit, "Authorization", token, sizeof token);
        if (strcmp(token, "open sesame") == 0)
            answer(hit, 200, "", body);
        else
            answer(hit, 401, "", "who are you");
    } else if (strcmp(hit->target, "/latest/api/token") == 0 && strcmp(hit->method, "PUT") == 0) {
        answer(hit, 200, "", "imds-token\n");
    } else if (mrp_starts(hit->target, "/latest/meta-data/iam/security-credentials/")) {
        hit_header(hit, "X-aws-ec2-metadata-token", token, sizeof token);
        bool role = mrp_ends(hit->target, "/my-role");
        if (strcmp(token, "imds-token") != 0)
            answer(hit, 401, "", "");
        else
            answer(hit, 200, "", role ? body : "my-role");
    } else if (strcmp(hit->target, "/oidc/token") == 0) {
        create_token(hit);
    } else if (mrp_starts(hit->target, "/federation/credentials?role_name=R&account_id=1")) {
        hit_header(hit, "x-amz-sso_bearer_token", token, sizeof token);
        if (strcmp(token, "sso-token") == 0)
            answer(hit, 200, "",
                   "{\"roleCredentials\":{\"accessKeyId\":\"ASIASSO\",\"secretAccessKey\":\"s\","
                   "\"sessionToken\":\"t\",\"expiration\":4102444800000}}");
        else
            answer(hit, 401, "", "{\"message\":\"bad token\"}");
    } else {
        answer(hit, 404, "", "");
    }
}

static void clear(void)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_CREDENTIAL_EXPIRATION",
                                        "AWS_PROFILE",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_ROLE_ARN",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                        "AWS_EC2_METADATA_SERVICE_ENDPOINT"};
    for (size_t i = 0; i < MRP_COUNT(names); i++)
        unsetenv(names[i]);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("HOME", home, 1);
    setenv("AWS_ENDPOINT_URL", server_url(server), 1);
    atomic_store(&lifetime_s, 3600);
}

static void write_home(const char *name, const char *text)
{
    mrp_auto(mrp_free_str) char *path = mrp_strf("%s/%s", home, name);
    mrp_auto(mrp_free_str) char *folder = mrp_strndup(path, (size_t)(strrchr(path, '/') - path));
    assert_int_equal(mrp_mkdirs(folder, &err), 0);
    assert_int_equal(mrp_file_write(path, text, strlen(text), 0600, false, &err), 0);
}

/* Ask a new client; the access key, or "" and err. Owned. */
static char *key_of(const char **source)
{
    err = (struct mrp_error){0};
    mrp_auto(mrp_aws_free) struct mrp_aws *aws = NULL;
    assert_int_equal(mrp_aws_new(&aws, http, NULL, &err), 0);
    struct mrp_credentials c = {0};
    int rc = mrp_aws_credentials(&c, aws, &err);
    char *key = mrp_strdup(rc ? "" : c.access_key);
    if (source)
        *source = c.source ? c.source : "";
    mrp_credentials_done(&c);
    if (rc)
        assert_int_equal(err.code, rc);
    return key;
}

static void expect(const char *wanted)
{
    mrp_auto(mrp_free_str) char *key = key_of(NULL);
    if (!mrp_starts(key, wanted) || (!*wanted && *key))
        fail_msg("got `%s` and not `%s`: %s", key, wanted, err.msg);
}

static void environment(void **state)
{
    (void)state;
    clear();
    setenv("AWS_ACCESS_KEY_ID", "AKIDENV", 1);
    expect("");
    assert_non_null(strstr(err.msg, "AWS_SECRET_ACCESS_KEY"));
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    expect("AKIDENV");
    setenv("AWS_CREDENTIAL_EXPIRATION", "2001-01-01T00:00:00Z", 1);
    expect("");
    assert_non_null(strstr(err.msg, "expired"));
}

static void nothing(void **state)
{
    (void)state;
    clear();
    expect("");
    assert_int_equal(err.code, MRP_E_AUTH);
    static const char *const words[] = {"environment", "web identity", "profile default",
                                        "container", "instance metadata"};
    for (size_t i = 0; i < MRP_COUNT(words); i++)
        assert_non_null(strstr(err.hint, words[i]));
}

static void web_identity(void **state)
{
    (void)state;
    clear();
    write_home("web.token", "eyJ.abc\n");
    mrp_auto(mrp_free_str) char *path = mrp_strf("%s/web.token", home);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", path, 1);
    expect("");
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/web", 1);
    expect("ASIA");
    assert_true(mrp_starts(last_sts, "|Action=AssumeRoleWithWebIdentity&")); /* not signed */
    assert_non_null(strstr(last_sts, "WebIdentityToken=eyJ.abc"));
}

static void profiles(void **state)
{
    (void)state;
    clear();
    write_home(
        ".aws/credentials",
        "[default]\naws_access_key_id=AKIDDEFAULT\naws_secret_access_key=s\n"
        "[base]\naws_access_key_id=AKIDBASE\naws_secret_access_key=s\naws_session_token=t\n");
    mrp_auto(mrp_free_str) char *config = mrp_strf(
        "[default]\nregion=eu-west-1\n"
        "[profile role]\nrole_arn=arn:aws:iam::1:role/x\nsource_profile=base\nexternal_id=ext 1\n"
        "role_session_name=me\nduration_seconds=900\n"
        "[profile twice]\nrole_arn=arn:aws:iam::1:role/y\nsource_profile=role\n"
        "[profile envrole]\nrole_arn=arn:aws:iam::1:role/z\ncredential_source=Environment\n"
        "[profile denied]\nrole_arn=arn:aws:iam::1:role/forbidden\nsource_profile=base\n"
        "[profile mfa]\nrole_arn=arn:aws:iam::1:role/x\nsource_profile=base\nmfa_serial=x\n"
        "[profile a]\nrole_arn=r\nsource_profile=b\n[profile b]\nrole_arn=r\nsource_profile=a\n"
        "[profile cmd]\ncredential_process = /bin/sh -c 'echo "
        "\"{\\\"Version\\\":1,\\\"AccessKeyId\\\":"
        "\\\"AKIDCMD\\\",\\\"SecretAccessKey\\\":\\\"s\\\"}\"'\n"
        "[profile badcmd]\ncredential_process = /bin/false\n"
        "[profile nocmd]\ncredential_process = /no/such/command\n"
        "[profile sso]\nsso_session=main\nsso_account_id=1\nsso_role_name=R\n"
        "[sso-session main]\nsso_region=eu-west-1\nsso_start_url=https://x\n"
        "[profile "
        "oldsso]\nsso_region=eu-west-1\nsso_start_url=https://"
        "x\nsso_account_id=1\nsso_role_name=R\n");
    write_home(".aws/config", config);
    expect("AKIDDEFAULT");
    setenv("AWS_PROFILE", "role", 1);
    expect("ASIA");
    assert_true(mrp_starts(last_sts, "AKIDBASE/"));
    assert_non_null(strstr(last_sts, "ExternalId=ext%201"));
    assert_non_null(strstr(last_sts, "RoleSessionName=me"));
    assert_non_null(strstr(last_sts, "DurationSeconds=900"));
    setenv("AWS_PROFILE", "twice", 1);
    expect("ASIA");
    assert_true(mrp_starts(last_sts, "ASIA"));
    setenv("AWS_PROFILE", "denied", 1);
    expect("");
    assert_non_null(strstr(err.msg, "not that role"));
    setenv("AWS_PROFILE", "mfa", 1);
    expect("");
    setenv("AWS_PROFILE", "a", 1);
    expect("");
    assert_non_null(strstr(err.msg, "each other"));
    setenv("AWS_PROFILE", "unknown", 1);
    expect("");
    assert_non_null(strstr(err.msg, "unknown"));
    setenv("AWS_PROFILE", "cmd", 1);
    expect("AKIDCMD");
    setenv("AWS_PROFILE", "badcmd", 1);
    expect("");
    assert_non_null(strstr(err.msg, "exit 1"));
    setenv("AWS_PROFILE", "nocmd", 1);
    expect("");
}

static int use(void *arg, struct mrp_error *e)
{
    struct mrp_credentials c = {0};
    int rc = mrp_aws_credentials(&c, arg, e);
    mrp_credentials_done(&c);
    return rc;
}

static void sso(void **state)
{
    (void)state;
    clear();
    setenv("AWS_PROFILE", "sso", 1);
    expect("");
    assert_non_null(strstr(err.hint, "aws sso login"));
    /* SHA-1 of "main" and of "https://x" */
    write_home(".aws/sso/cache/b28b7af69320201d1cf206ebf28373980add1451.json",
               "{\"accessToken\":\"sso-token\",\"expiresAt\":\"2099-01-01T00:00:00Z\"}");
    expect("ASIASSO");
    setenv("AWS_PROFILE", "oldsso", 1);
    expect("");
    write_home(".aws/sso/cache/b28b7af69320201d1cf206ebf28373980add1451.json",
               "{\"accessToken\":\"sso-token\",\"expiresAt\":\"2001-01-01T00:00:00Z\"}");
    setenv("AWS_PROFILE", "sso", 1);
    expect("");
    assert_non_null(strstr(err.msg, "expired"));
    assert_string_equal(err.hint, "run `aws sso login --sso-session main`");
}

#define CACHE ".aws/sso/cache/b28b7af69320201d1cf206ebf28373980add1451.json"

static void write_cache(int64_t left_s, const char *refresh, const char *registration)
{
    char when[40];
    mrp_iso8601(when, sizeof when, mrp_wall_ms() + left_s * 1000, false);
    mrp_auto(mrp_free_str) char *text =
        mrp_strf("{\"startUrl\":\"https://x\",\"region\":\"eu-west-1\",\"accessToken\":\"%s\","
                 "\"expiresAt\":\"%s\",\"clientId\":\"id\",\"clientSecret\":\"cs\",%s%s%s"
                 "\"registrationExpiresAt\":\"%s\",\"own\":[1]}",
                 left_s > 0 ? "sso-token" : "old-token", when, refresh ? "\"refreshToken\":\"" : "",
                 refresh ? refresh : "", refresh ? "\"," : "", registration);
    write_home(CACHE, text);
    atomic_store(&renewals, 0);
}

static json_t *read_cache(void)
{
    json_t *j = NULL;
    mrp_auto(mrp_free_str) char *path = mrp_strf("%s/%s", home, CACHE);
    assert_int_equal(mrp_json_read(&j, path, 1 << 20, &err), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    return j;
}

static void sso_renewed(void **state)
{
    (void)state;
    clear();
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s/oidc", server_url(server));
    setenv("AWS_ENDPOINT_URL_SSO_OIDC", url, 1);
    setenv("AWS_PROFILE", "sso", 1);
    write_cache(-60, "good", "2099-01-01T00:00:00Z");
    expect("ASIASSO");
    assert_string_equal(last_token, "POST unsigned {\"grantType\":\"refresh_token\",\"clientId\":"
                                    "\"id\",\"clientSecret\":\"cs\",\"refreshToken\":\"good\"}");
    mrp_auto(mrp_free_json) json_t *kept = read_cache();
    assert_string_equal(mrp_json_str(kept, "accessToken"), "sso-token");
    assert_string_equal(mrp_json_str(kept, "refreshToken"), "next");
    assert_string_equal(mrp_json_str(kept, "clientSecret"), "cs");
    assert_int_equal(json_array_size(mrp_json_arr(kept, "own")), 1);
    int64_t until = 0;
    assert_int_equal(mrp_parse_iso8601(&until, mrp_json_str(kept, "expiresAt")), 0);
    assert_true(until > mrp_wall_ms() + 28700 * 1000 && until <= mrp_wall_ms() + 28800 * 1000);
    expect("ASIASSO"); /* from the cache now */
    assert_int_equal(atomic_load(&renewals), 1);
    /* an answer without a new refresh token leaves the old one good */
    write_cache(-60, "plain", "2099-01-01T00:00:00Z");
    expect("ASIASSO");
    mrp_auto(mrp_free_json) json_t *plain = read_cache();
    assert_string_equal(mrp_json_str(plain, "refreshToken"), "plain");
    unsetenv("AWS_ENDPOINT_URL_SSO_OIDC");
}

static void sso_not_renewed(void **state)
{
    (void)state;
    static const struct {
        const char *refresh, *registration, *says;
        unsigned renewals;
    } cases[] = {
        {"good", "2001-01-01T00:00:00Z", "registration of the client ended at 2001-01-01", 0},
        {"good", "soon", "`soon` is no date", 0},
        {NULL, "2099-01-01T00:00:00Z", "no refreshToken", 0},
        {"bad", "2099-01-01T00:00:00Z", "InvalidGrantException: Invalid refresh token", 1},
        {"junk", "2099-01-01T00:00:00Z", "holds no token", 1},
    };
    clear();
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s/oidc", server_url(server));
    setenv("AWS_ENDPOINT_URL_SSO_OIDC", url, 1);
    setenv("AWS_PROFILE", "sso", 1);
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        write_cache(-60, cases[i].refresh, cases[i].registration);
        expect("");
        if (!strstr(err.msg, cases[i].says) || strstr(err.msg, "\"cs\""))
            fail_msg("%s: %s", cases[i].says, err.msg);
        assert_int_equal(atomic_load(&renewals), cases[i].renewals);
        if (err.code == MRP_E_AUTH)
            assert_string_equal(err.hint, "run `aws sso login --sso-session main`");
        mrp_auto(mrp_free_json) json_t *kept = read_cache();
        assert_string_equal(mrp_json_str(kept, "accessToken"), "old-token");
    }
    /* one that still lasts a while is good enough */
    write_cache(300, "bad", "2099-01-01T00:00:00Z");
    expect("ASIASSO");
    assert_int_equal(atomic_load(&renewals), 1);
    /* the old form has nothing to renew with */
    setenv("AWS_PROFILE", "oldsso", 1);
    expect("");
    assert_string_equal(err.hint, "run `aws sso login`");
    assert_int_equal(atomic_load(&renewals), 1);
    unsetenv("AWS_ENDPOINT_URL_SSO_OIDC");
}

/* Clients of several workers at the same moment: the refresh token is used once. */
static void sso_renewed_once(void **state)
{
    (void)state;
    clear();
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s/oidc", server_url(server));
    setenv("AWS_ENDPOINT_URL_SSO_OIDC", url, 1);
    setenv("AWS_PROFILE", "sso", 1);
    write_cache(-60, "good", "2099-01-01T00:00:00Z");
    struct mrp_aws *clients[5] = {0};
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    for (size_t i = 0; i < MRP_COUNT(clients); i++) {
        assert_int_equal(mrp_aws_new(&clients[i], http, NULL, &err), 0);
        assert_int_equal(mrp_group_spawn(group, use, clients[i], &err), 0);
    }
    if (mrp_group_wait(group, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(atomic_load(&renewals), 1);
    for (size_t i = 0; i < MRP_COUNT(clients); i++)
        mrp_aws_free(&clients[i]);
    unsetenv("AWS_ENDPOINT_URL_SSO_OIDC");
    write_home(".aws/config", "");
    write_home(".aws/credentials", "");
}

static void container(void **state)
{
    (void)state;
    clear();
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s/container", server_url(server));
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    expect("");
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "open sesame", 1);
    expect("ASIACONTAINER");
    unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    write_home("container.token", "open sesame\n");
    mrp_auto(mrp_free_str) char *path = mrp_strf("%s/container.token", home);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path, 1);
    expect("ASIACONTAINER");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/x", 1);
    expect("");
    assert_int_equal(err.code, MRP_E_CONFIG);
}

static void metadata(void **state)
{
    (void)state;
    clear();
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server_url(server), 1);
    expect("ASIACONTAINER");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1/", 1);
    expect("");
    assert_non_null(strstr(err.hint, "no answer"));
}

static void stage_role(void **state)
{
    (void)state;
    clear();
    setenv("AWS_ACCESS_KEY_ID", "AKIDENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    static char *none[] = {NULL};
    struct mrp_stage_init init = {.id = "t",
                                  .run_id = "r",
                                  .region = "us-east-1",
                                  .primary = "us-east-1",
                                  .secondaries = none,
                                  .workdir = ".",
                                  .rundir = ".",
                                  .role_arn = "arn:aws:iam::2:role/stage"};
    struct mrp_stage *stage = mrp_stage_new(&init);
    mrp_auto(mrp_aws_free) struct mrp_aws *aws = NULL;
    assert_int_equal(mrp_aws_new(&aws, http, stage, &err), 0);
    /* many tasks ask at once: one question to STS */
    atomic_store(&assumed, 0);
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(mrp_group_spawn(group, use, aws, &err), 0);
    assert_int_equal(mrp_group_wait(group, &err), 0);
    assert_int_equal(atomic_load(&assumed), 1);
    assert_true(mrp_starts(last_sts, "AKIDENV/"));
    assert_non_null(strstr(last_sts, "role%2Fstage"));
    /* kept while fresh, renewed five minutes before the end, the old ones used if that fails */
    assert_int_equal(use(aws, &err), 0);
    assert_int_equal(atomic_load(&assumed), 1);
    aws->credentials.expires_ms = mrp_wall_ms() + 4 * 60 * 1000;
    assert_int_equal(use(aws, &err), 0);
    assert_int_equal(atomic_load(&assumed), 2);
    aws->credentials.expires_ms = mrp_wall_ms() + 4 * 60 * 1000;
    unsetenv("AWS_SECRET_ACCESS_KEY");
    assert_int_equal(use(aws, &err), 0);
    aws->credentials.expires_ms = mrp_wall_ms() - 1;
    assert_int_equal(use(aws, &err), MRP_E_AUTH);
    mrp_stage_free(stage);
}

/* A client of a named profile takes nothing from the environment. */
static void named_profile(void **state)
{
    (void)state;
    clear();
    write_home(".aws/config", "[profile own]\nregion=eu-north-1\n[profile bare]\noutput=json\n");
    write_home(".aws/credentials", "[own]\naws_access_key_id=AKIDOWN\naws_secret_access_key=s\n");
    setenv("AWS_ACCESS_KEY_ID", "AKIDENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    setenv("AWS_REGION", "eu-west-3", 1);
    mrp_auto(mrp_aws_free) struct mrp_aws *own = NULL;
    mrp_auto(mrp_aws_free) struct mrp_aws *bare = NULL;
    assert_int_equal(mrp_aws_new_profile(&own, http, NULL, "own", &err), 0);
    assert_string_equal(mrp_aws_region(own), "eu-north-1");
    struct mrp_credentials c = {0};
    assert_int_equal(mrp_aws_credentials(&c, own, &err), 0);
    assert_string_equal(c.access_key, "AKIDOWN");
    mrp_credentials_done(&c);
    assert_int_equal(mrp_aws_new_profile(&bare, http, NULL, "bare", &err), 0);
    assert_string_equal(mrp_aws_region(bare), "eu-west-3");
    assert_int_equal(mrp_aws_credentials(&c, bare, &err), MRP_E_AUTH);
    unsetenv("AWS_REGION");
}

/* Twenty tasks without credentials ask the metadata service once, not twenty times. */
static void one_refusal_for_all(void **state)
{
    (void)state;
    clear();
    unsetenv("AWS_EC2_METADATA_DISABLED");
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s/wrong", server_url(server));
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url, 1);
    mrp_auto(mrp_aws_free) struct mrp_aws *aws = NULL;
    assert_int_equal(mrp_aws_new(&aws, http, NULL, &err), 0);
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 0, &err), 0);
    unsigned hits = server_hits(server);
    for (int i = 0; i < 20; i++)
        assert_int_equal(mrp_group_spawn(group, use, aws, &err), 0);
    assert_int_equal(mrp_group_wait(group, &err), MRP_E_AUTH);
    assert_int_equal(server_hits(server), hits + 1);
}

static int start_all(void **state)
{
    (void)state;
    server = server_start(handle, NULL);
    if (mrp_temp_dir(&home, "net-credentials", &err) != 0)
        return -1;
    return mrp_http_new(&http, NULL, &err);
}

static int stop_all(void **state)
{
    (void)state;
    mrp_http_free(&http);
    server_stop(server);
    mrp_remove_tree(home, &err);
    free(home);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(environment),
        cmocka_unit_test(nothing),
        cmocka_unit_test(web_identity),
        cmocka_unit_test(profiles),
        cmocka_unit_test(sso),
        cmocka_unit_test(sso_renewed),
        cmocka_unit_test(sso_not_renewed),
        cmocka_unit_test(sso_renewed_once),
        cmocka_unit_test(container),
        cmocka_unit_test(metadata),
        cmocka_unit_test(stage_role),
        cmocka_unit_test(one_refusal_for_all),
        cmocka_unit_test(named_profile),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
