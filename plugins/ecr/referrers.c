/* Copies what refers to an image: signatures, attestations, bills of materials. */
#include "referrers.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

const char *const cosign_suffixes[COSIGN_TAGS + 1] = {".sig", ".att", ".sbom", NULL};

char *referrers_tag(const char *digest, const char *suffix)
{
    char *tag = mrp_strf("%s%s", digest, suffix);
    char *colon = tag ? strchr(tag, ':') : NULL;
    if (colon)
        *colon = '-';
    return tag;
}

bool referrers_is_list(const char *tag)
{
    mrp_auto(mrp_free_str) char *digest = mrp_strdup(tag);
    char *dash = digest ? strchr(digest, '-') : NULL;
    if (dash)
        *dash = ':';
    return dash && digest_valid(digest);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
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
    size_t n = 0;
    int rc = route->src.repo ? registry_all_tags(&tags, &n, route->src.repo, err)
                             : layout_tags(&tags, route->src.layout, err);
    route->listing = false;
    if (!rc) {
        n = route->src.repo ? n : mrp_strv_len(tags);
        if (n)
            qsort(tags, n, sizeof *tags, by_text);
        route->tags = mrp_take_strv(&tags);
        route->tag_count = n;
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
        size_t n = route->tag_count;
        if (!n || !bsearch(&tag, route->tags, n, sizeof *route->tags, by_text))
            return 0;
    }
    return end_head(out, &route->src, tag, &job->tally, err);
}

/* Each artifact is copied as an image of its own, so that its failures are not the image's. */
static int open_side(struct job *side, const struct job *job, struct mrp_error *err)
{
    *side = *job;
    side->tally = (struct tally){0};
    side->dests = calloc(job->route->count, sizeof *side->dests);
    for (size_t i = 0; side->dests && i < job->route->count; i++)
        side->dests[i].tally.meter = job->dests[i].tally.meter;
    return side->dests ? 0 : mrp_fail(err, MRP_E_NOMEM, "referrers");
}

static void add_up(struct tally *to, const struct tally *more)
{
    to->bytes += more->bytes;
    to->skipped += more->skipped;
    to->requests += more->requests;
    to->retries += more->retries;
}

static void note_405(const struct job *job, size_t dest, const char *digest)
{
    struct route *route = job->route;
    struct host *host = route->dst[dest].repo ? route->dst[dest].repo->host : NULL;
    if (!host || host->noted405)
        return;
    host->noted405 = true;
    mrp_auto(mrp_free_str) char *name = end_ref(&route->src, digest);
    mrp_log(route->copier->hub->stage, MRP_WARN,
            "%s does not take what refers to an image (HTTP 405): %s and others like it are left "
            "out there",
            host->name, name ? name : digest);
}

/* Beside an image that is there already it is a change of its own. */
static void tell_change(const struct job *job, size_t dest, const char *digest)
{
    const struct route *route = job->route;
    if (strcmp(job->dests[dest].had, job->digest) != 0)
        return;
    mrp_auto(mrp_free_str) char *from = end_ref(&route->src, digest);
    char to[600];
    mrp_change(route->copier->hub->stage, "copy referrer %s to %s", from ? from : digest,
               end_show(to, sizeof to, &route->dst[dest]));
}

/* A registry that refuses artifacts loses them, not the image. */
static void close_side(struct job *side, struct job *job, const char *digest)
{
    add_up(&job->tally, &side->tally);
    for (size_t i = 0; side->dests && i < job->route->count; i++) {
        struct job_dest *d = &side->dests[i];
        add_up(&job->dests[i].tally, &d->tally);
        job->dests[i].changed = job->dests[i].changed || d->changed;
        if (d->rc && d->err.upstream == 405)
            note_405(job, i, digest);
        else if (d->rc)
            job_drop(job, i, &d->err);
        else if (d->changed)
            tell_change(job, i, digest);
    }
    free(side->dests);
}

