/* Copies what refers to an image: signatures, attestations, bills of materials. */
#include "copy.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 3 /* a signature of an attestation of an image */ };

/* "sha256:HEX" -> "sha256-HEX" + suffix; owned. */
static char *schema_tag(const char *digest, const char *suffix)
{
    char *tag = mrp_strf("%s%s", digest, suffix);
    char *colon = tag ? strchr(tag, ':') : NULL;
    if (colon)
        *colon = '-';
    return tag;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_tag(void *arg, const char *name, struct mrp_error *err)
{
    return mrp_strv_add(arg, name) ? mrp_fail(err, MRP_E_NOMEM, "tags") : 0;
}

static int list_tags(struct route *route, struct mrp_error *err)
{
    struct mrp_http *http = route->copier->hub->http;
    while (route->listing) {
        int rc = mrp_waitq_wait(&route->turn, http, err);
        if (rc)
            return rc;
    }
    if (route->tags_listed)
        return 0;
    route->listing = true;
    mrp_auto(mrp_free_strv) char **tags = NULL;
    int rc = route->src.repo ? registry_tags(route->src.repo, add_tag, &tags, err)
                             : layout_tags(&tags, route->src.layout, err);
    route->listing = false;
    if (!rc) {
        size_t n = mrp_strv_len(tags);
        if (n)
            qsort(tags, n, sizeof *tags, by_text);
        route->tags = mrp_take_strv(&tags);
        route->tags_listed = true;
    }
    mrp_waitq_wake(&route->turn, http);
    return rc;
}

/* With many images one listing of the tags is cheaper than questions about each. */
static int tag_digest(struct found *out, struct job *job, const char *tag, struct mrp_error *err)
{
    enum { MANY = 4 };
    struct route *route = job->route;
    *out = (struct found){0};
    if (route->jobs > MANY || route->looked > MANY || route->src.layout) {
        int rc = list_tags(route, err);
        if (rc)
            return rc;
        size_t n = mrp_strv_len(route->tags);
        if (!n || !bsearch(&tag, route->tags, n, sizeof *route->tags, by_text))
            return 0;
    }
    return end_head(out, &route->src, tag, &job->tally, err);
}

/* A registry that refuses artifacts loses them, not the image. */
static void forgive(struct job *job, uint64_t before, uint64_t mask, const char *what)
{
    struct route *route = job->route;
    for (size_t i = 0; i < route->count; i++) {
        uint64_t bit = (uint64_t)1 << i;
        struct job_dest *d = &job->dests[i];
        if (!(mask & bit) || (before & bit) || !(job->failed & bit) || d->err.upstream != 405)
            continue;
        job->failed &= ~bit;
        d->rc = 0;
        struct host *host = route->dst[i].repo ? route->dst[i].repo->host : NULL;
        if (host && !host->noted405) {
            host->noted405 = true;
            mrp_log(route->copier->hub->stage, MRP_WARN,
                    "%s does not take %s; left out there (HTTP 405)", host->name, what);
        }
        d->err = (struct mrp_error){0};
    }
}

static int copy_one(struct job *job, const char *digest, uint64_t mask, struct mrp_error *err)
{
    uint64_t before = job->failed;
    int rc = tree_copy(job, digest, mask, 1, err);
    if (!rc)
        forgive(job, before, mask, "an artifact that refers to an image");
    return rc;
}

/* cosign's tags: sha256-HEX.sig and so on are ordinary images. */
static int copy_cosign(struct job *job,
                       const char *digest,
                       const char *suffix,
                       uint64_t mask,
                       struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *tag = schema_tag(digest, suffix);
    struct found found = {0};
    int rc = tag ? tag_digest(&found, job, tag, err) : mrp_fail(err, MRP_E_NOMEM, "referrers");
    if (rc || !found.exists)
        return rc;
    uint64_t before = job->failed;
    struct manifest *m = NULL;
    rc = tree_copy(job, found.digest, mask, 0, err);
    if (!rc)
        rc = tree_manifest(&m, job, found.digest, err);
    if (!rc)
        rc = tree_put(job, m, tag, true, mask, err);
    if (!rc)
        forgive(job, before, mask, "a cosign tag");
    return rc;
}

static int copy_list(struct job *job,
                     const struct manifest *list,
                     uint64_t mask,
                     int round,
                     struct mrp_error *err);

static bool lists(const struct manifest *m, const char *digest)
{
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->items[i].digest, digest))
            return true;
    return false;
}

/* Where a registry keeps no list of referrers, the tag sha256-HEX is the list. What is there stays:
 * it is replaced only if it lacks something of ours. */
