/* The relay: one read of the source feeds every destination that needs the same pack. */
#include "lane.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

/* One round: one pack, one push to each lane. */
struct round {
    struct mrp_relay *relay;
    struct mrp_hub *hub; /* NULL: nothing but deletes */
    struct mrp_oids wants;
    const struct mrp_oids *haves;
    bool thin, ofs_delta;
};

struct push_task {
    struct round *round;
    struct mrp_lane *lane;
    struct mrp_hub_reader *reader;
    size_t first, end;
};

static int pull_task(void *arg, struct mrp_error *err)
{
    struct round *r = arg;
    struct mrp_relay *relay = r->relay;
    struct mrp_pull pull = {.refs = relay->refs,
                            .wants = &r->wants,
                            .haves = r->haves,
                            .thin = r->thin,
                            .ofs_delta = r->ofs_delta};
    int rc = relay->source->ops->pull(relay->source, &pull, r->hub, err);
    if (!rc && !mrp_hub_complete(r->hub))
        rc = mrp_fail(err, MRP_E_BUG, "%s gave half a pack", relay->source->text);
    if (rc && mrp_hub_wanted(r->hub)) {
        relay->source_failed = true;
        mrp_hub_break(r->hub, err);
    }
    relay->source_bytes += mrp_hub_bytes(r->hub);
    relay->lfs += mrp_hub_lfs(r->hub);
    return MRP_OK; /* the lanes carry the failure */
}

static int push_task(void *arg, struct mrp_error *err)
{
    struct push_task *t = arg;
    struct mrp_lane *lane = t->lane;
    struct mrp_push push = {.refs = &lane->refs,
                            .source = t->round->relay->refs,
                            .plan = &lane->plan,
                            .first = t->first,
                            .end = t->end,
                            .atomic = t->round->relay->atomic};
    int rc = lane->end->ops->push(lane->end, &push, t->reader, err);
    if (t->reader)
        mrp_hub_leave(t->reader);
    lane->bytes += push.sent_bytes;
    lane->pushes++;
    lane->unpack_failed = push.unpack_failed;
    if (rc) {
        lane->failed = true;
        lane->err = *err;
        *err = (struct mrp_error){0};
    }
    return MRP_OK;
}

static void fail_all(struct mrp_lane **lanes, size_t count, const struct mrp_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (lanes[i]->failed)
            continue;
        lanes[i]->failed = true;
        lanes[i]->err = *err;
    }
}

static int run_tasks(struct round *r, struct push_task *tasks, size_t count, struct mrp_error *err)
{
    struct mrp_http *http = r->relay->session->http;
    struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, http, (unsigned)count + 1, err);
    for (size_t i = 0; i < count && !rc; i++)
        rc = mrp_group_spawn(group, push_task, &tasks[i], err);
    if (!rc && r->hub && !mrp_hub_complete(r->hub))
        rc = mrp_group_spawn(group, pull_task, r, err);
    if (rc && r->hub)
        mrp_hub_break(r->hub, err);
    return mrp_group_finish(&group, rc, err);
}

static void moved(void *arg, size_t len)
{
    struct mrp_relay *relay = arg;
    struct mrp_session *s = relay->session;
    s->moved_bytes += len;
    struct mrp_progress now = {.what = relay->source->text,
                               .done_bytes = s->moved_bytes,
                               .done_items = s->pairs_done,
                               .total_items = s->pairs,
                               .unit = "repositories"};
    mrp_progress(s->stage, &now);
}

/* Make the pack's place; a pack without objects needs no source. */
static int
open_hub(struct round *r, struct push_task *tasks, size_t count, bool pack, struct mrp_error *err)
{
    if (!pack)
        return MRP_OK;
    int rc = mrp_hub_new(&r->hub, r->relay->session->http, count, err);
    if (!rc)
        mrp_hub_on_bytes(r->hub, moved, r->relay);
    for (size_t i = 0; i < count && !rc; i++)
        tasks[i].reader = mrp_hub_reader(r->hub, i);
    if (!rc && !r->wants.count)
        rc = mrp_hub_add_empty(r->hub, err);
    return rc;
}

static int add_wants(struct round *r, const struct push_task *t, bool *pack, struct mrp_error *err)
{
    int rc = MRP_OK;
    for (size_t i = t->first; i < t->end && !rc; i++) {
        const struct mrp_oid *now = &t->lane->plan.list[i].now;
        if (mrp_oid_is_zero(now))
            continue;
        *pack = true;
        if (!mrp_oids_has(r->haves, now))
            rc = mrp_oids_add(&r->wants, now, err);
    }
    mrp_oids_sort(&r->wants);
    return rc;
}

static void
run_round(struct mrp_relay *relay, struct push_task *tasks, size_t count, struct mrp_oids *haves)
{
    struct round r = {
        .relay = relay, .haves = haves, .thin = relay->session->thin, .ofs_delta = true};
    struct mrp_error err = {0};
    bool pack = false;
    for (size_t i = 0; i < count; i++) {
        const struct mrp_lane *lane = tasks[i].lane;
        tasks[i].round = &r;
        r.thin = r.thin && !lane->no_thin && !mrp_refs_can(&lane->refs, "no-thin");
        r.ofs_delta = r.ofs_delta && mrp_refs_can(&lane->refs, "ofs-delta");
    }
    int rc = add_wants(&r, &tasks[0], &pack, &err);
    if (!rc)
        rc = open_hub(&r, tasks, count, pack, &err);
    if (!rc)
        rc = run_tasks(&r, tasks, count, &err);
    for (size_t i = 0; i < r.wants.count && !rc; i++)
        rc = mrp_oids_add(haves, &r.wants.list[i], &err);
    mrp_oids_sort(haves);
    if (rc)
        for (size_t i = 0; i < count; i++)
            fail_all(&tasks[i].lane, 1, &err);
    for (size_t i = 0; i < count; i++)
        tasks[i].round = NULL;
    mrp_oids_done(&r.wants);
    mrp_hub_free(&r.hub);
}

