/* Fast-forward only: is the destination's old commit part of the new history? Nobody serves that
 * question over git's protocol, so the source is asked for a pack of new minus old; commits come
 * first in it, and one of them names the old commit as its parent exactly when it is. */
#include "commits.h"
#include "mirror.h"

#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

struct probe {
    struct mrp_pair *pair;
    struct mrp_hub *hub;
    struct mrp_pull pull;
    struct mrp_commits *commits;
    bool found;
};

static int pull_task(void *arg, struct mrp_error *err)
{
    struct probe *p = arg;
    int rc = p->pair->source->ops->pull(p->pair->source, &p->pull, p->hub, err);
    if (rc && mrp_hub_wanted(p->hub))
        mrp_hub_break(p->hub, err);
    return MRP_OK;
}

static int read_task(void *arg, struct mrp_error *err)
{
    struct probe *p = arg;
    struct mrp_hub_reader *r = mrp_hub_reader(p->hub, 0);
    int rc = MRP_OK;
    for (bool over = false; !rc && !over;) {
        const char *data;
        size_t len;
        rc = mrp_hub_peek(&data, &len, r, err);
        if (rc || !len)
            break;
        rc = mrp_commits_feed(p->commits, data, len, &over, err);
        mrp_hub_took(r, len);
    }
    p->found = mrp_commits_found(p->commits);
    mrp_hub_leave(r); /* the rest of the pack is not wanted */
    return rc;
}

static int ask_pack(struct probe *p, const struct mrp_oid *old, struct mrp_error *err)
{
    struct mrp_http *http = p->pair->mirror->session.http;
    struct mrp_group *group = NULL;
    int rc = mrp_commits_new(&p->commits, old, err);
    if (!rc)
        rc = mrp_hub_new(&p->hub, http, 1, err);
    if (!rc)
        rc = mrp_group_new(&group, http, 2, err);
    if (!rc)
        rc = mrp_group_spawn(group, pull_task, p, err);
    if (!rc)
        rc = mrp_group_spawn(group, read_task, p, err);
    rc = mrp_group_finish(&group, rc, err);
    mrp_hub_free(&p->hub);
    mrp_commits_free(&p->commits);
    return rc;
}

static int
contains(bool *yes, struct mrp_pair *pair, const struct mrp_update *u, struct mrp_error *err)
{
    if (pair->source->ops->contains)
        return pair->source->ops->contains(pair->source, yes, &u->now, &u->old, err);
    struct mrp_oid now = u->now, old = u->old;
    struct mrp_oids wants = {&now, 1, 1}, haves = {&old, 1, 1};
    struct probe p = {
        .pair = pair,
        .pull = {.refs = &pair->refs, .wants = &wants, .haves = &haves, .ofs_delta = true}};
    int rc = ask_pack(&p, &old, err);
    *yes = p.found;
    return rc;
}

int mrp_forward_check(struct mrp_pair *pair, struct mrp_lane *lane, struct mrp_error *err)
{
    const struct mrp_policy *policy = &pair->mirror->policy;
    bool any = false;
    for (size_t i = lane->plan.deletes; i < lane->plan.count; i++) {
        struct mrp_update *u = &lane->plan.list[i];
        if (mrp_oid_is_zero(&u->old) || mrp_policy_forces(policy, u->name))
            continue;
        bool yes = false;
        if (mrp_starts(u->name, "refs/heads/")) {
            int rc = contains(&yes, pair, u, err);
            if (rc)
                return mrp_wrap(err, "is %s a fast-forward", u->name);
        }
        if (yes)
            continue;
        int rc = mrp_lane_refuse(lane, u,
                                 "not a fast-forward: the source's history was rewritten (see "
                                 "force)",
                                 err);
        if (rc)
            return rc;
        u->state = MRP_UPDATE_REFUSED;
        any = true;
    }
    if (any)
        mrp_plan_drop_refused(&lane->plan);
    return MRP_OK;
}
