/* What is told of a mirrored repository: changes, one line for people, one event for machines. */
#include "mirror.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

enum { SHOWN = 20, LISTED = 200 };

static void put_refusals(json_t *out, const struct mrp_lane *lane)
{
    json_t *list = json_array();
    for (size_t i = 0; i < lane->refused_count && i < LISTED; i++) {
        const struct mrp_refusal *r = &lane->refused[i];
        mrp_auto(mrp_free_str) char *name = mrp_show_name(r->name, strlen(r->name));
        mrp_auto(mrp_free_str) char *words = mrp_show_name(r->words, strlen(r->words));
        json_array_append_new(
            list, json_pack("{s:s,s:s}", "ref", name ? name : "", "reason", words ? words : ""));
    }
    mrp_json_put(out, "refused", list);
}

static double seconds(const struct mrp_lane *lane)
{
    return (double)(lane->ended_ms - lane->began_ms) / 1000.0;
}

json_t *mrp_lane_json(const struct mrp_pair *pair, const struct mrp_lane *lane)
{
    json_t *out = json_pack("{s:s,s:s,s:s}", "repository", pair->name, "source",
                            pair->source ? pair->source->text : "", "destination", lane->end->text);
    if (!out)
        return NULL;
    mrp_json_puts(out, "region", lane->end->region);
    mrp_json_puti(out, "created", (int64_t)lane->ref_creates);
    mrp_json_puti(out, "updated", (int64_t)lane->ref_updates);
    mrp_json_puti(out, "deleted", (int64_t)lane->ref_deletes);
    mrp_json_puti(out, "unchanged", (int64_t)lane->unchanged);
    put_refusals(out, lane);
    mrp_json_puti(out, "bytes", (int64_t)lane->bytes);
    mrp_json_puti(out, "pushes", lane->pushes);
    mrp_json_put(out, "seconds", json_real(seconds(lane)));
    mrp_json_put(out, "repository-created", json_boolean(lane->created));
    json_t *changes = json_array();
    for (char **n = lane->names; n && *n; n++)
        json_array_append_new(changes, json_string(*n));
    mrp_json_put(out, "changes", changes);
    if (lane->failed)
        mrp_json_puts(out, "error", lane->err.msg);
    return out;
}

static void tell_changes(struct mrp_stage *stage, const struct mrp_lane *lane)
{
    size_t n = 0, all = lane->ref_creates + lane->ref_updates + lane->ref_deletes;
    for (; lane->names && lane->names[n] && n < SHOWN; n++)
        mrp_change(stage, "%s in %s", lane->names[n], lane->end->text);
    if (all > n)
        mrp_change(stage, "and %zu more refs in %s", all - n, lane->end->text);
}

static bool
tell_run(struct mrp_stage *stage, const struct mrp_pair *pair, const struct mrp_lane *lane)
{
    size_t all = lane->ref_creates + lane->ref_updates + lane->ref_deletes;
    char bytes[32], took[32];
    mrp_show_bytes(bytes, sizeof bytes, lane->bytes);
    mrp_show_ms(took, sizeof took, lane->ended_ms - lane->began_ms);
    if (lane->created)
        mrp_change(stage, "create repository %s", lane->end->text);
    tell_changes(stage, lane);
    mrp_event(stage, "repository", mrp_lane_json(pair, lane));
    for (size_t i = 0; i < lane->refused_count && i < SHOWN; i++) {
        mrp_auto(mrp_free_str) char *name =
            mrp_show_name(lane->refused[i].name, strlen(lane->refused[i].name));
        mrp_log(stage, MRP_WARN, "%s refuses %s: %s", lane->end->text, name ? name : "",
                lane->refused[i].words);
    }
    if (lane->failed && all)
        mrp_log(stage, MRP_WARN, "%s: %zu ref updates went through before it failed",
                lane->end->text, all);
    else if (lane->failed)
        mrp_log(stage, MRP_WARN, "%s: nothing was changed", lane->end->text);
    else if (all || lane->refused_count || lane->created)
        mrp_log(stage, MRP_INFO,
                "%s: %zu created, %zu updated, %zu deleted, %zu unchanged, %zu refused; %s in %s",
                lane->end->text, lane->ref_creates, lane->ref_updates, lane->ref_deletes,
                lane->unchanged, lane->refused_count, bytes, took);
    else
        mrp_log(stage, MRP_INFO, "%s: equal, %zu refs", lane->end->text, lane->unchanged);
    if (all)
        mrp_count(stage, "refs", (int64_t)all);
    return all || lane->created || lane->head_set;
}

