/**
 * The plugin ABI: a shared object that exports one constant, `mrp_plugin_v1`.
 *
 * The runner reads a field only if `struct_size` (or `action_size`) covers it; fields are only ever
 * appended. A callback runs in a worker process that has one thread, with `options` zeroed and then
 * filled from the table.
 */
#ifndef MRPIPE_PLUGIN_H
#define MRPIPE_PLUGIN_H

#include <mrpipe/error.h>
#include <mrpipe/stage.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MRP_PLUGIN_MAGIC 0x6d727031u /* "mrp1" */
#define MRP_ABI_MAJOR 1u
#define MRP_ABI_MINOR 0u

enum mrp_option_type {
    MRP_OPT_STRING,   /* char *                                             */
    MRP_OPT_BOOL,     /* bool                                               */
    MRP_OPT_INT,      /* int64_t, within min..max when max > min            */
    MRP_OPT_SIZE,     /* uint64_t bytes: "10MiB"                            */
    MRP_OPT_DURATION, /* int64_t milliseconds: "30s"                        */
    MRP_OPT_ENUM,     /* int: the index in `choices`                        */
    MRP_OPT_PATH,     /* char *, as written                                 */
    MRP_OPT_GLOB,     /* char *                                             */
    MRP_OPT_REGION,   /* char *, form checked                               */
    MRP_OPT_ARN,      /* char *, form checked                               */
    MRP_OPT_IMAGE,    /* char *, form checked: HOST/NAME[:TAG][@DIGEST]     */
    MRP_OPT_URL,      /* char *, form checked: has a scheme                 */
    MRP_OPT_SECRET,   /* char *, masked everywhere                          */
    MRP_OPT_LIST,     /* char **, NULL-terminated; one scalar is a list of one; NULL when absent */
    MRP_OPT_MAP,      /* json_t *: an object; NULL when absent              */
    MRP_OPT_JSON      /* json_t *: anything; NULL when absent               */
};

enum { MRP_REQUIRED = 1u << 0, MRP_SECRET_VALUE = 1u << 1, MRP_DEPRECATED = 1u << 2 };

struct mrp_option {
    const char *name; /* "to-regions"; the table ends with NULL */
    enum mrp_option_type type;
    unsigned flags;
    size_t offset;              /* of the field in the action's option struct */
    const char *fallback;       /* the default as text, parsed like the user's; NULL: zero */
    const char *help;           /* one line */
    const char *const *choices; /* of an enum, NULL-terminated */
    int64_t min, max;           /* of an int */
};

/* The C type of the field is checked when the plugin is compiled. */
#define MRP_FIELD_(S, f, T) (offsetof(S, f) + 0 * sizeof((T *)0 == &((S *)0)->f))
#define MRP_STRING(S, f) .type = MRP_OPT_STRING, .offset = MRP_FIELD_(S, f, char *)
#define MRP_BOOL(S, f) .type = MRP_OPT_BOOL, .offset = MRP_FIELD_(S, f, bool)
#define MRP_INT(S, f) .type = MRP_OPT_INT, .offset = MRP_FIELD_(S, f, int64_t)
#define MRP_SIZE(S, f) .type = MRP_OPT_SIZE, .offset = MRP_FIELD_(S, f, uint64_t)
#define MRP_DURATION(S, f) .type = MRP_OPT_DURATION, .offset = MRP_FIELD_(S, f, int64_t)
#define MRP_ENUM(S, f) .type = MRP_OPT_ENUM, .offset = MRP_FIELD_(S, f, int)
#define MRP_PATH(S, f) .type = MRP_OPT_PATH, .offset = MRP_FIELD_(S, f, char *)
#define MRP_GLOB(S, f) .type = MRP_OPT_GLOB, .offset = MRP_FIELD_(S, f, char *)
#define MRP_REGION(S, f) .type = MRP_OPT_REGION, .offset = MRP_FIELD_(S, f, char *)
#define MRP_ARN(S, f) .type = MRP_OPT_ARN, .offset = MRP_FIELD_(S, f, char *)
#define MRP_IMAGE(S, f) .type = MRP_OPT_IMAGE, .offset = MRP_FIELD_(S, f, char *)
#define MRP_URL(S, f) .type = MRP_OPT_URL, .offset = MRP_FIELD_(S, f, char *)
#define MRP_SECRET(S, f) .type = MRP_OPT_SECRET, .offset = MRP_FIELD_(S, f, char *)
#define MRP_LIST(S, f) .type = MRP_OPT_LIST, .offset = MRP_FIELD_(S, f, char **)
#define MRP_MAP(S, f) .type = MRP_OPT_MAP, .offset = MRP_FIELD_(S, f, json_t *)
#define MRP_JSON(S, f) .type = MRP_OPT_JSON, .offset = MRP_FIELD_(S, f, json_t *)

struct mrp_output_info {
    const char *name; /* the table ends with NULL */
    const char *type; /* "string", "list", "map", "number", "bool" */
    const char *help;
};

struct mrp_action {
    const char *name; /* "copy" in ecr/copy */
    const char *summary;
    const char *doc; /* a paragraph or an example for `mrpipe help`; may be NULL */
    const struct mrp_option *options;
    const struct mrp_output_info *outputs; /* may be NULL */
    size_t options_size;

    /** Looks at its options only: no network, no files. Called when every option is known, also for
     * other stages in the process that workers are forked from, so it leaves nothing behind. May be
     * NULL. On failure *bad_option may name the option at fault (static string). */
    int (*check)(const void *options, const char **bad_option, struct mrp_error *err);
    /** Reads state, writes nothing, tells each change with mrp_change. NULL: the action cannot be
     * planned. */
    int (*plan)(void *options,
                struct mrp_stage *stage,
                enum mrp_result *result,
                struct mrp_error *err);
    /** Reads, decides, writes only what differs, sets outputs. */
    int (*run)(void *options,
               struct mrp_stage *stage,
               enum mrp_result *result,
               struct mrp_error *err);
    /** Compares both sides, writes nothing; *result = MRP_CHANGED when they differ. May be NULL. */
    int (*verify)(void *options,
                  struct mrp_stage *stage,
                  enum mrp_result *result,
                  struct mrp_error *err);
};

struct mrp_plugin {
    uint32_t magic;       /* MRP_PLUGIN_MAGIC */
    uint16_t abi_major;   /* must equal the runner's */
    uint16_t abi_minor;   /* informative */
    uint32_t struct_size; /* sizeof(struct mrp_plugin) */
    uint32_t action_size; /* sizeof(struct mrp_action) */
    const char *name;     /* "ecr" */
    const char *version;  /* "1.0.0" */
    const char *summary;
    const struct mrp_action *actions;
    size_t action_count;
};

/** The head of every descriptor: MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 =
 * {MRP_PLUGIN_HEAD, .name = ...}; */
#define MRP_PLUGIN_HEAD                                                                            \
    .magic = MRP_PLUGIN_MAGIC, .abi_major = MRP_ABI_MAJOR, .abi_minor = MRP_ABI_MINOR,             \
    .struct_size = sizeof(struct mrp_plugin), .action_size = sizeof(struct mrp_action)

MRP_EXPORT extern const struct mrp_plugin mrp_plugin_v1;

#endif
