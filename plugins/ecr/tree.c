/* Copies manifests, children before parents, each once in a run. */
#include "copy.h"

#include <mrpipe/auto.h>
#include <mrpipe/digest.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { KEPT_BYTES = 16 << 20, STRINGS_BYTES = 128 };
enum { PUT_TRIES = 6, DIGEST_TRIES = 3, LAG_MS = 200, RECHECK_AT = 3 };

bool is_fatal(int rc)
{
    return rc == MRP_E_CANCELLED || rc == MRP_E_NOMEM || rc == MRP_E_BUG;
}

uint64_t job_mask(const struct job *job)
{
    size_t n = job->route->count;
    uint64_t all = n >= 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
    return all & ~job->failed;
}

void job_drop(struct job *job, size_t dest, const struct mrp_error *err)
{
    if (job->failed >> dest & 1)
        return;
    job->failed |= (uint64_t)1 << dest;
    job->dests[dest].err = *err;
    job->dests[dest].rc = err->code;
}

/* About what it takes in memory. */
static size_t weight_of(const struct manifest *m)
{
    return m->len + m->count * (sizeof *m->items + STRINGS_BYTES);
}

static void forget_oldest(struct route *route)
{
    struct item *oldest = route->kept;
    route->kept = oldest->next_kept;
    route->kept_bytes -= weight_of(oldest->manifest);
    manifest_free(&oldest->manifest);
}

void tree_keep(struct route *route, struct item *item, struct manifest **m)
{
    if (!*m || item->manifest) {
        manifest_free(m);
        return;
    }
    item->manifest = *m;
    item->next_kept = NULL;
    *m = NULL;
    if (route->kept)
        route->kept_last->next_kept = item;
    else
        route->kept = item;
    route->kept_last = item;
    route->kept_bytes += weight_of(item->manifest);
    while (route->kept_bytes > KEPT_BYTES && route->kept != item)
        forget_oldest(route);
}

int tree_manifest(struct manifest **out, struct job *job, const char *digest, struct mrp_error *err)
{
    struct route *route = job->route;
    struct item *item = table_at(&route->manifests, digest);
    if (!item)
        return mrp_fail(err, MRP_E_NOMEM, "copy");
    struct mrp_http *http = route->copier->hub->http;
    while (!item->manifest && item->reading) {
        int rc = mrp_waitq_wait(&item->change, http, err);
        if (rc)
            return rc;
    }
    if (!item->manifest) {
        struct manifest *m = NULL;
        item->reading = true;
        int rc = end_get(&m, &route->src, digest, digest, &job->tally, err);
        item->reading = false;
        tree_keep(route, item, &m);
        mrp_waitq_wake(&item->change, http);
        if (rc)
            return rc;
    }
    *out = manifest_share(item->manifest);
    return 0;
}

struct one_dest {
    struct job *job;
    size_t dest;
    const char *ref;
    const struct manifest *m;
    struct item *item;
    bool root;
};

/* fn for each destination of the mask at once. */
static int each_dest(struct job *job,
                     uint64_t mask,
                     const struct one_dest *like,
                     mrp_task_fn fn,
                     struct mrp_error *err)
{
    struct one_dest *all = calloc(job->route->count, sizeof *all);
    if (!all)
        return mrp_fail(err, MRP_E_NOMEM, "copy");
    struct mrp_group *group = NULL;
    int rc = 0;
    bool alone = !(mask & (mask - 1));
    if (!alone)
        rc = mrp_group_new(&group, job->route->copier->hub->http, 0, err);
    for (size_t i = 0; !rc && i < job->route->count; i++) {
        if (!(mask >> i & 1))
            continue;
        all[i] = *like;
        all[i].dest = i;
        rc = alone ? fn(&all[i], err) : mrp_group_spawn(group, fn, &all[i], err);
    }
    rc = mrp_group_finish(&group, rc, err);
    free(all);
    return rc;
}

static int drop_or_fail(const struct one_dest *o, int rc, struct mrp_error *err)
{
    if (!rc || is_fatal(rc))
        return rc;
    job_drop(o->job, o->dest, err);
    return 0;
}