/* What every lane has: safe to name as known to the source for all of them. */
static int
common_haves(struct mrp_oids *out, struct mrp_lane **lanes, size_t count, struct mrp_error *err)
{
    int rc = MRP_OK;
    for (size_t i = 0; i < lanes[0]->haves.count && !rc; i++) {
        const struct mrp_oid *id = &lanes[0]->haves.list[i];
        bool all = true;
        for (size_t k = 1; k < count && all; k++)
            all = mrp_oids_has(&lanes[k]->haves, id);
        if (all)
            rc = mrp_oids_add(out, id, err);
    }
    return rc;
}

/* Deletes of one lane before anything else, when they cannot go in the same push. */
static void deletes_first(struct mrp_relay *relay, struct mrp_lane *lane)
{
    struct mrp_oids none = {0};
    for (size_t first = 0; first < lane->plan.deletes && !lane->failed;) {
        size_t end =
            first + relay->batch < lane->plan.deletes ? first + relay->batch : lane->plan.deletes;
        struct push_task t = {.lane = lane, .first = first, .end = end};
        run_round(relay, &t, 1, &none);
        first = end;
    }
    mrp_oids_done(&none);
}

/* The lanes that still go on, with their part of the plan from `done` updates on. */
static size_t next_tasks(struct push_task *tasks,
                         const struct mrp_relay *relay,
                         struct mrp_lane **lanes,
                         size_t count,
                         bool split,
                         size_t done)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        struct mrp_lane *lane = lanes[i];
        size_t first = split ? lane->plan.deletes + done : done;
        if (lane->failed || first >= lane->plan.count)
            continue;
        size_t end =
            lane->plan.count - first > relay->batch ? first + relay->batch : lane->plan.count;
        tasks[n++] = (struct push_task){.lane = lane, .first = first, .end = end};
    }
    return n;
}

void mrp_relay_run(struct mrp_relay *relay, struct mrp_lane **lanes, size_t count)
{
    struct mrp_error err = {0};
    struct mrp_oids haves = {0};
    struct push_task *tasks = calloc(count, sizeof *tasks);
    int rc = tasks ? common_haves(&haves, lanes, count, &err)
                   : mrp_fail(&err, MRP_E_NOMEM, "mirror to %zu places", count);
    bool split = false;
    for (size_t i = 0; i < count; i++)
        split = split || lanes[i]->plan.count > relay->batch ||
                (relay->atomic && lanes[i]->plan.collides);
    if (rc)
        fail_all(lanes, count, &err);
    for (size_t i = 0; i < count && split && !rc; i++)
        deletes_first(relay, lanes[i]);
    size_t done = 0;
    for (size_t n; !rc && (n = next_tasks(tasks, relay, lanes, count, split, done)) > 0;) {
        size_t size = tasks[0].end - tasks[0].first;
        run_round(relay, tasks, n, &haves);
        done += size;
        if (!split)
            break; /* everything went in one push to each lane */
    }
    mrp_oids_done(&haves);
    free(tasks);
}

bool mrp_lanes_share(const struct mrp_lane *a, const struct mrp_lane *b)
{
    const struct mrp_plan *p = &a->plan, *q = &b->plan;
    size_t n = p->count - p->deletes;
    if (n == 0 || n != q->count - q->deletes)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct mrp_update *u = &p->list[p->deletes + i], *v = &q->list[q->deletes + i];
        if (!mrp_oid_eq(&u->now, &v->now) || strcmp(u->name, v->name) != 0)
            return false;
    }
    /* What only one of them has cannot be left out of a common pack. */
    size_t most = a->haves.count > b->haves.count ? a->haves.count : b->haves.count, common = 0;
    for (size_t i = 0; i < a->haves.count; i++)
        common += mrp_oids_has(&b->haves, &a->haves.list[i]);
    return common * 10 >= most * 9;
}

void mrp_lane_done(struct mrp_lane *lane)
{
    mrp_plan_done(&lane->plan);
    mrp_refs_done(&lane->refs);
    mrp_oids_done(&lane->haves);
    for (size_t i = 0; i < lane->refused_count; i++) {
        free(lane->refused[i].name);
        free(lane->refused[i].words);
    }
    free(lane->refused);
    mrp_free_strv(&lane->names);
    mrp_end_free(&lane->end);
    *lane = (struct mrp_lane){0};
}

int mrp_lane_refuse(struct mrp_lane *lane,
                    const struct mrp_update *u,
                    const char *words,
                    struct mrp_error *err)
{
    struct mrp_refusal *r = realloc(lane->refused, (lane->refused_count + 1) * sizeof *r);
    if (!r)
        return mrp_fail(err, MRP_E_NOMEM, "keep a refusal");
    lane->refused = r;
    r += lane->refused_count;
    *r = (struct mrp_refusal){.name = mrp_strdup(u->name),
                              .words = mrp_strdup(words ? words : ""),
                              .old = u->old,
                              .now = u->now};
    lane->refused_count++;
    return r->name && r->words ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "keep a refusal");
}
