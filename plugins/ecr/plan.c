/* Makes the ends, routes and jobs of a copy, and the report about them. */
#include "copy.h"
#include "tarball.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "copy");
}

int copier_new(struct copier **out,
               struct hub *hub,
               const struct copy_options *how,
               struct mrp_error *err)
{
    struct copier *c = calloc(1, sizeof *c);
    if (!c)
        return nomem(err);
    c->hub = hub;
    c->how = *how;
    *out = c;
    return 0;
}

static void free_job(struct job *job)
{
    for (size_t i = 0; job->dests && i < job->route->count; i++) {
        free(job->dests[i].tag);
        free(job->dests[i].region);
    }
    free(job->dests);
    free(job->meter.name);
    free(job->name);
    free(job->ref);
    free(job);
}

void copier_free(struct copier **copier)
{
    struct copier *c = *copier;
    if (!c)
        return;
    while (c->jobs) {
        struct job *job = c->jobs;
        c->jobs = job->next;
        free_job(job);
    }
    while (c->routes) {
        struct route *r = c->routes;
        c->routes = r->next;
        table_done(&r->blobs);
        table_done(&r->manifests);
        mrp_free_strv(&r->tags);
        free(r->dst);
        free(r);
    }
    while (c->layouts) {
        struct layout *l = c->layouts;
        c->layouts = l->next;
        layout_free(&l);
    }
    table_done(&c->homes);
    free(c);
    *copier = NULL;
}

static int open_layout(struct layout **out,
                       struct copier *c,
                       const struct ref *ref,
                       bool write,
                       struct mrp_error *err)
{
    const struct ref bare = {.kind = ref->kind, .path = ref->path};
    mrp_auto(mrp_free_str) char *shown = ref_text(&bare);
    mrp_auto(mrp_free_str) char *path = NULL;
    int rc = shown ? mrp_stage_path(&path, c->hub->stage, ref->path, err) : nomem(err);
    if (rc)
        return rc;
    for (struct layout *l = c->layouts; l; l = l->next) {
        if (!strcmp(l->shown, shown)) {
            *out = l;
            return 0;
        }
    }
    const enum layout_mode mode = !write       ? LAYOUT_READ
                                  : c->how.dry ? LAYOUT_PRETEND
                                               : LAYOUT_CREATE;
    struct layout *l = NULL;
    if (ref->kind == REF_LAYOUT)
        rc = layout_open(&l, path, shown, mode, err);
    else if (ref->kind == REF_OCI_ARCHIVE)
        rc = write ? archive_create(&l, path, shown, err) : archive_open(&l, path, shown, err);
    else if (write)
        rc = mrp_fail(err, MRP_E_CONFIG,
                      "%s: only a source can be one; write an "
                      "oci-archive:",
                      shown);
    else
        rc = archive_open_docker(&l, path, shown, err);
    if (rc)
        return rc;
    l->next = c->layouts;
    c->layouts = l;
    *out = l;
    return 0;
}

int copier_end(struct end *out,
               struct copier *c,
               const struct ref *ref,
               bool write,
               struct mrp_error *err)
{
    *out = (struct end){0};
    if (ref->kind == REF_REGISTRY) {
        struct host *host = NULL;
        int rc = hub_ref_host(&host, c->hub, ref, err);
        return rc ? rc : hub_repo(&out->repo, c->hub, ref->host, ref->repo, err);
    }
    return open_layout(&out->layout, c, ref, write, err);
}

static bool
same_route(const struct route *r, const struct end *src, const struct end *dst, size_t count)
{
    if (!end_same(&r->src, src) || r->count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!end_same(&r->dst[i], &dst[i]))
            return false;
    return true;
}

int copier_route(struct route **out,
                 struct copier *c,
                 const struct end *src,
                 const struct end *dst,
                 size_t count,
                 struct mrp_error *err)
{
    if (!count || count > DESTINATIONS_MAX)
        return mrp_fail(err, MRP_E_CONFIG,
                        "%zu destinations: between 1 and %d can be served at "
                        "once",
                        count, DESTINATIONS_MAX);
    for (struct route *r = c->routes; r; r = r->next) {
        if (same_route(r, src, dst, count)) {
            *out = r;
            return 0;
        }
    }
    struct route *r = calloc(1, sizeof *r);
    if (r)
        r->dst = calloc(count, sizeof *r->dst);
    if (!r || !r->dst) {
        free(r);
        return nomem(err);
    }
    memcpy(r->dst, dst, count * sizeof *dst);
    r->count = count;
    r->src = *src;
    r->copier = c;
    r->next = c->routes;
    c->routes = r;
    *out = r;
    return 0;
}

int copier_add(struct job **out,
               struct route *route,
               const char *name,
               const char *ref,
               char *const *tags,
               struct mrp_error *err)
{
    struct copier *c = route->copier;
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return nomem(err);
    job->route = route;
    job->name = mrp_strdup(name ? name : "");
    job->ref = mrp_strdup(ref);
    job->dests = calloc(route->count, sizeof *job->dests);
    job->meter.name = end_ref(&route->src, ref);
    bool ok = job->name && job->ref && job->dests && job->meter.name;
    for (size_t i = 0; ok && i < route->count; i++) {
        const struct repo *repo = route->dst[i].repo;
        job->dests[i].tag = mrp_strdup(tags[i]);
        job->dests[i].tally.meter = &job->meter;
        job->dests[i].region = mrp_strdup(repo && repo->host->ecr ? repo->host->aws.region : "");
        ok = (job->dests[i].tag || !tags[i]) && job->dests[i].region;
    }
    if (!ok) {
        free_job(job);
        return nomem(err);
    }
    if (c->last)
        c->last->next = job;
    else
        c->jobs = job;
    c->last = job;
    route->jobs++;
    *out = job;
    return 0;
}

static json_t *report_dest(const struct job *job, size_t i)
{
    const struct job_dest *d = &job->dests[i];
    mrp_auto(mrp_free_str) char *image =
        end_ref(&job->route->dst[i], d->tag ? d->tag : job->digest);
    json_t *j = json_object();
    if (!j || mrp_json_puts(j, "region", d->region) || mrp_json_puts(j, "image", image) ||
        mrp_json_puts(j, "digest", d->digest) ||
        mrp_json_put(j, "changed", json_boolean(d->changed)) ||
        mrp_json_puti(j, "bytes", (int64_t)d->tally.bytes) ||
        mrp_json_puti(j, "skipped-bytes", (int64_t)d->tally.skipped) ||
        mrp_json_puti(j, "requests", d->tally.requests + (i ? 0 : job->tally.requests)) ||
        mrp_json_puti(j, "retries", d->tally.retries + (i ? 0 : job->tally.retries))) {
        json_decref(j);
        return NULL;
    }
    return j;
}

static json_t *report_job(const struct job *job)
{
    mrp_auto(mrp_free_str) char *source = end_ref(&job->route->src, job->ref);
    json_t *copies = json_array();
    json_t *j = json_object();
    if (!j || mrp_json_puts(j, "name", job->name) || mrp_json_puts(j, "source", source) ||
        mrp_json_puts(j, "digest", job->digest) || mrp_json_put(j, "copies", copies)) {
        json_decref(j);
        return NULL;
    }
    for (size_t i = 0; i < job->route->count; i++) {
        if (json_array_append_new(copies, report_dest(job, i))) {
            json_decref(j);
            return NULL;
        }
    }
    return j;
}

json_t *copier_report(const struct copier *c)
{
    json_t *list = json_array();
    for (const struct job *job = c->jobs; list && job; job = job->next) {
        if (json_array_append_new(list, report_job(job))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}
