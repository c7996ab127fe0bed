/* Walks images at their destinations and reports every part that is missing or different. */
#include "verify.h"
#include "referrers.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

struct walk {
    struct job *job;
    size_t dest;
    bool referrers;
    json_t *differences;
    struct table *seen; /* referrers that were looked at */
};

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "verify");
}

static int
differ(const struct walk *w, const char *digest, const char *problem, struct mrp_error *err)
{
    const struct job_dest *d = &w->job->dests[w->dest];
    mrp_auto(mrp_free_str) char *image =
        end_ref(&w->job->route->dst[w->dest], d->tag ? d->tag : w->job->digest);
    json_t *j =
        image ? json_pack("{s:s, s:s, s:s}", "image", image, "digest", digest, "problem", problem)
              : NULL;
    w->job->dests[w->dest].changed = true;
    return json_array_append_new(w->differences, j) ? nomem(err) : 0;
}

static int check_blob(const struct walk *w, const struct desc *d, struct mrp_error *err)
{
    struct end *dst = &w->job->route->dst[w->dest];
    bool there = false;
    if (d->foreign)
        return 0;
    if (dst->layout) {
        there = layout_has_blob(dst->layout, d->digest, d->size);
    } else {
        int rc = registry_has_blob(&there, dst->repo, d->digest, NULL, err);
        if (rc)
            return rc;
    }
    return there ? 0 : differ(w, d->digest, "blob missing", err);
}

static int check_tree(const struct walk *w, const char *digest, int depth, struct mrp_error *err)
{
    struct end *dst = &w->job->route->dst[w->dest];
    struct found found = {0};
    int rc = end_head(&found, dst, digest, NULL, err);
    if (rc)
        return rc;
    if (!found.exists)
        return differ(w, digest, "manifest missing", err);
    mrp_auto(manifest_free) struct manifest *m = NULL;
    if ((rc = end_get(&m, dst, digest, digest, NULL, err)))
        return rc;
    if (depth > MANIFEST_DEPTH_MAX)
        return mrp_fail(err, MRP_E_REMOTE, "index %s: too many levels", digest);
    for (size_t i = 0; !rc && i < m->count; i++)
        rc = m->index ? check_tree(w, m->items[i].digest, depth + 1, err)
                      : check_blob(w, &m->items[i], err);
    return rc;
}

static int
check_referrers(const struct walk *w, const char *digest, int round, struct mrp_error *err);

/* A referrer is an image of its own: its parts, and what refers to it in turn. Lists are the
 * registry's word, so each is followed once. */
static int
check_referrer(const struct walk *w, const char *digest, int round, struct mrp_error *err)
{
    struct item *item = table_at(w->seen, digest);
    if (!item)
        return nomem(err);
    if (item->present || round > REFERRERS_ROUNDS)
        return 0;
    item->present = 1;
    int rc = check_tree(w, digest, 0, err);
    return rc ? rc : check_referrers(w, digest, round, err);
}

static int check_list(const struct walk *w, const char *digest, int round, struct mrp_error *err)
{
    struct route *route = w->job->route;
    if (round >= REFERRERS_ROUNDS)
        return 0;
    mrp_auto(manifest_free) struct manifest *here = NULL;
    mrp_auto(manifest_free) struct manifest *there = NULL;
    int rc = referrers_list(&here, &route->src, digest, NULL, err);
    if (!rc && here && here->index)
        rc = referrers_list(&there, &route->dst[w->dest], digest, NULL, err);
    for (size_t i = 0; !rc && here && here->index && i < here->count; i++) {
        bool found = false;
        for (size_t k = 0; there && !found && k < there->count; k++)
            found = !strcmp(here->items[i].digest, there->items[k].digest);
        rc = found ? check_referrer(w, here->items[i].digest, round + 1, err)
                   : differ(w, here->items[i].digest, "referrer missing", err);
    }
    return rc;
}

static int
check_referrers(const struct walk *w, const char *digest, int round, struct mrp_error *err)
{
    struct route *route = w->job->route;
    int rc = check_list(w, digest, round, err);
    for (const char *const *suffix = cosign_suffixes; !rc && *suffix; suffix++) {
        mrp_auto(mrp_free_str) char *tag = referrers_tag(digest, *suffix);
        struct found a = {0};
        struct found b = {0};
        rc = tag ? end_head(&a, &route->src, tag, NULL, err) : nomem(err);
        if (rc || !a.exists)
            continue;
        rc = end_head(&b, &route->dst[w->dest], tag, NULL, err);
        if (!rc && !strcmp(a.digest, b.digest))
            rc = check_referrer(w, a.digest, round + 1, err);
        else if (!rc)
            rc = differ(w, a.digest, b.exists ? "cosign tag differs" : "cosign tag missing", err);
    }
    return rc;
}

/* Of the image and, with an index, of each platform's. */
static int
check_all_referrers(const struct walk *w, const char *digest, int depth, struct mrp_error *err)
{
    mrp_auto(manifest_free) struct manifest *m = NULL;
    int rc = check_referrers(w, digest, 0, err);
    if (!rc)
        rc = tree_manifest(&m, w->job, digest, err);
    if (rc || !m->index || depth > MANIFEST_DEPTH_MAX)
        return rc;
    for (size_t i = 0; !rc && i < m->count; i++)
        rc = check_all_referrers(w, m->items[i].digest, depth + 1, err);
    return rc;
}

static int walk_task(void *arg, struct mrp_error *err)
{
    struct walk w = *(const struct walk *)arg;
    mrp_auto(table_done) struct table seen = {0};
    w.seen = &seen;
    int rc = check_tree(&w, w.job->digest, 0, err);
    return rc || !w.referrers ? rc : check_all_referrers(&w, w.job->digest, 0, err);
}

struct compared {
    struct job *job;
    bool referrers;
    json_t *differences;
};

static int walk_job(void *arg, struct mrp_error *err)
{
    const struct compared *c = arg;
    struct job *job = c->job;
    struct walk walks[DESTINATIONS_MAX];
    struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, job->route->copier->hub->http, 0, err);
    for (size_t i = 0; !rc && i < job->route->count; i++) {
        struct job_dest *d = &job->dests[i];
        walks[i] = (struct walk){job, i, c->referrers, c->differences, NULL};
        if (d->changed)
            rc = differ(&walks[i], job->digest, d->had[0] ? "another digest" : "missing", err);
        else
            rc = mrp_group_spawn(group, walk_task, &walks[i], err);
    }
    return mrp_group_finish(&group, rc, err);
}

int verify_deep(struct copier *c, bool referrers, json_t *differences, struct mrp_error *err)
{
    enum { AT_ONCE = 16 };
    size_t count = 0;
    for (struct job *job = c->jobs; job; job = job->next)
        count++;
    struct compared *all = calloc(count + 1, sizeof *all);
    struct mrp_group *group = NULL;
    int rc = all ? mrp_group_new(&group, c->hub->http, AT_ONCE, err) : nomem(err);
    struct compared *one = all;
    for (struct job *job = c->jobs; !rc && job; job = job->next, one++) {
        *one = (struct compared){job, referrers, differences};
        rc = mrp_group_spawn(group, walk_job, one, err);
    }
    rc = mrp_group_finish(&group, rc, err);
    free(all);
    return rc;
}

void verify_tell(struct mrp_stage *stage, const json_t *differences)
{
    size_t i;
    json_t *j;
    json_array_foreach(differences, i, j)
    {
        mrp_log(stage, MRP_WARN, "%s: %s (%s)", mrp_json_str(j, "image"),
                mrp_json_str(j, "problem"), mrp_json_str(j, "digest"));
    }
}
