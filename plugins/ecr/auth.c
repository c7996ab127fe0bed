/* Gets and keeps the Authorization values of a host: ECR tokens, Basic, Bearer tokens by scope. */
#include "dockercfg.h"
#include "hub.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdlib.h>
#include <string.h>

enum {
    RENEW_BEFORE_MS = 10 * 60 * 1000, /* of 12 hours: an ECR token */
    TOKEN_MARGIN_MS = 10 * 1000,
    TOKEN_DEFAULT_S = 60, /* by the token specification */
    TOKEN_MAX = 64 << 10
};

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "registry login");
}

/* Only one task of a host gets a token; the others wait for its result. */
static int lock(struct host *h, struct mrp_error *err)
{
    while (h->busy) {
        int rc = mrp_waitq_wait(&h->turn, h->hub->http, err);
        if (rc)
            return rc;
    }
    h->busy = true;
    return 0;
}

static void unlock(struct host *h)
{
    h->busy = false;
    mrp_waitq_wake(&h->turn, h->hub->http);
}

static char *basic_header(const char *user, const char *password)
{
    mrp_auto(mrp_free_str) char *pair = mrp_strf("%s:%s", user, password);
    mrp_auto(mrp_free_str) char *text = pair ? mrp_base64(pair, strlen(pair)) : NULL;
    return text ? mrp_strf("Basic %s", text) : NULL;
}

static int read_login(struct host *h, struct mrp_error *err)
{
    if (h->login_read)
        return 0;
    int rc = dockercfg_login(&h->user, &h->password, h->hub->http, h->hub->stage, h->name, err);
    if (rc)
        return mrp_wrap(err, "login of %s", h->name);
    h->login_read = true;
    if (h->password)
        mrp_secret(h->hub->stage, h->password);
    return 0;
}

static int take_ecr_token(struct host *h, const json_t *answer, struct mrp_error *err)
{
    const json_t *data = json_array_get(mrp_json_arr(answer, "authorizationData"), 0);
    const char *token = mrp_json_str(data, "authorizationToken");
    if (!token || !*token || strlen(token) > TOKEN_MAX)
        return mrp_fail(err, MRP_E_REMOTE,
                        "ecr GetAuthorizationToken in %s: no token in the answer", h->aws.region);
    double expires_s = mrp_json_real(data, "expiresAt", 0);
    int64_t now = mrp_wall_ms();
    int64_t until = expires_s > 0 && expires_s < 1e12 ? (int64_t)(expires_s * 1000) : 0;
    size_t n = 0;
    mrp_auto(mrp_free_str) char *pair = mrp_unbase64(&n, token, strlen(token));
    if (pair && strchr(pair, ':'))
        mrp_secret(h->hub->stage, strchr(pair, ':') + 1);
    mrp_secret(h->hub->stage, token);
    free(h->basic);
    h->basic = mrp_strf("Basic %s", token);
    h->basic_until_ms = until > now ? until : now + 12 * 3600 * (int64_t)1000;
    return h->basic ? 0 : nomem(err);
}

static int renew_ecr(struct host *h, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    int rc = mrp_aws_call(&answer, h->hub->aws, "ecr", h->aws.region, "GetAuthorizationToken", NULL,
                          err);
    if (!rc)
        return take_ecr_token(h, answer, err);
    if (rc != MRP_E_AUTH)
        return rc;
    /* No AWS credentials here, but docker may have been logged in by hand. */
    struct mrp_error other = {0};
    if (read_login(h, &other) || !h->user)
        return rc;
    free(h->basic);
    h->basic = basic_header(h->user, h->password);
    h->basic_until_ms = mrp_wall_ms() + 12 * 3600 * (int64_t)1000;
    return h->basic ? 0 : nomem(err);
}

static int ecr_authorization(char **out, struct host *h, struct mrp_error *err)
{
    int rc = lock(h, err);
    if (rc)
        return rc;
    if (!h->basic || h->basic_until_ms - RENEW_BEFORE_MS < mrp_wall_ms())
        rc = renew_ecr(h, err);
    unlock(h);
    if (rc)
        return rc;
    *out = mrp_strdup(h->basic);
    return *out ? 0 : nomem(err);
}

