/* One source with its destinations: lists, plans, relays, and reads again what moved meanwhile. */
#include "mirror.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdlib.h>
#include <string.h>

enum { TRIES = 3, NAMES_KEPT = 200 };

struct task {
    struct mrp_pair *pair;
    struct mrp_lane *lane; /* NULL: the source */
};

static int list_task(void *arg, struct mrp_error *err)
{
    struct task *t = arg;
    if (!t->lane) {
        mrp_refs_done(&t->pair->refs);
        int rc = t->pair->source->ops->list(t->pair->source, &t->pair->refs, MRP_UPLOAD_PACK, err);
        t->pair->failed = rc != MRP_OK;
        t->pair->err = *err;
        return MRP_OK;
    }
    struct mrp_lane *lane = t->lane;
    mrp_plan_done(&lane->plan);
    mrp_refs_done(&lane->refs);
    int rc = lane->end->ops->list(lane->end, &lane->refs, MRP_RECEIVE_PACK, err);
    lane->listed = rc == MRP_OK;
    lane->err = rc ? *err : (struct mrp_error){0};
    return MRP_OK;
}

static void give_up(struct mrp_lane *lane, const struct mrp_error *err)
{
    lane->failed = true;
    lane->over = true;
    lane->err = *err;
}

static bool shallow_refused(const struct mrp_refs *refs, const char *what, struct mrp_error *err)
{
    if (!refs->shallow)
        return false;
    mrp_fail(err, MRP_E_CONFIG, "%s is a shallow clone: its history is cut", what);
    mrp_hint(err, "mirror from the full repository, or complete it with git fetch --unshallow");
    return true;
}

/* All lists that are needed, at once. */
static int list_all(struct mrp_pair *pair, struct mrp_error *err)
{
    struct mrp_group *group = NULL;
    struct task *tasks = calloc(pair->lane_count + 1, sizeof *tasks);
    if (!tasks)
        return mrp_fail(err, MRP_E_NOMEM, "list the refs of %s", pair->name);
    int rc = mrp_group_new(&group, pair->mirror->session.http, 0, err);
    tasks[0] = (struct task){pair, NULL};
    if (!rc)
        rc = mrp_group_spawn(group, list_task, &tasks[0], err);
    for (size_t i = 0; i < pair->lane_count && !rc; i++) {
        tasks[i + 1] = (struct task){pair, &pair->lanes[i]};
        if (!pair->lanes[i].over)
            rc = mrp_group_spawn(group, list_task, &tasks[i + 1], err);
    }
    rc = mrp_group_finish(&group, rc, err);
    free(tasks);
    if (!rc && pair->failed) {
        *err = pair->err;
        rc = err->code;
    }
    if (!rc && shallow_refused(&pair->refs, pair->source->text, err))
        rc = err->code;
    return rc;
}

/* The destination is not there, or may not be: make it when that is wished. */
static int make_missing(struct mrp_pair *pair, struct mrp_lane *lane, struct mrp_error *err)
{
    struct mrp_mirror *m = pair->mirror;
    struct mrp_end *end = lane->end;
    bool maybe = lane->err.code == MRP_E_NOTFOUND;
    if (lane->err.code == MRP_E_AUTH && end->region) {
        struct mrp_error why = {0};
        maybe = mrp_repository_exists(end, &why) == MRP_E_NOTFOUND;
    }
    *err = lane->err;
    if (!maybe || !m->options->create || (!end->region && !end->ops->create))
        return err->code;
    *err = (struct mrp_error){0};
    lane->err = *err;
    lane->created = true;
    if (m->mode != MRP_MODE_RUN)
        return MRP_OK;
    int rc = end->region ? mrp_repository_create(end, pair->source, m->options->kms_key, err)
                         : end->ops->create(end, err);
    if (rc)
        return rc;
    mrp_log(m->session.stage, MRP_INFO, "%s: created", end->text);
    for (int i = 0;; i++) {
        rc = end->ops->list(end, &lane->refs, MRP_RECEIVE_PACK, err);
        if (rc != MRP_E_NOTFOUND || i == 4)
            return rc;
        int slept = mrp_http_sleep(m->session.http, 250 << i, err);
        if (slept)
            return slept;
    }
}

