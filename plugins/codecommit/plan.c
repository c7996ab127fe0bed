/* Selection of refs by pattern, and the plan of ref updates between two tables. */
#include "plan.h"

#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

bool mrp_pattern_match(const char *pattern, const char *name)
{
    if (mrp_streq(pattern, "all"))
        return true;
    if (mrp_streq(pattern, "heads") || mrp_streq(pattern, "branches"))
        return mrp_starts(name, "refs/heads/");
    if (mrp_streq(pattern, "tags"))
        return mrp_starts(name, "refs/tags/");
    if (mrp_streq(pattern, "notes"))
        return mrp_starts(name, "refs/notes/");
    if (mrp_starts(pattern, "refs/"))
        return mrp_glob_match(pattern, name, false);
    if (mrp_starts(name, "refs/heads/"))
        return mrp_glob_match(pattern, name + 11, false);
    return mrp_starts(name, "refs/tags/") && mrp_glob_match(pattern, name + 10, false);
}

static bool any_match(char *const *patterns, const char *name)
{
    for (; patterns && *patterns; patterns++)
        if (mrp_pattern_match(*patterns, name))
            return true;
    return false;
}

bool mrp_policy_selects(const struct mrp_policy *policy, const char *name)
{
    if (policy->refs && policy->refs[0]) {
        if (!any_match(policy->refs, name))
            return false;
    } else if (!mrp_starts(name, "refs/heads/") && !mrp_starts(name, "refs/tags/")) {
        return false;
    }
    return !any_match(policy->exclude, name);
}

bool mrp_policy_forces(const struct mrp_policy *policy, const char *name)
{
    char *const *p = policy->force;
    if (!p || !p[0])
        return true;
    if (!p[1] && (mrp_streq(p[0], "no") || mrp_streq(p[0], "none") || mrp_streq(p[0], "false")))
        return false;
    if (!p[1] && (mrp_streq(p[0], "yes") || mrp_streq(p[0], "true")))
        return true;
    return any_match(p, name);
}

int mrp_policy_prune_limit(struct mrp_policy *policy, const char *text, struct mrp_error *err)
{
    size_t n = text ? strlen(text) : 0;
    uint64_t value = 0;
    policy->prune_all = false;
    policy->prune_percent = 0;
    policy->prune_count = 0;
    if (mrp_streq(text, "all") || mrp_streq(text, "100%")) {
        policy->prune_all = true;
        return MRP_OK;
    }
    bool share = n > 1 && text[n - 1] == '%';
    if (n == 0 || mrp_parse_uint(&value, text, share ? n - 1 : n, share ? 99 : UINT32_MAX) ||
        value == 0) {
        mrp_fail(err, MRP_E_CONFIG, "prune-limit: \"%s\" is no share and no number",
                 text ? text : "");
        return mrp_hint(err, "write a share (50%%), a number of refs (20), or all");
    }
    if (share)
        policy->prune_percent = (unsigned)value;
    else
        policy->prune_count = value;
    return MRP_OK;
}

static int add(struct mrp_plan *plan,
               const char *name,
               const struct mrp_oid *old,
               const struct mrp_oid *now,
               struct mrp_error *err)
{
    if (plan->count == plan->cap) {
        size_t cap = plan->cap ? 2 * plan->cap : 64;
        struct mrp_update *list = realloc(plan->list, cap * sizeof *list);
        if (!list)
            return mrp_fail(err, MRP_E_NOMEM, "plan %zu ref updates", cap);
        plan->list = list;
        plan->cap = cap;
    }
    struct mrp_update *u = &plan->list[plan->count++];
    *u = (struct mrp_update){.name = name};
    if (old)
        u->old = *old;
    if (now)
        u->now = *now;
    return MRP_OK;
}

/* The destination's refs that the source no longer has: one walk over both sorted tables. */
static int add_deletes(struct mrp_plan *plan,
                       const struct mrp_refs *source,
                       const struct mrp_refs *destination,
                       const struct mrp_policy *policy,
                       struct mrp_error *err)
{
    size_t s = 0;
    for (size_t d = 0; d < destination->count; d++) {
        const struct mrp_ref *have = &destination->list[d];
        if (!mrp_policy_selects(policy, have->name))
            continue;
        plan->selected++;
        int order = 1;
        while (s < source->count && (order = strcmp(source->list[s].name, have->name)) < 0)
            s++;
        if ((s < source->count && order == 0) || !policy->prune)
            continue;
        int rc = add(plan, have->name, &have->id, NULL, err);
        if (rc)
            return rc;
        plan->deletes++;
    }
    return MRP_OK;
}

static int add_changes(struct mrp_plan *plan,
                       const struct mrp_refs *source,
                       const struct mrp_refs *destination,
                       const struct mrp_policy *policy,
                       struct mrp_error *err)
{
    size_t d = 0;
    for (size_t s = 0; s < source->count; s++) {
        const struct mrp_ref *want = &source->list[s];
        if (!mrp_policy_selects(policy, want->name))
            continue;
        plan->sources++;
        int order = 1;
        while (d < destination->count &&
               (order = strcmp(destination->list[d].name, want->name)) < 0)
            d++;
        const struct mrp_ref *have =
            d < destination->count && order == 0 ? &destination->list[d] : NULL;
        if (have && mrp_oid_eq(&have->id, &want->id)) {
            plan->unchanged++;
            continue;
        }
        int rc = add(plan, want->name, have ? &have->id : NULL, &want->id, err);
        if (rc)
            return rc;
        if (have)
            plan->changes++;
        else
            plan->creates++;
    }
    return MRP_OK;
}