static char *make_scope(const char *repo, const char *from, bool push)
{
    if (!repo)
        return mrp_strdup("registry:catalog:*");
    return mrp_strf("repository:%s:pull%s%s%s%s", repo, push ? ",push" : "",
                    from ? " repository:" : "", from ? from : "", from ? ":pull" : "");
}

/* The query or form of a token request; scopes are blank-separated in ours, repeated on the wire in
 * a query, and blank-separated in a form. */
static char *token_fields(const struct host *h, const char *scope, bool form)
{
    struct mrp_buf b = MRP_BUF_INIT(TOKEN_MAX * 2);
    const char *service = h->ask.service ? h->ask.service : "";
    mrp_auto(mrp_free_str) char *s = mrp_percent(service, strlen(service), false);
    if (s && *s)
        mrp_buf_addf(&b, "service=%s&", s);
    if (form) {
        mrp_auto(mrp_free_str) char *secret = mrp_percent(h->password, strlen(h->password), false);
        mrp_auto(mrp_free_str) char *all = mrp_percent(scope, strlen(scope), false);
        mrp_buf_addf(&b, "grant_type=refresh_token&client_id=mrpipe&refresh_token=%s&scope=%s",
                     secret ? secret : "", all ? all : "");
    } else {
        struct mrp_view rest = mrp_view_str(scope);
        struct mrp_view one;
        for (bool first = true; mrp_view_next(&one, &rest, ' '); first = false) {
            mrp_auto(mrp_free_str) char *text = mrp_percent(one.p, one.n, true);
            mrp_buf_addf(&b, "%sscope=%s", first ? "" : "&", text ? text : "");
        }
    }
    return mrp_buf_take(&b);
}

static int realm_allowed(const struct host *h, struct mrp_error *err)
{
    const char *realm = h->ask.realm;
    if (!realm || !*realm)
        return mrp_fail(err, MRP_E_REMOTE, "%s asks for a Bearer token but names no realm",
                        h->name);
    if (mrp_starts(realm, "https://") || (h->plain && mrp_starts(realm, "http://")))
        return 0;
    mrp_fail(err, MRP_E_REMOTE, "%s sends for its token to %.200s, which is no https address",
             h->name, realm);
    return mrp_hint(err, "set `insecure: true` if this registry is yours and has no TLS");
}

static int
keep_token(struct host *h, const char *scope, const json_t *answer, struct mrp_error *err)
{
    const char *text = mrp_json_str(answer, "token");
    if (!text || !*text)
        text = mrp_json_str(answer, "access_token");
    if (!text || !*text || strpbrk(text, "\r\n"))
        return mrp_fail(err, MRP_E_REMOTE, "the token service of %s gave no token", h->name);
    int64_t seconds = mrp_json_int(answer, "expires_in", TOKEN_DEFAULT_S);
    if (seconds < TOKEN_DEFAULT_S)
        seconds = TOKEN_DEFAULT_S;
    if (seconds > 86400)
        seconds = 86400;
    mrp_secret(h->hub->stage, text);
    struct token *t = calloc(1, sizeof *t);
    if (!t)
        return nomem(err);
    t->scope = mrp_strdup(scope);
    t->header = mrp_strf("Bearer %s", text);
    t->until_ms = mrp_now_ms() + seconds * 1000 - TOKEN_MARGIN_MS;
    t->next = h->tokens;
    h->tokens = t;
    return t->scope && t->header ? 0 : nomem(err);
}