/* Refusals stand while both sides are as they were; a ref that moved gets another try. */
static void settle_refusals(struct mrp_lane *lane, bool atomic)
{
    bool moved = false;
    for (size_t i = 0; i < lane->refused_count; i++) {
        const struct mrp_refusal *r = &lane->refused[i];
        const struct mrp_update *u = mrp_plan_lookup(&lane->plan, r->name);
        moved = moved || !u || !mrp_oid_eq(&u->old, &r->old) || !mrp_oid_eq(&u->now, &r->now);
    }
    size_t kept = 0;
    for (size_t i = 0; i < lane->refused_count; i++) {
        struct mrp_refusal r = lane->refused[i];
        struct mrp_update *u = mrp_plan_lookup(&lane->plan, r.name);
        bool stands = u && mrp_oid_eq(&u->old, &r.old) && mrp_oid_eq(&u->now, &r.now);
        if (stands && !(atomic && moved)) {
            u->state = MRP_UPDATE_REFUSED;
            lane->refused[kept++] = r;
        } else {
            free(r.name);
            free(r.words);
        }
    }
    lane->refused_count = kept;
    mrp_plan_drop_refused(&lane->plan);
}

static int
prepare_lane(struct mrp_pair *pair, struct mrp_lane *lane, int try, struct mrp_error *err)
{
    struct mrp_mirror *m = pair->mirror;
    int rc = lane->err.code ? make_missing(pair, lane, err) : MRP_OK;
    if (!rc && shallow_refused(&lane->refs, lane->end->text, err))
        rc = err->code;
    if (!rc && try == 0)
        lane->was_empty = lane->refs.count == 0;
    if (!rc && try == 0 && pair->refs.odd_names)
        mrp_log(m->session.stage, MRP_WARN,
                "%s: refs whose names git itself refuses could not be mirrored",
                pair->source->text);
    if (!rc)
        rc = mrp_plan_make(&lane->plan, &pair->refs, &lane->refs, &m->policy, err);
    if (rc)
        return rc;
    if (try == 0)
        lane->unchanged = lane->plan.unchanged;
    if (m->mode == MRP_MODE_VERIFY)
        return MRP_OK;
    rc = mrp_plan_guard(&lane->plan, &m->policy, err);
    if (rc)
        return mrp_wrap(err, "%s", lane->end->text);
    if (lane->end->ops->whole && lane->plan.count) {
        /* All refs are written again, and nothing that is there now can be counted on. */
        mrp_plan_done(&lane->plan);
        mrp_refs_forget(&lane->refs);
        rc = mrp_plan_make(&lane->plan, &pair->refs, &lane->refs, &m->policy, err);
        return rc;
    }
    settle_refusals(lane, m->options->atomic);
    mrp_oids_done(&lane->haves);
    rc = mrp_refs_all_oids(&lane->haves, &lane->refs, err);
    return rc ? rc : mrp_forward_check(pair, lane, err);
}

static bool may_share(const struct mrp_lane *a, const struct mrp_lane *b)
{
    return !a->end->ops->whole && !b->end->ops->whole && mrp_lanes_share(a, b);
}

/* Group the lanes that need the same pack and feed each group. */
static int relay_all(struct mrp_pair *pair, struct mrp_error *err)
{
    struct mrp_mirror *m = pair->mirror;
    size_t n = pair->lane_count;
    struct mrp_lane **group = calloc(n, sizeof(*group));
    bool *taken = calloc(n, sizeof *taken);
    int rc = group && taken ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "mirror %s", pair->name);
    for (size_t i = 0; i < n && !rc; i++) {
        struct mrp_lane *first = &pair->lanes[i];
        if (taken[i] || first->over)
            continue;
        size_t count = 0;
        for (size_t k = i; k < n; k++) {
            struct mrp_lane *lane = &pair->lanes[k];
            if (taken[k] || lane->over || (k != i && !may_share(first, lane)))
                continue;
            taken[k] = true;
            group[count++] = lane;
        }
        struct mrp_relay relay = {.session = &m->session,
                                  .source = pair->source,
                                  .refs = &pair->refs,
                                  .batch =
                                      first->end->ops->whole ? SIZE_MAX : (size_t)m->options->batch,
                                  .atomic = m->options->atomic};
        mrp_relay_run(&relay, group, count);
        pair->source_bytes += relay.source_bytes;
        pair->lfs += relay.lfs;
        for (size_t k = 0; k < count; k++)
            group[k]->retry_source = relay.source_failed;
    }
    free(group);
    free(taken);
    return rc;
}