static int head_task(void *arg, struct mrp_error *err)
{
    const struct one_dest *o = arg;
    struct route *route = o->job->route;
    struct found found;
    int rc =
        end_head(&found, &route->dst[o->dest], o->item->key, &o->job->dests[o->dest].tally, err);
    if (!rc && found.exists)
        o->item->present |= (uint64_t)1 << o->dest;
    return drop_or_fail(o, rc, err);
}

/* The registry says that a part is missing although it was pushed: ECR may need a moment, or the
 * part was removed since we looked. */
static int look_again(const struct one_dest *o, struct mrp_error *err)
{
    struct route *route = o->job->route;
    uint64_t bit = (uint64_t)1 << o->dest;
    for (size_t i = 0; i < o->m->count; i++) {
        struct table *t = o->m->index ? &route->manifests : &route->blobs;
        struct item *item = table_at(t, o->m->items[i].digest);
        if (item && !(item->busy & bit)) {
            item->present &= ~bit;
            item->absent &= ~bit;
        }
    }
    if (!o->m->index)
        return layers_copy(o->job, o->m, bit, err);
    int rc = 0;
    for (size_t i = 0; !rc && i < o->m->count; i++)
        rc = tree_copy(o->job, o->m->items[i].digest, bit, 1, err);
    return rc;
}

/* A part that the registry does not see yet; or one whose link it reads while another of our
 * requests has it written again (docker-registry on a file system), which it takes for a wrong
 * digest. */
static bool may_pass(int rc, const struct mrp_error *err, int tries)
{
    return (rc == MRP_E_NOTFOUND && tries < PUT_TRIES) ||
           (!strcmp(err->api, "DIGEST_INVALID") && tries < DIGEST_TRIES);
}

/* An immutable tag that has the very image is no conflict: someone else put it meanwhile, or the
 * answer to our first try was lost. */
static bool is_there(const struct one_dest *o)
{
    struct found found = {0};
    struct mrp_error ignored = {0};
    int rc = end_head(&found, &o->job->route->dst[o->dest], o->ref, &o->job->dests[o->dest].tally,
                      &ignored);
    return !rc && found.exists && !strcmp(found.digest, o->m->digest);
}

/* Registries want a foreign layer to be there, or its URL to be one that they know. */
static void hint_foreign(const struct one_dest *o, struct mrp_error *err)
{
    if (err->hint[0] || o->job->route->copier->how.foreign)
        return;
    for (size_t i = 0; i < o->m->count; i++)
        if (o->m->items[i].foreign)
            mrp_hint(err,
                     "layer %.19s... is not for distribution: set `foreign-layers: true` to "
                     "copy it too, or let the registry allow its URL",
                     o->m->items[i].digest);
}

static int put_task(void *arg, struct mrp_error *err)
{
    const struct one_dest *o = arg;
    struct route *route = o->job->route;
    struct end *dst = &route->dst[o->dest];
    struct job_dest *d = &o->job->dests[o->dest];
    for (int n = 1;; n++) {
        int rc = end_put(dst, o->ref, o->m, o->root, NULL, &d->tally, err);
        if (!rc || (rc == MRP_E_CONFLICT && is_there(o))) {
            struct item *item = table_at(&route->manifests, o->m->digest);
            if (item)
                item->present |= (uint64_t)1 << o->dest;
            d->changed = true;
            return 0;
        }
        if (!may_pass(rc, err, n)) {
            hint_foreign(o, err);
            return drop_or_fail(o, rc, err);
        }
        struct mrp_error ignored = {0};
        d->tally.retries++;
        rc = mrp_http_sleep(route->copier->hub->http,
                            ((int64_t)LAG_MS << (n - 1)) + (int64_t)(mrp_random() % LAG_MS),
                            &ignored);
        if (!rc && n == RECHECK_AT - 1)
            rc = look_again(o, &ignored);
        if (rc) {
            *err = ignored;
            return rc;
        }
        if (o->job->failed >> o->dest & 1)
            return 0;
    }
}

int tree_put(struct job *job,
             const struct manifest *m,
             const char *ref,
             bool root,
             uint64_t mask,
             struct mrp_error *err)
{
    const struct one_dest like = {.job = job, .m = m, .ref = ref, .root = root};
    return each_dest(job, mask & job_mask(job), &like, put_task, err);
}

struct child {
    tree_fn fn;
    struct job *job;
    const char *digest;
    uint64_t mask;
    int depth;
};

static int child_task(void *arg, struct mrp_error *err)
{
    const struct child *c = arg;
    return c->fn(c->job, c->digest, c->mask, c->depth, err);
}

