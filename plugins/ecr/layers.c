/* Brings the blobs of a manifest to the destinations, each blob once in a run. */
#include "copy.h"
#include "move.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { CHECK_MAX = 100 };

struct work {
    struct job *job;
    const struct desc *blob;
    struct item *item;
    uint64_t mask;
};

static int by_size(const void *a, const void *b)
{
    const struct desc *const *x = a;
    const struct desc *const *y = b;
    return ((*x)->size < (*y)->size) - ((*x)->size > (*y)->size);
}

/* Where on a destination's host another repository has the blob: it can be mounted from there. */
static struct item *home_of(struct job *job, size_t dest, const char *digest)
{
    const struct repo *repo = job->route->dst[dest].repo;
    if (!repo)
        return NULL;
    mrp_auto(mrp_free_str) char *key = mrp_strf("%s %s", repo->host->name, digest);
    return key ? table_at(&job->route->copier->homes, key) : NULL;
}

static const char *mount_source(struct job *job, size_t dest, const char *digest)
{
    const struct end *src = &job->route->src;
    struct repo *repo = job->route->dst[dest].repo;
    if (!repo)
        return NULL;
    if (src->repo && src->repo->host == repo->host && src->repo != repo)
        return src->repo->name;
    const struct item *home = home_of(job, dest, digest);
    const struct repo *other = home ? home->note : NULL;
    return other && other != repo ? other->name : NULL;
}

static bool same_host(const struct job *job, size_t dest)
{
    const struct repo *src = job->route->src.repo;
    return src && src->host == job->route->dst[dest].repo->host;
}

/* True when another repository of that host is getting the blob now: it is mounted from there when
 * it has come, not sent twice. */
static bool is_coming(struct job *job, size_t dest, const struct item *home)
{
    const struct host *host = job->route->dst[dest].repo->host;
    return home->busy && !home->note && !same_host(job, dest) && !host->no_mounts &&
           !host->head_first;
}

/* Of `mask`, what nobody else is bringing to the same hosts. */
static uint64_t claim(struct job *job, const char *digest, uint64_t mask)
{
    uint64_t mine = 0;
    for (size_t i = 0; i < job->route->count; i++) {
        uint64_t bit = (uint64_t)1 << i;
        struct item *home = mask & bit ? home_of(job, i, digest) : NULL;
        if (!(mask & bit) || (home && is_coming(job, i, home)))
            continue;
        if (home)
            home->busy++;
        mine |= bit;
    }
    return mine;
}

static void release(struct job *job, const char *digest, uint64_t mask)
{
    for (size_t i = 0; i < job->route->count; i++) {
        struct item *home = mask >> i & 1 ? home_of(job, i, digest) : NULL;
        if (!home)
            continue;
        home->busy -= home->busy ? 1 : 0;
        mrp_waitq_wake(&home->change, job->route->copier->hub->http);
    }
}

static void settle(struct work *w, struct target *targets, const size_t *dests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t bit = (uint64_t)1 << dests[i];
        if (targets[i].rc) {
            char name[300];
            /* What a registry was asked names the blob and the place already. */
            if (!strstr(targets[i].err.msg, w->blob->digest))
                mrp_wrap(&targets[i].err, "blob %s to %s", w->blob->digest,
                         end_show(name, sizeof name, targets[i].end));
            job_drop(w->job, dests[i], &targets[i].err);
            continue;
        }
        w->item->present |= bit;
        if (targets[i].present && !targets[i].mount_from)
            w->job->route->partly = true;
        struct item *home = home_of(w->job, dests[i], w->blob->digest);
        if (home && !home->note)
            home->note = targets[i].end->repo;
    }
}

/* Known to be missing, or likely so: a tag that is new there, and nothing was found there yet. */
static bool is_missing(const struct work *w)
{
    const struct route *route = w->job->route;
    for (size_t i = 0; i < route->count; i++) {
        const struct repo *repo = route->dst[i].repo;
        if (!(w->mask >> i & 1) || w->item->absent >> i & 1 || (repo && repo->fresh))
            continue;
        if (route->partly || w->job->dests[i].had[0])
            return false;
    }
    return true;
}