/* Under its digest or, if `tag` is not NULL, under that. */
static int
copy_one(struct job *job, const char *digest, const char *tag, uint64_t mask, struct mrp_error *err)
{
    struct job side;
    mrp_auto(manifest_free) struct manifest *m = NULL;
    int rc = open_side(&side, job, err);
    if (!rc)
        rc = tree_copy(&side, digest, mask, tag ? 0 : 1, err);
    if (!rc && tag)
        rc = tree_manifest(&m, &side, digest, err);
    if (!rc && tag)
        rc = tree_put(&side, m, tag, true, mask, err);
    close_side(&side, job, digest);
    return rc;
}

static int
around(struct job *job, const char *digest, uint64_t mask, int round, struct mrp_error *err);

/* What refers to a referrer in turn: once, whatever lists it. A list is the registry's word, so it
 * may well lead back to where we came from. */
static int
follow(struct job *job, const char *digest, uint64_t mask, int round, struct mrp_error *err)
{
    struct item *item = table_at(&job->seen, digest);
    if (!item)
        return mrp_fail(err, MRP_E_NOMEM, "referrers");
    uint64_t need = mask & job_mask(job) & ~item->present;
    item->present |= need;
    job->route->looked++;
    return need ? around(job, digest, need, round, err) : 0;
}

/* Without the destinations that have the tag as it should be. It can only be where the image was
 * before. */
static int
lacking(uint64_t *mask, struct job *job, const char *tag, const char *digest, struct mrp_error *err)
{
    for (size_t i = 0; i < job->route->count; i++) {
        struct job_dest *d = &job->dests[i];
        if (!(*mask >> i & 1) || strcmp(d->had, job->digest) != 0)
            continue;
        struct found found = {0};
        int rc = end_head(&found, &job->route->dst[i], tag, &d->tally, err);
        if (is_fatal(rc))
            return rc;
        if (rc)
            job_drop(job, i, err);
        if (rc || (found.exists && !strcmp(found.digest, digest)))
            *mask &= ~((uint64_t)1 << i);
    }
    return 0;
}

/* cosign's tags: sha256-HEX.sig and so on are ordinary images. */
static int copy_cosign(struct job *job,
                       const char *digest,
                       const char *suffix,
                       uint64_t mask,
                       int round,
                       struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *tag = referrers_tag(digest, suffix);
    struct found found = {0};
    int rc = tag ? tag_digest(&found, job, tag, err) : mrp_fail(err, MRP_E_NOMEM, "referrers");
    uint64_t without = mask & job_mask(job);
    if (!rc && found.exists)
        rc = lacking(&without, job, tag, found.digest, err);
    if (!rc && found.exists && without)
        rc = copy_one(job, found.digest, tag, without, err);
    /* A bill of materials is signed by itself; signatures and attestations are not. */
    bool signable = found.exists && !strcmp(suffix, ".sbom") && round < REFERRERS_ROUNDS;
    return rc || !signable ? rc : follow(job, found.digest, mask, round + 1, err);
}

static int copy_list(struct job *job,
                     const struct manifest *list,
                     uint64_t mask,
                     int round,
                     struct mrp_error *err);

static bool lists(const struct manifest *m, const char *digest)
{
    for (size_t i = 0; m && i < m->count; i++)
        if (!strcmp(m->items[i].digest, digest))
            return true;
    return false;
}