int tree_children(struct job *job,
                  const struct manifest *index,
                  uint64_t mask,
                  int depth,
                  unsigned at_once,
                  tree_fn fn,
                  struct mrp_error *err)
{
    struct child *children = calloc(index->count + 1, sizeof *children);
    struct mrp_group *group = NULL;
    int rc = children ? mrp_group_new(&group, job->route->copier->hub->http, at_once, err)
                      : mrp_fail(err, MRP_E_NOMEM, "copy");
    for (size_t i = 0; !rc && i < index->count; i++) {
        children[i] = (struct child){fn, job, index->items[i].digest, mask, depth};
        rc = mrp_group_spawn(group, child_task, &children[i], err);
    }
    rc = mrp_group_finish(&group, rc, err);
    free(children);
    return rc;
}

static int copy_children(struct job *job,
                         const struct manifest *m,
                         uint64_t mask,
                         int depth,
                         struct mrp_error *err)
{
    enum { AT_ONCE = 16 };
    if (depth >= MANIFEST_DEPTH_MAX)
        return mrp_fail(err, MRP_E_REMOTE, "index %s: indexes inside indexes, more than %d deep",
                        m->digest, MANIFEST_DEPTH_MAX);
    return tree_children(job, m, mask, depth + 1, AT_ONCE, tree_copy, err);
}

struct heads {
    struct job *job;
    struct item *item;
    uint64_t mask;
};

static int heads_task(void *arg, struct mrp_error *err)
{
    const struct heads *h = arg;
    const struct one_dest like = {.job = h->job, .item = h->item};
    return each_dest(h->job, h->mask, &like, head_task, err);
}

/* Destinations where asking is of use: an empty one has nothing. */
static uint64_t worth_asking(const struct job *job, uint64_t mask)
{
    for (size_t i = 0; i < job->route->count; i++)
        if (job->route->dst[i].repo &&
            (job->route->dst[i].repo->fresh || job->route->dst[i].repo->untagged))
            mask &= ~((uint64_t)1 << i);
    return mask;
}

/* Read the source's manifest and ask the destinations for it at the same time. */
static int look(struct manifest **out,
                struct job *job,
                struct item *item,
                uint64_t need,
                struct mrp_error *err)
{
    struct heads heads = {job, item, worth_asking(job, need)};
    struct mrp_group *group = NULL;
    int rc = 0;
    if (heads.mask) {
        rc = mrp_group_new(&group, job->route->copier->hub->http, 1, err);
        if (!rc)
            rc = mrp_group_spawn(group, heads_task, &heads, err);
    }
    if (!rc)
        rc = tree_manifest(out, job, item->key, err);
    return mrp_group_finish(&group, rc, err);
}

static int
bring(struct job *job, struct item *item, uint64_t need, int depth, struct mrp_error *err)
{
    mrp_auto(manifest_free) struct manifest *m = NULL;
    int rc = look(&m, job, item, need, err);
    uint64_t lacking = need & ~item->present & job_mask(job);
    if (rc || !lacking)
        return rc;
    rc = m->index ? copy_children(job, m, lacking, depth, err) : layers_copy(job, m, lacking, err);
    lacking &= job_mask(job);
    /* The top of an image is put under its tag, last of all (copy.c). */
    return rc || !lacking || !depth ? rc : tree_put(job, m, m->digest, false, lacking, err);
}

int tree_copy(struct job *job, const char *digest, uint64_t mask, int depth, struct mrp_error *err)
{
    struct item *item = table_at(&job->route->manifests, digest);
    if (!item)
        return mrp_fail(err, MRP_E_NOMEM, "copy");
    uint64_t done = 0; /* the top is not marked present before its tag is put */
    for (;;) {
        uint64_t need = mask & ~item->present & ~done & job_mask(job);
        if (!need)
            return 0;
        uint64_t mine = need & ~item->busy;
        int rc;
        if (mine) {
            item->busy |= mine;
            rc = bring(job, item, mine, depth, err);
            item->busy &= ~mine;
            done |= mine;
            mrp_waitq_wake(&item->change, job->route->copier->hub->http);
        } else {
            rc = mrp_waitq_wait(&item->change, job->route->copier->hub->http, err);
        }
        if (rc)
            return rc;
    }
}