static int fetch_token(struct host *h, const char *scope, struct mrp_error *err)
{
    int rc = realm_allowed(h, err);
    if (rc)
        return rc;
    bool form = h->user && !strcmp(h->user, "<token>");
    mrp_auto(mrp_free_str) char *fields = token_fields(h, scope, form);
    const char *join = strchr(h->ask.realm, '?') ? "&" : "?";
    mrp_auto(mrp_free_str) char *url =
        form ? mrp_strdup(h->ask.realm) : mrp_strf("%s%s%s", h->ask.realm, join, fields);
    mrp_auto(mrp_free_str) char *basic =
        h->user && !form ? basic_header(h->user, h->password) : NULL;
    if (!fields || !url)
        return nomem(err);
    struct mrp_http_header headers[3] = {{0}};
    size_t n = 0;
    if (basic)
        headers[n++] = (struct mrp_http_header){"Authorization", basic};
    if (form)
        headers[n++] =
            (struct mrp_http_header){"Content-Type", "application/x-www-form-urlencoded"};
    mrp_auto(mrp_free_str) char *what = mrp_strf("token of %s for %s", h->name, scope);
    const struct mrp_http_request req = {.method = form ? "POST" : "GET",
                                         .url = url,
                                         .headers = headers,
                                         .body = form ? fields : NULL,
                                         .body_len = form ? strlen(fields) : 0,
                                         .max_body = 1 << 20,
                                         .flags = form ? MRP_HTTP_IDEMPOTENT : 0,
                                         .what = what};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    if ((rc = mrp_http_do(&resp, h->hub->http, &req, err)))
        return rc;
    if (resp.status != 200) {
        rc = mrp_http_status_error(&resp, what, err);
        if (resp.status == 401 || resp.status == 403)
            mrp_hint(err, "log in with `docker login %s`", h->name);
        return rc;
    }
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    rc = mrp_json_parse(&answer, mrp_buf_str(&resp.body), resp.body.len, what, err);
    return rc ? rc : keep_token(h, scope, answer, err);
}

static const char *find_token(struct host *h, const char *scope)
{
    for (struct token **at = &h->tokens; *at;) {
        struct token *t = *at;
        if (!t->scope || !t->header || t->until_ms < mrp_now_ms()) {
            *at = t->next;
            free(t->scope);
            free(t->header);
            free(t);
            continue;
        }
        if (!strcmp(t->scope, scope))
            return t->header;
        at = &t->next;
    }
    return NULL;
}

static int bearer(char **out, struct host *h, const char *scope, struct mrp_error *err)
{
    const char *have = find_token(h, scope);
    if (!have) {
        int rc = lock(h, err);
        if (rc)
            return rc;
        if (!find_token(h, scope))
            rc = fetch_token(h, scope, err);
        unlock(h);
        if (rc)
            return rc;
        have = find_token(h, scope);
    }
    *out = mrp_strdup(have);
    return *out ? 0 : nomem(err);
}

int host_authorization(char **out,
                       struct host *h,
                       const char *repo,
                       const char *from,
                       bool push,
                       struct mrp_error *err)
{
    *out = NULL;
    if (h->ecr)
        return ecr_authorization(out, h, err);
    int rc = lock(h, err);
    if (rc)
        return rc;
    rc = read_login(h, err);
    unlock(h);
    if (rc || h->ask.scheme == CHALLENGE_NONE)
        return rc;
    if (h->ask.scheme == CHALLENGE_BEARER) {
        mrp_auto(mrp_free_str) char *scope = make_scope(repo, from, push);
        return scope ? bearer(out, h, scope, err) : nomem(err);
    }
    if (!h->user)
        return 0;
    *out = basic_header(h->user, h->password);
    return *out ? 0 : nomem(err);
}

static void forget(struct host *h, const char *sent)
{
    for (struct token *t = h->tokens; t; t = t->next)
        if (mrp_streq(t->header, sent))
            t->until_ms = 0;
    if (h->ecr && mrp_streq(h->basic, sent))
        h->basic_until_ms = 0;
}

bool host_challenged(struct host *h, const struct mrp_http_response *resp, const char *sent)
{
    if (h->ecr) {
        forget(h, sent);
        return true;
    }
    if (resp->status != 401)
        return false;
    struct challenge ask = {0};
    for (size_t i = 0; i < resp->headers.count; i++)
        if (!strcasecmp(resp->headers.list[i].name, "WWW-Authenticate"))
            challenge_read(&ask, resp->headers.list[i].value);
    bool again = ask.scheme != CHALLENGE_NONE;
    if (sent) {
        forget(h, sent);
        again = again && mrp_starts(sent, "Bearer ");
    } else if (ask.scheme == CHALLENGE_BASIC) {
        again = h->user != NULL;
    }
    /* Another task may be reading the old one while it waits for its token. */
    if (ask.scheme != CHALLENGE_NONE && !h->busy) {
        challenge_done(&h->ask);
        h->ask = ask;
    } else {
        challenge_done(&ask);
    }
    return again;
}
