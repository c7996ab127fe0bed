/* Runs the jobs of a copy: compare the tags, bring what is missing, move the tag last. */
#include "copy.h"
#include "tarball.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <string.h>

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "copy");
}

struct ask {
    struct job *job;
    size_t dest;
};

static const char *dest_ref(const struct job *job, size_t i)
{
    return job->dests[i].tag ? job->dests[i].tag : job->digest;
}

/* The cause comes last, so it is the names of the image that give way when all is too long. */
static int wrap(const struct job *job, size_t dest, struct mrp_error *err)
{
    enum { SEPARATOR = 8 };
    const struct route *route = job->route;
    mrp_auto(mrp_free_str) char *from = end_ref(&route->src, job->ref);
    mrp_auto(mrp_free_str) char *to = end_ref(&route->dst[dest], dest_ref(job, dest));
    size_t used = strlen(err->msg) + SEPARATOR;
    int room = used < sizeof err->msg ? (int)(sizeof err->msg - used) : 0;
    mrp_auto(mrp_free_str) char *text = mrp_strf("copy %s to %s", from ? from : "", to ? to : "");
    bool whole = text && strlen(text) <= (size_t)room;
    return mrp_wrap(err, "%.*s%s", room, text ? text : "", whole ? "" : "...");
}

static int ask_dest(void *arg, struct mrp_error *err)
{
    const struct ask *a = arg;
    struct job_dest *d = &a->job->dests[a->dest];
    struct found found;
    int rc =
        end_head(&found, &a->job->route->dst[a->dest], dest_ref(a->job, a->dest), &d->tally, err);
    if (rc && !is_fatal(rc)) {
        job_drop(a->job, a->dest, err);
        return 0;
    }
    if (!rc && found.exists)
        mrp_copy(d->had, sizeof d->had, found.digest);
    d->asked = true;
    return rc;
}

/* No destination has the tag: the manifest will be needed, and the digest comes with it. */
static bool is_certain(const struct job *job)
{
    for (size_t i = 0; i < job->route->count; i++)
        if (!job->dests[i].asked || job->dests[i].had[0])
            return false;
    return !job->route->copier->how.dry;
}

static int read_source(struct job *job, struct mrp_error *err)
{
    struct manifest *m = NULL;
    int rc = end_get(&m, &job->route->src, job->ref, NULL, &job->tally, err);
    if (rc)
        return rc == MRP_E_NOTFOUND ? 0 : rc;
    struct item *item = table_at(&job->route->manifests, m->digest);
    if (!item) {
        manifest_free(&m);
        return nomem(err);
    }
    mrp_copy(job->digest, sizeof job->digest, m->digest);
    tree_keep(job->route, item, &m);
    return 0;
}

/* Which digest the reference means at the source. */
static int ask_source(struct job *job, struct mrp_error *err)
{
    if (digest_valid(job->ref))
        mrp_copy(job->digest, sizeof job->digest, job->ref);
    else if (job->known)
        mrp_copy(job->digest, sizeof job->digest, job->pinned);
    int rc = !job->digest[0] && !job->pinned[0] && is_certain(job) ? read_source(job, err) : 0;
    if (rc || job->digest[0])
        return rc;
    struct found found;
    rc = end_head(&found, &job->route->src, job->ref, &job->tally, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_str) char *name = end_ref(&job->route->src, job->ref);
    if (!found.exists && job->route->src.layout)
        return layout_lacks(job->route->src.layout, job->ref, err);
    if (!found.exists) {
        mrp_fail(err, MRP_E_NOTFOUND, "%s does not exist", name ? name : job->ref);
        return mrp_hint(err, "was it pushed? check the name and the tag");
    }
    if (job->pinned[0] && strcmp(job->pinned, found.digest) != 0)
        return mrp_fail(err, MRP_E_CONFLICT, "%s is %s there, but %s was asked for",
                        name ? name : job->ref, found.digest, job->pinned);
    mrp_copy(job->digest, sizeof job->digest, found.digest);
    job->manifest_bytes = found.size;
    return 0;
}

