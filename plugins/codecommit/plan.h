/* Which refs take part, and what must change at one destination. */
#ifndef CODECOMMIT_PLAN_H
#define CODECOMMIT_PLAN_H

#include "refs.h"

struct mrp_policy {
    char *const *refs;    /* patterns; NULL or empty: heads and tags */
    char *const *exclude; /* patterns; may be NULL */
    char *const *force;   /* where history may be rewritten; NULL: everywhere */
    bool prune;
    bool prune_all;         /* no guard */
    unsigned prune_percent; /* refuse to delete more than this share of the refs (ignored if 0) */
    uint64_t prune_count;   /* refuse to delete more refs than this; 0: by share */
};

enum mrp_update_state { MRP_UPDATE_PENDING, MRP_UPDATE_DONE, MRP_UPDATE_REFUSED };

struct mrp_update {
    const char *name;        /* borrowed from one of the two tables */
    struct mrp_oid old, now; /* zero: does not exist */
    enum mrp_update_state state;
    char *words; /* why it was refused; owned */
};

struct mrp_plan {
    struct mrp_update *list; /* deletes first, then the default branch, then by name */
    size_t count, cap;
    size_t deletes;
    size_t creates;
    size_t changes; /* refs that exist on both sides and differ */
    size_t unchanged;
    size_t selected; /* refs of the destination that take part */
    size_t sources;  /* refs of the source that take part */
    bool collides;   /* a delete and a create need the same name as file and folder */
};

/** "heads" "tags" "notes" "all", "refs/..." with wildcards, or a short name that is looked for
 * under heads and tags. */
bool mrp_pattern_match(const char *pattern, const char *name);
bool mrp_policy_selects(const struct mrp_policy *policy, const char *name);
/** May the ref be moved to something that does not contain its old commit? */
bool mrp_policy_forces(const struct mrp_policy *policy, const char *name);
/** 0 or MRP_E_CONFIG: reads "50%", "25", "all" into the three prune fields. */
int mrp_policy_prune_limit(struct mrp_policy *policy, const char *text, struct mrp_error *err);

/** Compare; both tables must be finished and live as long as the plan. */
int mrp_plan_make(struct mrp_plan *out,
                  const struct mrp_refs *source,
                  const struct mrp_refs *destination,
                  const struct mrp_policy *policy,
                  struct mrp_error *err);
/** MRP_E_CONFLICT if it would delete more than the policy allows. */
int mrp_plan_guard(const struct mrp_plan *plan,
                   const struct mrp_policy *policy,
                   struct mrp_error *err);
/** The update of a ref within list[first, end), or NULL. */
struct mrp_update *
mrp_plan_find(const struct mrp_plan *plan, size_t first, size_t end, const char *name, size_t len);
/** The update of a ref, or NULL. */
struct mrp_update *mrp_plan_lookup(const struct mrp_plan *plan, const char *name);
/** Take updates in state REFUSED out of the plan. */
void mrp_plan_drop_refused(struct mrp_plan *plan);
void mrp_plan_done(struct mrp_plan *plan);

/** "create", "update" or "delete". */
const char *mrp_update_verb(const struct mrp_update *u);

#endif
