/* The access token of an IAM Identity Center session: from the cache that `aws sso login` fills,
 * renewed with the session's refresh token as the AWS CLI does. */
#include "chain.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#define CACHE_MAX ((size_t)1 << 20)
#define RENEW_BEFORE_MS (15 * 60 * 1000) /* the AWS CLI's */
#define LIFETIME_MAX_S (10 * 366 * 86400)

enum { LOCK_MS = 20000, LOCK_STEP_MS = 50 };

/* The cache file is named by the SHA-1 of the session's name, or of the start URL in the old form.
 */
static char *cache_path(const struct mrp_aws *aws, const char *key)
{
    const char *home = aws_env(aws, "HOME");
    unsigned char sum[20] = {0};
    EVP_Digest(key, strlen(key), sum, NULL, EVP_sha1(), NULL);
    mrp_auto(mrp_free_str) char *hex = mrp_hex(sum, sizeof sum);
    return home && hex ? mrp_strf("%s/.aws/sso/cache/%s.json", home, hex) : NULL;
}

int sso_login_hint(const struct sso_session *s, struct mrp_error *err)
{
    if (s->name)
        mrp_hint(err, "run `aws sso login --sso-session %s`", s->name);
    else
        mrp_hint(err, "run `aws sso login`");
    return err ? err->code : MRP_E_AUTH;
}

/* How long the cached token is good for; negative: not, or it is none. */
static int64_t left_ms(const json_t *cached)
{
    const char *token = mrp_json_str(cached, "accessToken");
    const char *expires = mrp_json_str(cached, "expiresAt");
    int64_t until = 0;
    if (!token || !*token || !expires || mrp_parse_iso8601(&until, expires) != 0)
        return -1;
    return until - mrp_wall_ms();
}

/* One process renews, the others wait and find what it wrote. The folder itself is locked: a file
 * for that would stay behind in it. Without a lock it goes on, as the AWS CLI does. */