/* Some platforms only: another index, with another digest. */
static int trim(struct job *job, struct mrp_error *err)
{
    char **platforms = job->route->copier->how.platforms;
    if (!platforms || !*platforms)
        return 0;
    mrp_auto(manifest_free) struct manifest *m = NULL;
    int rc = tree_manifest(&m, job, job->digest, err);
    if (rc || !m->index)
        return rc;
    mrp_auto(manifest_free) struct manifest *less = NULL;
    if ((rc = manifest_trim(&less, m, platforms, err)))
        return rc;
    mrp_copy(job->digest, sizeof job->digest, less->digest);
    struct item *item = table_at(&job->route->manifests, less->digest);
    if (!item)
        return nomem(err);
    if (!item->manifest) { /* not to be forgotten: the source could not give it again */
        item->manifest = less;
        less = NULL;
    }
    return 0;
}

/* Source and destinations at once: a copy that has nothing to do takes one round trip. */
static int compare(struct job *job, struct mrp_error *err)
{
    struct route *route = job->route;
    struct ask asks[DESTINATIONS_MAX];
    struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, route->copier->hub->http, 0, err);
    for (size_t i = 0; !rc && i < route->count; i++) {
        asks[i] = (struct ask){job, i};
        if (job->dests[i].tag && !job->dests[i].asked)
            rc = mrp_group_spawn(group, ask_dest, &asks[i], err);
    }
    if (!rc)
        rc = ask_source(job, err);
    if (!rc)
        rc = trim(job, err);
    for (size_t i = 0; !rc && i < route->count; i++)
        if (!job->dests[i].tag && !job->dests[i].asked)
            rc = mrp_group_spawn(group, ask_dest, &asks[i], err);
    return mrp_group_finish(&group, rc, err);
}

static uint64_t differing(const struct job *job)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < job->route->count; i++)
        if (strcmp(job->dests[i].had, job->digest) != 0)
            mask |= (uint64_t)1 << i;
    return mask & job_mask(job);
}

static void tell_changes(struct job *job, uint64_t mask)
{
    struct mrp_stage *stage = job->route->copier->hub->stage;
    mrp_auto(mrp_free_str) char *from = end_ref(&job->route->src, job->ref);
    for (size_t i = 0; i < job->route->count; i++) {
        if (!(mask >> i & 1))
            continue;
        mrp_auto(mrp_free_str) char *to = end_ref(&job->route->dst[i], dest_ref(job, i));
        mrp_change(stage, "copy %s to %s (%.19s)", from ? from : "", to ? to : "", job->digest);
    }
}

struct side {
    struct job *job;
    uint64_t mask;
};

static int referrers_task(void *arg, struct mrp_error *err)
{
    const struct side *s = arg;
    return referrers_copy(s->job, s->job->digest, s->mask, 0, err);
}

static int put_tags(struct job *job, uint64_t mask, struct mrp_error *err)
{
    mrp_auto(manifest_free) struct manifest *m = NULL;
    int rc = tree_manifest(&m, job, job->digest, err);
    for (size_t i = 0; !rc && i < job->route->count; i++) {
        uint64_t bit = (uint64_t)1 << i;
        if (!(mask & bit & job_mask(job)))
            continue;
        /* Destinations with the same tag are served by one call, in parallel. */
        uint64_t same = 0;
        for (size_t k = i; k < job->route->count; k++)
            if ((mask >> k & 1) && !strcmp(dest_ref(job, k), dest_ref(job, i)))
                same |= (uint64_t)1 << k;
        mask &= ~same;
        rc = tree_put(job, m, dest_ref(job, i), true, same, err);
    }
    return rc;
}

/* What a refused move of an immutable tag means for the user. */
static void explain_conflicts(struct job *job)
{
    for (size_t i = 0; i < job->route->count; i++) {
        struct job_dest *d = &job->dests[i];
        if (d->rc != MRP_E_CONFLICT)
            continue;
        mrp_auto(mrp_free_str) char *to = end_ref(&job->route->dst[i], dest_ref(job, i));
        mrp_fail(&d->err, MRP_E_CONFLICT, "%s is immutable and holds %s; the source has %s",
                 to ? to : "", d->had[0] ? d->had : "another image", job->digest);
        mrp_hint(&d->err, "use a new tag, or delete the old image there");
    }
}

static int copy_missing(struct job *job, uint64_t mask, struct mrp_error *err)
{
    struct copier *c = job->route->copier;
    struct side side = {job, c->how.referrers == REFERRERS_ALWAYS ? job_mask(job) : mask};
    struct mrp_group *group = NULL;
    int rc = 0;
    if (c->how.referrers != REFERRERS_NO && side.mask) {
        rc = mrp_group_new(&group, c->hub->http, 1, err);
        if (!rc)
            rc = mrp_group_spawn(group, referrers_task, &side, err);
    }
    if (!rc && mask)
        rc = tree_copy(job, job->digest, mask, 0, err);
    rc = mrp_group_finish(&group, rc, err);
    table_done(&job->seen);
    return rc || !mask ? rc : put_tags(job, mask, err);
}