static int by_text(const void *key, const void *item)
{
    return strcmp(key, ((const struct mrp_update *)item)->name);
}

/* Is there a name in the sorted list that lies under the folder `name`? */
static bool has_below(const struct mrp_update *list, size_t count, const char *name)
{
    size_t low = 0, high = count, n = strlen(name);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strncmp(list[mid].name, name, n);
        if (order == 0)
            order = (unsigned char)list[mid].name[n] - '/';
        if (order == 0)
            return true;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

/* `a` cannot be a ref beside `a/b`: such deletes must be over before the creates begin. */
static bool find_collision(const struct mrp_plan *plan)
{
    size_t count = plan->count - plan->deletes;
    if (!count || !plan->deletes)
        return false;
    const struct mrp_update *creates = plan->list + plan->deletes;
    for (size_t i = 0; i < plan->deletes; i++)
        if (has_below(creates, count, plan->list[i].name))
            return true;
    for (size_t i = 0; i < count; i++)
        if (has_below(plan->list, plan->deletes, creates[i].name))
            return true;
    return false;
}

/* The default branch goes first, so that a new repository takes it as its own default. */
static void head_first(struct mrp_plan *plan, const char *head)
{
    for (size_t i = plan->deletes; head && i < plan->count; i++) {
        if (strcmp(plan->list[i].name, head) != 0)
            continue;
        struct mrp_update u = plan->list[i];
        memmove(plan->list + plan->deletes + 1, plan->list + plan->deletes,
                (i - plan->deletes) * sizeof u);
        plan->list[plan->deletes] = u;
        return;
    }
}

int mrp_plan_make(struct mrp_plan *out,
                  const struct mrp_refs *source,
                  const struct mrp_refs *destination,
                  const struct mrp_policy *policy,
                  struct mrp_error *err)
{
    struct mrp_plan plan = {0};
    int rc = add_deletes(&plan, source, destination, policy, err);
    if (!rc)
        rc = add_changes(&plan, source, destination, policy, err);
    if (rc) {
        mrp_plan_done(&plan);
        return rc;
    }
    plan.collides = find_collision(&plan);
    head_first(&plan, source->head);
    *out = plan;
    return MRP_OK;
}

int mrp_plan_guard(const struct mrp_plan *plan,
                   const struct mrp_policy *policy,
                   struct mrp_error *err)
{
    if (!plan->deletes || policy->prune_all)
        return MRP_OK;
    if (plan->sources == 0) {
        mrp_fail(err, MRP_E_CONFLICT,
                 "the source has no refs, the destination has %zu: all would be deleted",
                 plan->selected);
        return mrp_hint(err, "is it the right source? prune-limit: all empties the destination");
    }
    bool over = policy->prune_count ? plan->deletes > policy->prune_count
                                    : (uint64_t)plan->deletes * 100 >
                                          (uint64_t)plan->selected * policy->prune_percent;
    if (!over)
        return MRP_OK;
    mrp_fail(err, MRP_E_CONFLICT, "%zu of the destination's %zu refs would be deleted",
             plan->deletes, plan->selected);
    return mrp_hint(
        err, "raise prune-limit (now %llu%s), or set prune: no",
        (unsigned long long)(policy->prune_count ? policy->prune_count : policy->prune_percent),
        policy->prune_count ? " refs" : "%");
}

struct mrp_update *
mrp_plan_find(const struct mrp_plan *plan, size_t first, size_t end, const char *name, size_t len)
{
    /* Servers answer in the order of the commands, so the caller's `first` is nearly always it. */
    for (size_t i = first; i < end; i++)
        if (strlen(plan->list[i].name) == len && memcmp(plan->list[i].name, name, len) == 0)
            return &plan->list[i];
    return NULL;
}

struct mrp_update *mrp_plan_lookup(const struct mrp_plan *plan, const char *name)
{
    size_t first = plan->deletes;
    if (first < plan->count && strcmp(plan->list[first].name, name) == 0)
        return &plan->list[first]; /* the default branch may stand before its place */
    struct mrp_update *u = first ? bsearch(name, plan->list, first, sizeof *u, by_text) : NULL;
    if (u || first + 1 >= plan->count)
        return u;
    return bsearch(name, plan->list + first + 1, plan->count - first - 1, sizeof *u, by_text);
}

void mrp_plan_drop_refused(struct mrp_plan *plan)
{
    size_t kept = 0, deletes = 0;
    for (size_t i = 0; i < plan->count; i++) {
        struct mrp_update u = plan->list[i];
        if (u.state == MRP_UPDATE_REFUSED) {
            free(u.words);
            continue;
        }
        deletes += i < plan->deletes;
        plan->list[kept++] = u;
    }
    plan->count = kept;
    plan->deletes = deletes;
}

void mrp_plan_done(struct mrp_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        free(plan->list[i].words);
    free(plan->list);
    *plan = (struct mrp_plan){0};
}

const char *mrp_update_verb(const struct mrp_update *u)
{
    return mrp_oid_is_zero(&u->now) ? "delete" : mrp_oid_is_zero(&u->old) ? "create" : "update";
}
