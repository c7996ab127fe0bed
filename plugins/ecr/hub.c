/* Makes and keeps the hosts and repositories of one run. */
#include "hub.h"
#include "dockercfg.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>
#include <mrpipe/url.h>

#include <stdlib.h>
#include <string.h>

int hub_new(struct hub **out,
            struct mrp_stage *stage,
            const struct hub_options *how,
            struct mrp_error *err)
{
    mrp_auto(hub_free) struct hub *hub = calloc(1, sizeof *hub);
    if (!hub)
        return mrp_fail(err, MRP_E_NOMEM, "registry client");
    hub->stage = stage;
    hub->insecure = how->insecure;
    hub->stall_ms = how->stall_ms;
    hub->parallel = how->parallel ? how->parallel : 64;
    int rc = mrp_http_new(&hub->http, stage, err);
    if (!rc)
        rc = mrp_aws_new(&hub->aws, hub->http, stage, err);
    if (rc)
        return rc;
    mrp_http_limit_bandwidth(hub->http, how->bandwidth);
    mrp_http_limit_connections(hub->http, hub->parallel, hub->parallel * 4);
    hub->small.most = hub->parallel;
    hub->big.most = (how->parallel_big ? how->parallel_big : 12) * GATE_LARGE;
    hub->progress.unit = "blobs";
    *out = hub;
    hub = NULL;
    return 0;
}

static void free_host(struct host *h)
{
    free(h->name);
    free(h->base);
    free(h->user);
    free(h->password);
    challenge_done(&h->ask);
    free(h->basic);
    while (h->tokens) {
        struct token *t = h->tokens;
        h->tokens = t->next;
        free(t->scope);
        free(t->header);
        free(t);
    }
    free(h);
}

void hub_free(struct hub **hub)
{
    struct hub *h = *hub;
    if (!h)
        return;
    /* The engine first: what is in flight looks at the hosts. */
    mrp_aws_free(&h->aws);
    mrp_http_free(&h->http);
    while (h->repos) {
        struct repo *r = h->repos;
        h->repos = r->next;
        free(r->refused);
        free(r->name);
        free(r);
    }
    while (h->hosts) {
        struct host *next = h->hosts->next;
        free_host(h->hosts);
        h->hosts = next;
    }
    free(h);
    *hub = NULL;
}

static bool is_loopback(const char *name)
{
    return mrp_streq(name, "localhost") || mrp_starts(name, "localhost:") ||
           mrp_starts(name, "127.") || mrp_starts(name, "[::1]");
}

/* Where the host is: a mapped address, http on the loopback, https anywhere else. */
static int find_base(struct host *h, struct mrp_error *err)
{
    const char *real = mrp_streq(h->name, "docker.io") ? "registry-1.docker.io" : h->name;
    mrp_auto(mrp_free_str) char *url = mrp_strf("https://%s", real);
    if (!url)
        return mrp_fail(err, MRP_E_NOMEM, "registry client");
    mrp_auto(mrp_free_str) char *mapped = NULL;
    int rc = mrp_aws_map_url(&mapped, h->hub->aws, url, err);
    if (rc)
        return rc;
    size_t n = strlen(mapped);
    while (n && mapped[n - 1] == '/')
        mapped[--n] = '\0';
    bool moved = strcmp(mapped, url) != 0;
    h->loopback = !moved && is_loopback(h->name);
    h->plain = h->loopback || h->hub->insecure || mrp_starts(mapped, "http://");
    if (moved)
        h->base = mrp_take_str(&mapped);
    else
        h->base = mrp_strf("%s://%s", h->plain ? "http" : "https", real);
    return h->base ? 0 : mrp_fail(err, MRP_E_NOMEM, "registry client");
}

int hub_failure(struct hub *hub, int rc, const struct mrp_error *other, struct mrp_error *err)
{
    if (rc) {
        mrp_log(hub->stage, MRP_ERROR, "%s", other->msg);
        return rc;
    }
    *err = *other;
    return err->code;
}

int hub_host(struct host **out, struct hub *hub, const char *name, struct mrp_error *err)
{
    for (struct host *h = hub->hosts; h; h = h->next) {
        if (!strcmp(h->name, name)) {
            *out = h;
            return 0;
        }
    }
    struct host *h = calloc(1, sizeof *h);
    if (!h)
        return mrp_fail(err, MRP_E_NOMEM, "registry client");
    h->hub = hub;
    h->name = mrp_strdup(name);
    h->referrers = -1;
    h->ecr = h->name && ecr_name_parse(&h->aws, h->name);
    int rc = h->name ? find_base(h, err) : mrp_fail(err, MRP_E_NOMEM, "registry client");
    if (rc) {
        free_host(h);
        return rc;
    }
    h->next = hub->hosts;
    hub->hosts = h;
    *out = h;
    return 0;
}

/* Unless the endpoint was mapped to somewhere else. */
static int only_tls(struct host *h, struct mrp_error *err)
{
    size_t n = strlen("http://");
    h->loopback = false;
    if (!mrp_starts(h->base, "http://") || strcmp(h->base + n, h->name) != 0)
        return 0;
    char *base = mrp_strf("https://%s", h->name);
    if (!base)
        return mrp_fail(err, MRP_E_NOMEM, "registry client");
    free(h->base);
    h->base = base;
    h->plain = false;
    return 0;
}

int hub_ref_host(struct host **out, struct hub *hub, const struct ref *ref, struct mrp_error *err)
{
    int rc = hub_host(out, hub, ref->host, err);
    return rc || !ref->https ? rc : only_tls(*out, err);
}

int hub_repo(struct repo **out,
             struct hub *hub,
             const char *host,
             const char *name,
             struct mrp_error *err)
{
    struct host *h = NULL;
    int rc = hub_host(&h, hub, host, err);
    if (rc)
        return rc;
    for (struct repo *r = hub->repos; r; r = r->next) {
        if (r->host == h && !strcmp(r->name, name)) {
            *out = r;
            return 0;
        }
    }
    struct repo *r = calloc(1, sizeof *r);
    char *copy = mrp_strdup(name);
    if (!r || !copy) {
        free(r);
        free(copy);
        return mrp_fail(err, MRP_E_NOMEM, "registry client");
    }
    r->host = h;
    r->name = copy;
    r->next = hub->repos;
    hub->repos = r;
    *out = r;
    return 0;
}
