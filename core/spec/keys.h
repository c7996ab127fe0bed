/**
 * The keys of a spec: one table that the reader checks against and the JSON Schema is made from.
 */
#ifndef MRP_SPEC_KEYS_H
#define MRP_SPEC_KEYS_H

#include "problem.h"

enum mrp_key_type {
    MRP_KEY_TEXT,
    MRP_KEY_BOOL,
    MRP_KEY_INT,
    MRP_KEY_DURATION,
    MRP_KEY_ENUM,  /* `values` */
    MRP_KEY_TEXTS, /* list of text */
    MRP_KEY_PAIRS, /* map of text */
    MRP_KEY_LISTS, /* map of lists of text */
    MRP_KEY_MAP,   /* `sub` */
    MRP_KEY_NAMED, /* map: a name chosen by the user -> `sub` */
    MRP_KEY_LIST,  /* list of `sub` */
    MRP_KEY_ANY_MAP,
    MRP_KEY_ANY
};

enum {
    MRP_KEY_OLD = 1u << 0,      /* version 0.1 only */
    MRP_KEY_REQUIRED = 1u << 1, /* told by the schema; the readers report its absence themselves */
    MRP_KEY_ONE_TEXT = 1u << 2, /* a single text stands for a list of one */
    MRP_KEY_ONE_WARN = 1u << 3  /* the same, but CodeBuild documents a list */
};

struct mrp_keyset;
struct mrp_key {
    const char *name;
    enum mrp_key_type type;
    unsigned flags;
    const struct mrp_keyset *sub;
    const char *const *values; /* NULL-terminated */
    int64_t min, max;          /* of an int; max 0: not limited */
    const char *pattern;       /* for the schema */
    const char *help;
};

/** A name people write that is not the right one. */
struct mrp_wrong_key {
    const char *name;
    const char *hint;
};

struct mrp_keyset {
    const char *what; /* "phase": in "unknown key `x` in phase `build`" */
    const struct mrp_key *keys;
    size_t count;
    const struct mrp_wrong_key *wrong; /* ends with a NULL name; may be NULL */
    bool strict; /* unknown keys are errors; otherwise CodeBuild drops them and we warn */
};

extern const struct mrp_keyset mrp_keys_file, mrp_keys_env, mrp_keys_phases, mrp_keys_phase;
extern const struct mrp_keyset mrp_keys_artifacts, mrp_keys_cache;
extern const struct mrp_keyset mrp_keys_pipeline, mrp_keys_regions, mrp_keys_stage;
extern const struct mrp_keyset mrp_keys_batch, mrp_keys_report;

/** Check a map against its table: unknown keys, types, values; everything below it too. `where`
 * names it in messages ("phase `build`"). */
void mrp_keys_check(struct mrp_reader *rd,
                    const struct mrp_yaml_node *map,
                    const struct mrp_keyset *set,
                    const char *where);

#endif