/* The destination's list with those of ours that came there. NULL in *out: nothing is missing. */
static int join_lists(struct manifest **out,
                      const struct job *job,
                      size_t dest,
                      const struct manifest *have,
                      const struct manifest *list,
                      struct mrp_error *err)
{
    const struct manifest *base = have ? have : list;
    mrp_auto(mrp_free_json) json_t *all = NULL;
    mrp_auto(mrp_free_json) json_t *ours = NULL;
    int rc = mrp_json_parse(&all, base->bytes, base->len, "list of referrers", err);
    if (!rc)
        rc = mrp_json_parse(&ours, list->bytes, list->len, "list of referrers", err);
    if (rc)
        return rc;
    json_t *to = mrp_json_arr(all, "manifests");
    if (!have)
        json_array_clear(to);
    size_t before = json_array_size(to);
    for (size_t i = 0; i < list->count; i++) {
        const struct item *item = table_at(&job->route->manifests, list->items[i].digest);
        if (!item || !(item->present >> dest & 1) || lists(have, list->items[i].digest))
            continue;
        if (json_array_append(to, json_array_get(mrp_json_arr(ours, "manifests"), i)))
            return mrp_fail(err, MRP_E_NOMEM, "referrers");
    }
    size_t n = json_array_size(to);
    if (n == before)
        return 0;
    if (n == list->count && !before) /* the same: keep its bytes, and so its digest */
        return manifest_new(out, list->bytes, list->len, list->media_type, NULL, "list", err);
    mrp_auto(mrp_free_str) char *text = mrp_json_text(all);
    return text ? manifest_new(out, text, strlen(text), MEDIA_OCI_INDEX, NULL, "list", err)
                : mrp_fail(err, MRP_E_NOMEM, "referrers");
}

/* True in *out if the destination answers for itself what refers to an image. */
static int
keeps_referrers(bool *out, struct job *job, size_t dest, const char *digest, struct mrp_error *err)
{
    struct repo *repo = job->route->dst[dest].repo;
    int rc = 0;
    if (repo && repo->host->referrers < 0) {
        mrp_auto(manifest_free) struct manifest *ignored = NULL;
        rc = registry_referrers(&ignored, repo, digest, &job->dests[dest].tally, err);
    }
    *out = repo && repo->host->referrers == 1;
    return rc;
}

struct fallback {
    struct job *job;
    const char *digest;
    const char *tag;
    const struct manifest *list;
    size_t dest;
};

static int put_fallback(const struct fallback *f, struct mrp_error *err)
{
    struct job *job = f->job;
    struct end *dst = &job->route->dst[f->dest];
    bool keeps = false;
    mrp_auto(manifest_free) struct manifest *have = NULL;
    mrp_auto(manifest_free) struct manifest *want = NULL;
    int rc = keeps_referrers(&keeps, job, f->dest, f->digest, err);
    if (rc || keeps)
        return rc;
    rc = end_get(&have, dst, f->tag, NULL, &job->dests[f->dest].tally, err);
    if (rc && rc != MRP_E_NOTFOUND)
        return rc;
    if (have && !have->index)
        return 0; /* someone uses that tag for something else */
    rc = join_lists(&want, job, f->dest, have, f->list, err);
    return rc || !want ? rc : tree_put(job, want, f->tag, true, (uint64_t)1 << f->dest, err);
}

/* Where a registry keeps no list of referrers, the tag sha256-HEX is the list. What is there stays:
 * ours are added. */
static int copy_fallback(struct job *job,
                         const char *digest,
                         const struct manifest *list,
                         uint64_t mask,
                         struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *tag = referrers_tag(digest, "");
    if (!tag)
        return mrp_fail(err, MRP_E_NOMEM, "referrers");
    for (size_t i = 0; i < job->route->count; i++) {
        if (!((mask & job_mask(job)) >> i & 1))
            continue;
        const struct fallback f = {job, digest, tag, list, i};
        int rc = put_fallback(&f, err);
        if (is_fatal(rc))
            return rc;
        if (rc)
            job_drop(job, i, err);
    }
    return 0;
}

int referrers_list(struct manifest **out,
                   struct end *end,
                   const char *digest,
                   struct tally *tally,
                   struct mrp_error *err)
{
    *out = NULL;
    int rc = end->repo ? registry_referrers(out, end->repo, digest, tally, err) : 0;
    if (rc || *out)
        return rc;
    mrp_auto(mrp_free_str) char *tag = referrers_tag(digest, "");
    struct found found = {0};
    rc = tag ? end_head(&found, end, tag, tally, err) : mrp_fail(err, MRP_E_NOMEM, "referrers");
    return rc || !found.exists ? rc : end_get(out, end, tag, NULL, tally, err);
}