static void keep_name(struct mrp_lane *lane, const struct mrp_update *u)
{
    if (mrp_strv_len(lane->names) >= NAMES_KEPT)
        return;
    mrp_auto(mrp_free_str) char *shown = mrp_show_name(u->name, strlen(u->name));
    mrp_auto(mrp_free_str) char *text = shown ? mrp_strf("%s %s", mrp_update_verb(u), shown) : NULL;
    if (text && mrp_strv_add(&lane->names, text))
        return; /* only a list for people */
}

static int count_updates(struct mrp_lane *lane, bool *open, struct mrp_error *err)
{
    int rc = MRP_OK;
    for (size_t i = 0; i < lane->plan.count && !rc; i++) {
        const struct mrp_update *u = &lane->plan.list[i];
        bool branch = mrp_starts(u->name, "refs/heads/");
        if (u->state == MRP_UPDATE_DONE) {
            bool gone = mrp_oid_is_zero(&u->now), fresh = mrp_oid_is_zero(&u->old);
            lane->ref_deletes += gone;
            lane->ref_creates += fresh;
            lane->ref_updates += !gone && !fresh;
            lane->branches_moved = lane->branches_moved || (branch && (gone || fresh));
            keep_name(lane, u);
        } else if (u->state == MRP_UPDATE_REFUSED && !lane->failed) {
            lane->branches_moved = lane->branches_moved || (branch && mrp_oid_is_zero(&u->now));
            rc = mrp_lane_refuse(lane, u, u->words, err);
            *open = true;
        } else {
            *open = true;
        }
    }
    return rc;
}

/* May the same be tried again after reading the refs anew? */
static bool may_retry(struct mrp_lane *lane)
{
    const struct mrp_error *e = &lane->err;
    if (e->code == MRP_E_NET || e->code == MRP_E_TIMEOUT)
        return true;
    if (lane->unpack_failed) {
        /* Some servers cannot complete a thin pack; a whole one they take. */
        bool again = !lane->no_thin;
        lane->no_thin = true;
        return again;
    }
    if (e->code != MRP_E_REMOTE)
        return false;
    return lane->retry_source || e->upstream == 429 || e->upstream >= 500;
}

/* The source's default branch becomes the destination's, where branches came or went. */
static void set_head(struct mrp_pair *pair, struct mrp_lane *lane)
{
    struct mrp_mirror *m = pair->mirror;
    const char *head = pair->refs.head;
    bool changed = false;
    struct mrp_error err = {0};
    if (!m->options->head || !head || !(lane->branches_moved || lane->created || lane->was_empty))
        return;
    if (!mrp_policy_selects(&m->policy, head) || !mrp_refs_find(&pair->refs, head))
        return;
    int rc = MRP_OK;
    if (lane->end->region)
        rc = mrp_repository_head(lane->end, head, &changed, &err);
    else if (lane->end->ops->set_head)
        rc = lane->end->ops->set_head(lane->end, head, &changed, &err);
    lane->branches_moved = false;
    if (rc)
        mrp_log(m->session.stage, MRP_WARN, "%s: the default branch stays: %s", lane->end->text,
                err.msg);
    if (!changed)
        return;
    lane->head_set = true;
    mrp_change(m->session.stage, "default branch %s in %s", head, lane->end->text);
    /* The old default branch could not be deleted before; now it can. */
    for (size_t i = 0; i < lane->refused_count; i++)
        if (mrp_oid_is_zero(&lane->refused[i].now))
            memset(&lane->refused[i].old, 0, sizeof lane->refused[i].old);
}