static int move_task(void *arg, struct mrp_error *err)
{
    struct work *w = arg;
    struct route *route = w->job->route;
    struct hub *hub = route->copier->hub;
    size_t dests[DESTINATIONS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < route->count; i++)
        if (w->mask >> i & 1)
            dests[count++] = i;
    int rc = 0;
    struct target *targets = calloc(count ? count : 1, sizeof *targets);
    if (!targets)
        rc = mrp_fail(err, MRP_E_NOMEM, "blob %s", w->blob->digest);
    for (size_t i = 0; !rc && i < count; i++) {
        targets[i].end = &route->dst[dests[i]];
        targets[i].mount_from = mount_source(w->job, dests[i], w->blob->digest);
        targets[i].tally = &w->job->dests[dests[i]].tally;
    }
    if (!rc)
        rc = move_blob(hub, &route->src, w->blob, targets, count, is_missing(w), &w->job->tally,
                       err);
    if (!rc) {
        settle(w, targets, dests, count);
        meter_move(w->job->dests[0].tally.meter, hub, 0, 1);
    }
    free(targets);
    w->item->busy &= ~w->mask;
    mrp_waitq_wake(&w->item->change, hub->http);
    release(w->job, w->blob->digest, w->mask);
    gate_leave(&hub->small, 1, hub->http);
    free(w);
    return rc;
}

/* Start a task for what was claimed. */
static int start(struct mrp_group *group,
                 struct job *job,
                 const struct desc *blob,
                 struct item *item,
                 uint64_t mask,
                 struct mrp_error *err)
{
    struct hub *hub = job->route->copier->hub;
    item->busy |= mask;
    meter_expect(job->dests[0].tally.meter, hub, blob->size * __builtin_popcountll(mask), 1);
    struct work *w = malloc(sizeof *w);
    int rc = w ? gate_enter(&hub->small, 1, hub->http, err)
               : mrp_fail(err, MRP_E_NOMEM, "blob %s", blob->digest);
    if (!rc) {
        *w = (struct work){job, blob, item, mask};
        rc = mrp_group_spawn(group, move_task, w, err);
        if (rc)
            gate_leave(&hub->small, 1, hub->http);
    }
    if (rc) {
        free(w);
        item->busy &= ~mask;
        mrp_waitq_wake(&item->change, hub->http);
        release(job, blob->digest, mask);
    }
    return rc;
}

static void skip(struct job *job, const struct desc *blob, uint64_t mask)
{
    for (size_t i = 0; i < job->route->count; i++)
        if (mask >> i & 1)
            job->dests[i].tally.skipped += (uint64_t)blob->size;
}

/* What the task for a blob waits for: the same route's, or another one's to the same host. */
static struct mrp_waitq *
what_changes(struct job *job, const struct desc *blob, struct item *item, uint64_t need)
{
    if (need & item->busy)
        return &item->change;
    for (size_t i = 0; i < job->route->count; i++) {
        struct item *home = need >> i & 1 ? home_of(job, i, blob->digest) : NULL;
        if (home)
            return &home->change;
    }
    return &item->change;
}

/* Another task brings it; take over if that one failed, mount it if it brings it elsewhere. */
static int await(struct mrp_group *group,
                 struct job *job,
                 const struct desc *blob,
                 struct item *item,
                 uint64_t need,
                 struct mrp_error *err)
{
    for (;;) {
        skip(job, blob, need & item->present & job_mask(job));
        need &= ~item->present & job_mask(job);
        uint64_t mine = claim(job, blob->digest, need & ~item->busy);
        int rc = mine ? start(group, job, blob, item, mine, err) : 0;
        need &= ~mine;
        if (rc || !need)
            return rc;
        rc =
            mrp_waitq_wait(what_changes(job, blob, item, need), job->route->copier->hub->http, err);
        if (rc)
            return rc;
    }
}

static int
check_batch(struct job *job, size_t dest, struct item **items, size_t count, struct mrp_error *err)
{
    struct route *route = job->route;
    struct repo *repo = route->dst[dest].repo;
    const char *digests[CHECK_MAX];
    bool present[CHECK_MAX];
    for (size_t i = 0; i < count; i++)
        digests[i] = items[i]->key;
    struct tally *tally = &job->dests[dest].tally;
    int rc = ecr_check_layers(present, repo, digests, count, tally, err);
    if (rc == MRP_E_NOTFOUND && !strcmp(err->api, "RepositoryNotFoundException")) {
        if (!route->copier->how.create)
            return mrp_hint(err, "create it, or set `create: true`");
        memset(present, 0, sizeof present);
        rc = ecr_create(repo, route->src.repo, err);
    }
    if (rc)
        return rc;
    uint64_t bit = (uint64_t)1 << dest;
    for (size_t i = 0; i < count; i++) {
        if (present[i])
            items[i]->present |= bit;
        else
            items[i]->absent |= bit;
    }
    return 0;
}