/* The same for a source, where one listing of the tags saves questions. */
static int
source_list(struct manifest **out, struct job *job, const char *digest, struct mrp_error *err)
{
    struct end *src = &job->route->src;
    int rc = src->repo ? registry_referrers(out, src->repo, digest, &job->tally, err) : 0;
    if (rc || *out)
        return rc;
    mrp_auto(mrp_free_str) char *tag = referrers_tag(digest, "");
    struct found found = {0};
    rc = tag ? tag_digest(&found, job, tag, err) : mrp_fail(err, MRP_E_NOMEM, "referrers");
    return rc || !found.exists ? rc : end_get(out, src, tag, NULL, &job->tally, err);
}

static int
copy_round(struct job *job, const char *digest, uint64_t mask, int round, struct mrp_error *err)
{
    mrp_auto(manifest_free) struct manifest *list = NULL;
    int rc = source_list(&list, job, digest, err);
    if (rc || !list || !list->index || !list->count)
        return rc;
    if (round >= REFERRERS_ROUNDS) {
        mrp_auto(mrp_free_str) char *name = end_ref(&job->route->src, digest);
        mrp_log(job->route->copier->hub->stage, MRP_WARN,
                "%s: what refers to it is left out, %d levels away from the image",
                name ? name : digest, round);
        return 0;
    }
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
        rc = copy_one(job, list->items[i].digest, NULL, mask & job_mask(job), err);
        if (!rc)
            rc = follow(job, list->items[i].digest, mask, round + 1, err);
    }
    return rc;
}

struct part {
    struct job *job;
    const char *digest;
    const char *suffix; /* NULL: the list of referrers */
    uint64_t mask;
    int round;
};

static int part_task(void *arg, struct mrp_error *err)
{
    const struct part *p = arg;
    if (p->suffix)
        return copy_cosign(p->job, p->digest, p->suffix, p->mask, p->round, err);
    return copy_round(p->job, p->digest, p->mask, p->round, err);
}

/* The list of referrers and cosign's tags. */
enum { PARTS = COSIGN_TAGS + 1 };

static int spawn_parts(struct mrp_group *group,
                       struct part parts[PARTS],
                       const struct part *like,
                       struct mrp_error *err)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < PARTS; i++) {
        parts[i] = *like;
        parts[i].suffix = i ? cosign_suffixes[i - 1] : NULL;
        rc = mrp_group_spawn(group, part_task, &parts[i], err);
    }
    return rc;
}

static int
around(struct job *job, const char *digest, uint64_t mask, int round, struct mrp_error *err)
{
    struct part parts[PARTS];
    struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, job->route->copier->hub->http, 0, err);
    if (!rc)
        rc = spawn_parts(group, parts, &(struct part){job, digest, NULL, mask, round}, err);
    return mrp_group_finish(&group, rc, err);
}

/* With an index, what refers to the manifests in it: signatures of one platform's image. */
static int
below(struct job *job, const char *digest, uint64_t mask, int depth, struct mrp_error *err)
{
    enum { AT_ONCE = 4 };
    mrp_auto(manifest_free) struct manifest *m = NULL;
    int rc = tree_manifest(&m, job, digest, err);
    if (rc || !m->index || depth >= MANIFEST_DEPTH_MAX)
        return rc;
    job->route->looked += m->count;
    return tree_children(job, m, mask, depth + 1, AT_ONCE, referrers_copy, err);
}

int referrers_copy(struct job *job,
                   const char *digest,
                   uint64_t mask,
                   int depth,
                   struct mrp_error *err)
{
    struct part parts[PARTS];
    struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, job->route->copier->hub->http, 0, err);
    if (!rc)
        rc = spawn_parts(group, parts, &(struct part){job, digest, NULL, mask, 0}, err);
    if (!rc)
        rc = below(job, digest, mask, depth, err);
    return mrp_group_finish(&group, rc, err);
}