static int take_lock(int *out, const struct mrp_aws *aws, const char *path, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *folder = mrp_strndup(path, (size_t)(mrp_basename(path) - path));
    int64_t end = mrp_now_ms() + LOCK_MS;
    if (!folder || (*out = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return 0;
    while (flock(*out, LOCK_EX | LOCK_NB) != 0 && mrp_now_ms() < end) {
        int rc = mrp_http_sleep(aws->http, LOCK_STEP_MS, err);
        if (rc)
            return rc;
    }
    return 0;
}

static void read_again(json_t **cached, const char *path)
{
    struct mrp_error ignored = {0};
    json_t *now = NULL;
    if (mrp_json_read(&now, path, CACHE_MAX, &ignored) != 0)
        return;
    json_decref(*cached);
    *cached = now;
}

static int check_registration(const json_t *cached, struct mrp_error *err)
{
    static const char *const needed[] = {"refreshToken", "clientId", "clientSecret",
                                         "registrationExpiresAt"};
    for (size_t i = 0; i < MRP_COUNT(needed); i++)
        if (!mrp_json_str(cached, needed[i]))
            return mrp_fail(err, MRP_E_AUTH, "its cache file has no %s", needed[i]);
    int64_t until = 0;
    const char *expires = mrp_json_str(cached, "registrationExpiresAt");
    if (mrp_parse_iso8601(&until, expires) != 0)
        return mrp_fail(err, MRP_E_AUTH, "registrationExpiresAt `%.40s` is no date", expires);
    if (until <= mrp_wall_ms())
        return mrp_fail(err, MRP_E_AUTH, "the registration of the client ended at %.40s", expires);
    return 0;
}

static int create_token(json_t **out,
                        struct mrp_aws *aws,
                        const struct sso_session *s,
                        const json_t *cached,
                        struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *input = json_pack(
        "{s:s, s:s, s:s, s:s}", "grantType", "refresh_token", "clientId",
        mrp_json_str(cached, "clientId"), "clientSecret", mrp_json_str(cached, "clientSecret"),
        "refreshToken", mrp_json_str(cached, "refreshToken"));
    const struct mrp_aws_request ask = {
        .service = "sso-oidc", .region = s->region, .operation = "POST /token", .input = input};
    if (!input)
        return mrp_fail(err, MRP_E_NOMEM, "renew the SSO token");
    int rc = aws_call_as(out, aws, NULL, &ask, err);
    if (rc == MRP_E_REMOTE && err && err->upstream >= 400 && err->upstream < 500)
        err->code = rc = MRP_E_AUTH; /* the grant is refused, not the request */
    return rc;
}

/* The cached members, with those of the answer; what is not known stays. */
static int merge(json_t **out,
                 const struct sso_session *s,
                 const json_t *cached,
                 const json_t *answer,
                 struct mrp_error *err)
{
    const char *token = mrp_json_str(answer, "accessToken");
    const char *refresh = mrp_json_str(answer, "refreshToken");
    int64_t lifetime = mrp_json_int(answer, "expiresIn", 0);
    char when[40];
    if (!token || !*token || lifetime <= 0 || lifetime > LIFETIME_MAX_S)
        return mrp_fail(err, MRP_E_REMOTE, "the answer of sso-oidc holds no token");
    mrp_auto(mrp_free_json) json_t *j = json_deep_copy(cached);
    mrp_iso8601(when, sizeof when, mrp_wall_ms() + lifetime * 1000, false);
    if (!j || mrp_json_puts(j, "startUrl", s->start) || mrp_json_puts(j, "region", s->region) ||
        mrp_json_puts(j, "accessToken", token) || mrp_json_puts(j, "expiresAt", when) ||
        (refresh && *refresh && mrp_json_puts(j, "refreshToken", refresh)))
        return mrp_fail(err, MRP_E_NOMEM, "renew the SSO token");
    *out = mrp_take_json(&j);
    return 0;
}

static void save(const struct mrp_aws *aws, const char *path, const json_t *cached)
{
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *text = mrp_json_text(cached);
    if (text && mrp_file_write(path, text, strlen(text), 0600, false, &err) != 0 && aws->stage)
        mrp_log(aws->stage, MRP_WARN, "the renewed SSO token is not kept: %s", err.msg);
    if (text)
        explicit_bzero(text, strlen(text));
}

/* *cached becomes what is valid now. */
static int renew(json_t **cached,
                 struct mrp_aws *aws,
                 const struct sso_session *s,
                 const char *path,
                 struct mrp_error *err)
{
    mrp_auto(mrp_close_fd) int lock = -1;
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    json_t *renewed = NULL;
    int rc = take_lock(&lock, aws, path, err);
    if (rc)
        return rc;
    read_again(cached, path);
    if (left_ms(*cached) >= RENEW_BEFORE_MS)
        return 0;
    rc = check_registration(*cached, err);
    if (rc == 0)
        rc = create_token(&answer, aws, s, *cached, err);
    if (rc == 0)
        rc = merge(&renewed, s, *cached, answer, err);
    if (rc) {
        read_again(cached, path); /* the AWS CLI, which knows no lock, may have been faster */
        return left_ms(*cached) >= RENEW_BEFORE_MS ? 0 : rc;
    }
    save(aws, path, renewed);
    json_decref(*cached);
    *cached = renewed;
    return 0;
}

int sso_token(char **out, struct mrp_aws *aws, const struct sso_session *s, struct mrp_error *err)
{
    const char *key = s->name ? s->name : s->start;
    mrp_auto(mrp_free_str) char *path = cache_path(aws, key);
    mrp_auto(mrp_free_json) json_t *cached = NULL;
    struct mrp_error why = {0};
    if (!path || mrp_json_read(&cached, path, CACHE_MAX, &why) != 0) {
        mrp_fail(err, MRP_E_AUTH, "no cached token for the SSO session %s", key);
        return sso_login_hint(s, err);
    }
    int rc = 0;
    if (s->name && left_ms(cached) < RENEW_BEFORE_MS)
        rc = renew(&cached, aws, s, path, &why);
    if (left_ms(cached) <= 0) {
        mrp_fail(err, rc ? (enum mrp_code)rc : MRP_E_AUTH,
                 "the cached token of the SSO session %s has expired%s%s", key,
                 rc ? " and cannot be renewed: " : "", why.msg);
        return rc && rc != MRP_E_AUTH ? rc : sso_login_hint(s, err);
    }
    if (rc && aws->stage)
        mrp_log(aws->stage, MRP_INFO,
                "the token of the SSO session %s ends soon and is not renewed: %s", key, why.msg);
    *out = mrp_strdup(mrp_json_str(cached, "accessToken"));
    return *out ? 0 : mrp_fail(err, MRP_E_NOMEM, "read the SSO token");
}