struct check {
    struct job *job;
    const struct manifest *manifest;
    size_t dest;
};

/* ECR tells of a hundred layers at once. */
static int check_task(void *arg, struct mrp_error *err)
{
    const struct check *c = arg;
    struct route *route = c->job->route;
    uint64_t bit = (uint64_t)1 << c->dest;
    struct item *items[CHECK_MAX];
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; !rc && i < c->manifest->count; i++) {
        struct item *item = table_at(&route->blobs, c->manifest->items[i].digest);
        if (!item)
            return mrp_fail(err, MRP_E_NOMEM, "copy");
        if (!((item->present | item->absent | item->busy) & bit))
            items[n++] = item;
        if (n == CHECK_MAX) {
            rc = check_batch(c->job, c->dest, items, n, err);
            n = 0;
        }
    }
    if (!rc && n)
        rc = check_batch(c->job, c->dest, items, n, err);
    if (rc && !is_fatal(rc)) {
        job_drop(c->job, c->dest, err);
        rc = 0;
    }
    return rc;
}

static int
check_all(struct job *job, const struct manifest *m, uint64_t mask, struct mrp_error *err)
{
    struct route *route = job->route;
    struct check checks[DESTINATIONS_MAX];
    struct mrp_group *group = NULL;
    int rc = 0;
    for (size_t i = 0; !rc && i < route->count; i++) {
        const struct repo *repo = route->dst[i].repo;
        if (!(mask >> i & 1) || !repo || !repo->host->ecr || repo->fresh)
            continue;
        checks[i] = (struct check){job, m, i};
        if (!group)
            rc = mrp_group_new(&group, route->copier->hub->http, 0, err);
        if (!rc)
            rc = mrp_group_spawn(group, check_task, &checks[i], err);
    }
    return mrp_group_finish(&group, rc, err);
}

/* A blob that another task was bringing when this one came to it. */
struct waiting {
    const struct desc *blob;
    struct item *item;
    uint64_t mask;
};

static void free_waiting(struct waiting **list)
{
    free(*list);
}

static int copy_sorted(struct mrp_group *group,
                       struct job *job,
                       const struct desc **order,
                       size_t count,
                       uint64_t mask,
                       struct mrp_error *err)
{
    struct route *route = job->route;
    mrp_auto(free_waiting) struct waiting *waiting = calloc(count + 1, sizeof *waiting);
    size_t n = 0;
    if (!waiting)
        return mrp_fail(err, MRP_E_NOMEM, "copy");
    for (size_t i = 0; i < count; i++) {
        struct item *item = table_at(&route->blobs, order[i]->digest);
        if (!item)
            return mrp_fail(err, MRP_E_NOMEM, "copy");
        uint64_t live = mask & job_mask(job);
        uint64_t need = live & ~item->present;
        skip(job, order[i], live & item->present);
        uint64_t mine = claim(job, order[i]->digest, need & ~item->busy);
        if (mine) {
            int rc = start(group, job, order[i], item, mine, err);
            if (rc)
                return rc;
        }
        if (need & ~mine)
            waiting[n++] = (struct waiting){order[i], item, need & ~mine};
    }
    for (size_t i = 0; i < n; i++) {
        const struct waiting *w = &waiting[i];
        int rc = await(group, job, w->blob, w->item, w->mask, err);
        if (rc)
            return rc;
    }
    return 0;
}

int layers_copy(struct job *job, const struct manifest *m, uint64_t mask, struct mrp_error *err)
{
    struct copier *copier = job->route->copier;
    int rc = check_all(job, m, mask, err);
    if (rc)
        return rc;
    const struct desc **order = calloc(m->count + 1, sizeof(struct desc *));
    if (!order)
        return mrp_fail(err, MRP_E_NOMEM, "copy");
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct desc *d = &m->items[i];
        if (!d->manifest && (!d->foreign || copier->how.foreign))
            order[n++] = d;
    }
    qsort(order, n, sizeof(struct desc *), by_size);
    struct mrp_group *group = NULL;
    rc = mrp_group_new(&group, copier->hub->http, copier->hub->parallel, err);
    if (!rc)
        rc = copy_sorted(group, job, order, n, mask, err);
    rc = mrp_group_finish(&group, rc, err);
    free(order);
    return rc;
}