static int copy_fallback(struct job *job,
                         const char *digest,
                         const struct manifest *list,
                         uint64_t mask,
                         struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *tag = schema_tag(digest, "");
    if (!tag)
        return mrp_fail(err, MRP_E_NOMEM, "referrers");
    uint64_t need = 0;
    for (size_t i = 0; i < job->route->count; i++) {
        struct end *dst = &job->route->dst[i];
        if (!((mask & job_mask(job)) >> i & 1) || (dst->repo && dst->repo->host->referrers == 1))
            continue;
        mrp_auto(manifest_free) struct manifest *have = NULL;
        struct mrp_error ignored = {0};
        int rc = end_get(&have, dst, tag, NULL, &job->dests[i].tally, &ignored);
        if (rc && rc != MRP_E_NOTFOUND && is_fatal(rc)) {
            *err = ignored;
            return rc;
        }
        bool complete = have != NULL;
        for (size_t k = 0; complete && k < list->count; k++)
            complete = lists(have, list->items[k].digest);
        if (!complete)
            need |= (uint64_t)1 << i;
    }
    return need ? tree_put(job, list, tag, true, need, err) : 0;
}

static int
copy_round(struct job *job, const char *digest, uint64_t mask, int round, struct mrp_error *err)
{
    struct end *src = &job->route->src;
    mrp_auto(manifest_free) struct manifest *list = NULL;
    int rc = 0;
    if (src->repo)
        rc = registry_referrers(&list, src->repo, digest, &job->tally, err);
    if (rc)
        return rc;
    if (list)
        return copy_list(job, list, mask, round, err);
    mrp_auto(mrp_free_str) char *tag = schema_tag(digest, "");
    struct found found = {0};
    rc = tag ? tag_digest(&found, job, tag, err) : mrp_fail(err, MRP_E_NOMEM, "referrers");
    if (rc || !found.exists)
        return rc;
    if ((rc = end_get(&list, src, tag, NULL, &job->tally, err)))
        return rc;
    if (!list->index)
        return 0;
    rc = copy_list(job, list, mask, round, err);
    return rc ? rc : copy_fallback(job, digest, list, mask, err);
}

static int copy_list(struct job *job,
                     const struct manifest *list,
                     uint64_t mask,
                     int round,
                     struct mrp_error *err)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < list->count; i++) {
        rc = copy_one(job, list->items[i].digest, mask, err);
        if (!rc && round + 1 < ROUNDS)
            rc = copy_round(job, list->items[i].digest, mask & job_mask(job), round + 1, err);
    }
    return rc;
}

struct part {
    struct job *job;
    const char *digest;
    const char *suffix; /* NULL: the list of referrers */
    uint64_t mask;
};

static int part_task(void *arg, struct mrp_error *err)
{
    const struct part *p = arg;
    if (p->suffix)
        return copy_cosign(p->job, p->digest, p->suffix, p->mask, err);
    return copy_round(p->job, p->digest, p->mask, 0, err);
}

/* What refers to the manifests in an index: signatures of one platform's image. */
static int of_children(struct job *job,
                       const struct manifest *index,
                       uint64_t mask,
                       int depth,
                       struct mrp_error *err);

/* With an index, its platforms too. */
static int
below(struct job *job, const char *digest, uint64_t mask, int depth, struct mrp_error *err)
{
    struct manifest *m = NULL;
    int rc = tree_manifest(&m, job, digest, err);
    if (rc || !m->index || depth >= MANIFEST_DEPTH_MAX)
        return rc;
    job->route->looked += m->count;
    return of_children(job, m, mask, depth + 1, err);
}

int referrers_copy(struct job *job,
                   const char *digest,
                   uint64_t mask,
                   int depth,
                   struct mrp_error *err)
{
    static const char *const suffixes[] = {NULL, ".sig", ".att", ".sbom"};
    struct part parts[MRP_COUNT(suffixes)];
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, job->route->copier->hub->http, 0, err);
    for (size_t i = 0; !rc && i < MRP_COUNT(suffixes); i++) {
        parts[i] = (struct part){job, digest, suffixes[i], mask};
        rc = mrp_group_spawn(group, part_task, &parts[i], err);
    }
    if (!rc)
        rc = below(job, digest, mask, depth, err);
    struct mrp_error other = {0};
    int wait_rc = group ? mrp_group_wait(group, &other) : 0;
    if (!rc && wait_rc) {
        *err = other;
        rc = wait_rc;
    }
    return rc;
}

struct platform {
    struct job *job;
    const char *digest;
    uint64_t mask;
    int depth;
};

static int platform_task(void *arg, struct mrp_error *err)
{
    const struct platform *p = arg;
    return referrers_copy(p->job, p->digest, p->mask, p->depth, err);
}

static int of_children(struct job *job,
                       const struct manifest *index,
                       uint64_t mask,
                       int depth,
                       struct mrp_error *err)
{
    enum { AT_ONCE = 4 };
    struct platform *all = calloc(index->count + 1, sizeof *all);
    struct mrp_group *group = NULL;
    int rc = all ? mrp_group_new(&group, job->route->copier->hub->http, AT_ONCE, err)
                 : mrp_fail(err, MRP_E_NOMEM, "referrers");
    for (size_t i = 0; !rc && i < index->count; i++) {
        all[i] = (struct platform){job, index->items[i].digest, mask, depth};
        rc = mrp_group_spawn(group, platform_task, &all[i], err);
    }
    struct mrp_error other = {0};
    int wait_rc = group ? mrp_group_wait(group, &other) : 0;
    mrp_group_free(&group);
    free(all);
    if (!rc && wait_rc) {
        *err = other;
        rc = wait_rc;
    }
    return rc;
}