static bool tell_plan(struct mrp_stage *stage, const struct mrp_lane *lane)
{
    if (lane->failed)
        return false;
    if (lane->created)
        mrp_change(stage, "create repository %s", lane->end->text);
    size_t i = 0;
    for (; i < lane->plan.count && i < SHOWN; i++) {
        const struct mrp_update *u = &lane->plan.list[i];
        mrp_auto(mrp_free_str) char *name = mrp_show_name(u->name, strlen(u->name));
        mrp_change(stage, "%s %s in %s", mrp_update_verb(u), name ? name : "", lane->end->text);
    }
    if (i < lane->plan.count)
        mrp_change(stage, "and %zu more refs in %s", lane->plan.count - i, lane->end->text);
    return lane->plan.count || lane->created;
}

static bool
tell_verify(struct mrp_stage *stage, const struct mrp_pair *pair, const struct mrp_lane *lane)
{
    char old[MRP_OID_HEX + 1], now[MRP_OID_HEX + 1];
    if (lane->failed)
        return false;
    for (size_t i = 0; i < lane->plan.count && i < SHOWN; i++) {
        const struct mrp_update *u = &lane->plan.list[i];
        mrp_auto(mrp_free_str) char *name = mrp_show_name(u->name, strlen(u->name));
        mrp_change(stage, "%s: %s is %.12s, in the source %.12s", lane->end->text, name ? name : "",
                   mrp_oid_is_zero(&u->old) ? "missing" : mrp_oid_hex(old, &u->old),
                   mrp_oid_is_zero(&u->now) ? "missing" : mrp_oid_hex(now, &u->now));
    }
    if (lane->plan.count > SHOWN)
        mrp_change(stage, "%s: and %zu more refs differ", lane->end->text,
                   lane->plan.count - SHOWN);
    mrp_log(stage, lane->plan.count ? MRP_WARN : MRP_INFO, "%s: %zu refs equal, %zu differ",
            lane->end->text, lane->plan.unchanged, lane->plan.count);
    json_t *fields = json_pack(
        "{s:s,s:s,s:I,s:I,s:I,s:I}", "repository", pair->name, "destination", lane->end->text,
        "equal", (json_int_t)lane->plan.unchanged, "missing", (json_int_t)lane->plan.creates,
        "different", (json_int_t)lane->plan.changes, "extra", (json_int_t)lane->plan.deletes);
    mrp_event(stage, "parity", fields);
    return lane->plan.count > 0;
}

bool mrp_pair_tell(const struct mrp_pair *pair)
{
    struct mrp_stage *stage = pair->mirror->session.stage;
    bool changed = false;
    for (size_t i = 0; i < pair->lane_count; i++) {
        const struct mrp_lane *lane = &pair->lanes[i];
        switch (pair->mirror->mode) {
        case MRP_MODE_RUN:
            changed |= tell_run(stage, pair, lane);
            break;
        case MRP_MODE_PLAN:
            changed |= tell_plan(stage, lane);
            break;
        case MRP_MODE_VERIFY:
            changed |= tell_verify(stage, pair, lane);
            break;
        }
    }
    if (pair->lfs)
        mrp_log(stage, MRP_WARN,
                "%s: %llu Git LFS pointers came along; the files they stand for are not in git and "
                "are not mirrored",
                pair->name, (unsigned long long)pair->lfs);
    return changed;
}