static void finish(struct job *job, int rc, const struct mrp_error *err)
{
    if (rc)
        for (size_t i = 0; i < job->route->count; i++)
            job_drop(job, i, err);
    for (size_t i = 0; i < job->route->count; i++) {
        struct job_dest *d = &job->dests[i];
        if (job->failed >> i & 1) {
            if (d->rc != MRP_E_CANCELLED)
                wrap(job, i, &d->err);
            d->changed = false;
        } else {
            mrp_copy(d->digest, sizeof d->digest, job->digest);
        }
    }
}

static int copy_job(void *arg, struct mrp_error *err)
{
    struct job *job = arg;
    struct copier *c = job->route->copier;
    int rc = compare(job, err);
    uint64_t mask = rc ? 0 : differing(job);
    if (!rc && mask) {
        tell_changes(job, mask);
        if (!c->how.dry)
            warm_blobs(job, mask);
    }
    if (!rc && c->how.dry) {
        for (size_t i = 0; i < job->route->count; i++)
            job->dests[i].changed = mask >> i & 1;
    } else if (!rc && (mask || c->how.referrers == REFERRERS_ALWAYS)) {
        rc = copy_missing(job, mask, err);
        explain_conflicts(job);
    }
    finish(job, rc, err);
    meter_end(&job->meter, c->hub, job_mask(job) ? job->digest : NULL);
    return is_fatal(rc) ? rc : 0;
}

static int compare_job(void *arg, struct mrp_error *err)
{
    struct job *job = arg;
    int rc = compare(job, err);
    uint64_t mask = rc ? 0 : differing(job);
    for (size_t i = 0; i < job->route->count; i++)
        job->dests[i].changed = mask >> i & 1;
    for (size_t i = 0; !rc && i < job->route->count; i++)
        mrp_copy(job->dests[i].digest, sizeof job->dests[i].digest, job->dests[i].had);
    if (rc)
        for (size_t i = 0; i < job->route->count; i++)
            job_drop(job, i, err);
    return is_fatal(rc) ? rc : 0;
}

/* Jobs that only wait for blobs which others bring must not keep out those that have work. */
enum { JOBS_PER_BLOB = 2 };

static int all_jobs(struct copier *c, mrp_task_fn fn, struct mrp_error *err)
{
    struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, c->hub->http, c->hub->parallel * JOBS_PER_BLOB, err);
    if (rc)
        return rc;
    mrp_group_stop_on_error(group);
    for (struct job *job = c->jobs; !rc && job; job = job->next)
        rc = mrp_group_spawn(group, fn, job, err);
    return mrp_group_finish(&group, rc, err);
}

static int first_failure(struct copier *c, struct mrp_error *err)
{
    int rc = 0;
    for (const struct job *job = c->jobs; job; job = job->next) {
        for (size_t i = 0; i < job->route->count; i++) {
            const struct job_dest *d = &job->dests[i];
            if (d->rc)
                rc = hub_failure(c->hub, rc, &d->err, err);
        }
    }
    return rc;
}

/* Archives get what came whole, also where other images or destinations failed (`rc`). */
static int pack_all(struct copier *c, int rc, struct mrp_error *err)
{
    for (struct layout *l = c->layouts; l; l = l->next) {
        struct mrp_error mine = {0};
        if (l->archive && l->changed && archive_pack(l, &mine))
            rc = hub_failure(c->hub, rc, &mine, err);
    }
    return rc;
}

int copier_run(struct copier *c, struct mrp_error *err)
{
    warm_jobs(c);
    int rc = all_jobs(c, copy_job, err);
    return rc ? rc : pack_all(c, first_failure(c, err), err);
}

int copier_compare(struct copier *c, struct mrp_error *err)
{
    int rc = all_jobs(c, compare_job, err);
    return rc ? rc : first_failure(c, err);
}

bool copier_changed(const struct copier *c)
{
    for (const struct job *job = c->jobs; job; job = job->next)
        for (size_t i = 0; i < job->route->count; i++)
            if (job->dests[i].changed)
                return true;
    return false;
}
