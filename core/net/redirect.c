/* Redirects by our own rules: few hops, no loops, no credentials for strangers, no way down to
 * http. */
#include "call.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>
#include <mrpipe/url.h>

#include <stdlib.h>
#include <string.h>

static void url_done(struct mrp_url *url)
{
    mrp_url_done(url);
}

char *url_origin(const char *url)
{
    struct mrp_error ignored = {0};
    mrp_auto(url_done) struct mrp_url parsed = {0};
    if (mrp_url_parse(&parsed, url, &ignored) != 0)
        return NULL;
    mrp_auto(mrp_free_str) char *authority = mrp_url_authority(&parsed);
    return authority ? mrp_strf("%s://%s", parsed.scheme, authority) : NULL;
}

bool redirect_wanted(const struct mrp_http_call *call)
{
    int status = call->resp->status;
    if (call->flags & MRP_HTTP_NO_REDIRECT)
        return false;
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool is_read(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* 303 always becomes a GET; 301 and 302 turn a POST into a GET, as all clients do. */
static int change_method(struct mrp_http_call *call, struct mrp_error *err)
{
    int status = call->resp->status;
    bool to_get = (status == 303 && !is_read(call->method)) ||
                  ((status == 301 || status == 302) && strcmp(call->method, "POST") == 0);
    if (!to_get) {
        if (call_rewind(call) == 0)
            return 0;
        return mrp_fail(err, MRP_E_REMOTE,
                        "%s: HTTP %d asks to send the body elsewhere, and it cannot be sent twice",
                        call->what, status);
    }
    char *method = mrp_strdup("GET");
    if (!method)
        return mrp_fail(err, MRP_E_NOMEM, "%s", call->what);
    free(call->method);
    call->method = method;
    call->has_body = false;
    call->body_len = 0;
    call->has_source = false;
    return 0;
}

static int
check_hop(struct mrp_http_call *call, const char *here, const char *to, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *shown = mrp_url_redact(to);
    bool http = mrp_starts(to, "http://");
    if (!http && !mrp_starts(to, "https://"))
        return mrp_fail(err, MRP_E_REMOTE, "%s: redirected to `%.200s`, which is not HTTP",
                        call->what, shown);
    if (http && mrp_starts(call->url, "https://"))
        return mrp_fail(err, MRP_E_REMOTE, "%s: refused a redirect from https to http: %.200s",
                        call->what, shown);
    if (++call->hops > MAX_HOPS)
        return mrp_fail(err, MRP_E_REMOTE, "%s: more than %u redirects", call->what, MAX_HOPS);
    mrp_auto(mrp_free_str) char *there = mrp_strf("%s %s", call->method, to);
    if (!here || !there || mrp_strv_add(&call->seen, here) != 0)
        return mrp_fail(err, MRP_E_NOMEM, "%s", call->what);
    if (mrp_strv_has(call->seen, there))
        return mrp_fail(err, MRP_E_REMOTE, "%s: redirects go round in a circle at %.200s",
                        call->what, shown);
    return 0;
}

int redirect_follow(struct mrp_http_call *call, struct mrp_error *err)
{
    const char *location = mrp_headers_get(&call->resp->headers, "Location");
    if (!location)
        return mrp_fail(err, MRP_E_REMOTE, "%s: HTTP %d without a Location", call->what,
                        call->resp->status);
    mrp_auto(mrp_free_str) char *to = mrp_url_resolve(call->url, location);
    mrp_auto(mrp_free_str) char *origin = to ? url_origin(to) : NULL;
    if (!origin)
        return mrp_fail(err, MRP_E_REMOTE, "%s: redirected to a malformed address", call->what);
    mrp_auto(mrp_free_str) char *here = mrp_strf("%s %s", call->method, call->url);
    int rc = change_method(call, err);
    if (rc == 0)
        rc = check_hop(call, here, to, err);
    if (rc)
        return rc;
    if (strcmp(origin, call->home) != 0)
        call->left_home = true; /* for good: what comes back from a stranger is a stranger's */
    char *authority = mrp_strdup(strstr(origin, "://") + 3);
    if (!authority)
        return mrp_fail(err, MRP_E_NOMEM, "%s", call->what);
    call->slot = (struct slot){0}; /* released; the new host has its own lanes */
    free(call->authority);
    call->authority = authority;
    free(call->url);
    call->url = mrp_take_str(&to);
    return 0;
}