/* After a round: done, refused for good, or once more? */
static void judge(struct mrp_pair *pair, struct mrp_lane *lane, int try)
{
    struct mrp_error err = {0};
    bool open = false;
    if (count_updates(lane, &open, &err)) {
        give_up(lane, &err);
        return;
    }
    if (!lane->failed)
        set_head(pair, lane);
    if (!open && !lane->failed) {
        /* A server that reports nothing is believed only after its list shows the new refs. */
        lane->over = mrp_refs_can(&lane->refs, "report-status");
        return;
    }
    if (lane->failed && (!may_retry(lane) || try + 1 == TRIES)) {
        err = lane->err;
        give_up(lane, &err);
        return;
    }
    if (lane->failed)
        mrp_log(pair->mirror->session.stage, MRP_INFO, "%s: try again after: %s", lane->end->text,
                lane->err.msg);
    pair->pause = pair->pause || lane->failed;
    lane->failed = false;
    lane->err = (struct mrp_error){0};
}

static bool all_over(const struct mrp_pair *pair)
{
    for (size_t i = 0; i < pair->lane_count; i++)
        if (!pair->lanes[i].over)
            return false;
    return true;
}

static void prepare_all(struct mrp_pair *pair, int try)
{
    for (size_t i = 0; i < pair->lane_count; i++) {
        struct mrp_lane *lane = &pair->lanes[i];
        struct mrp_error err = {0};
        if (lane->over)
            continue;
        if (prepare_lane(pair, lane, try, &err)) {
            give_up(lane, &err);
            continue;
        }
        if (lane->plan.count)
            continue;
        if (pair->mirror->mode == MRP_MODE_RUN && lane->created)
            set_head(pair, lane);
        lane->over = true;
    }
}

static int rounds(struct mrp_pair *pair, struct mrp_error *err)
{
    struct mrp_mirror *m = pair->mirror;
    for (int try = 0; try < TRIES; try++) {
        int rc = pair->pause ? mrp_http_sleep(m->session.http, 50 << (2 * try), err) : MRP_OK;
        pair->pause = false;
        if (!rc)
            rc = list_all(pair, err);
        if (rc)
            return rc;
        prepare_all(pair, try);
        if (m->mode != MRP_MODE_RUN || all_over(pair))
            return MRP_OK;
        rc = relay_all(pair, err);
        if (rc)
            return rc;
        for (size_t i = 0; i < pair->lane_count; i++)
            if (!pair->lanes[i].over)
                judge(pair, &pair->lanes[i], try);
        if (all_over(pair))
            return MRP_OK;
    }
    /* Refusals that no list has confirmed are final now; anything else kept moving. */
    for (size_t i = 0; i < pair->lane_count; i++) {
        struct mrp_lane *lane = &pair->lanes[i];
        if (lane->over)
            continue;
        lane->over = true;
        if (lane->refused_count)
            continue;
        lane->failed = true;
        mrp_fail(&lane->err, MRP_E_CONFLICT, "%s: its refs moved in each of %d tries",
                 lane->end->text, TRIES);
    }
    return MRP_OK;
}

static void close_end(struct mrp_end *end)
{
    if (end->ops->close)
        end->ops->close(end);
}

int mrp_pair_run(void *arg, struct mrp_error *err)
{
    struct mrp_pair *pair = arg;
    int64_t began = mrp_now_ms();
    int rc = rounds(pair, err);
    for (size_t i = 0; i < pair->lane_count; i++) {
        struct mrp_lane *lane = &pair->lanes[i];
        lane->began_ms = began;
        lane->ended_ms = mrp_now_ms();
        if (rc && !lane->over)
            give_up(lane, err);
        mrp_oids_done(&lane->haves);
        close_end(lane->end);
    }
    close_end(pair->source);
    pair->failed = rc != MRP_OK;
    if (rc)
        pair->err = *err;
    *err = (struct mrp_error){0};
    pair->mirror->session.pairs_done++;
    return MRP_OK; /* one repository does not stop the others; mirror.c sums up */
}

void mrp_pair_done(struct mrp_pair *pair)
{
    for (size_t i = 0; i < pair->lane_count; i++)
        mrp_lane_done(&pair->lanes[i]);
    free(pair->lanes);
    free(pair->name);
    mrp_refs_done(&pair->refs);
    mrp_end_free(&pair->source);
    *pair = (struct mrp_pair){0};
}
