/* The actions of the plugin, and what they share. */
#ifndef ECR_ACTIONS_H
#define ECR_ACTIONS_H

#include "copy.h"

#include <mrpipe/plugin.h>

typedef int check_fn(const void *opt, const char **bad, struct mrp_error *err);
typedef int
action_fn(void *opt, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err);

/** How images are moved: what ecr/copy and ecr/sync have in common. */
struct ecr_how {
    char **platforms;
    int referrers;
    bool foreign;
    bool create;
    bool insecure;
    int64_t parallel;
    int64_t parallel_big;
    uint64_t bandwidth;
    int64_t stall;
};
extern const char *const ecr_referrers[]; /* choices */
/* clang-format off */
#define ECR_HOW(S)                                                                                 \
    {"platforms", MRP_LIST(S, how.platforms),                                                      \
     .help = "only these platforms of an index, as linux/arm64 (default: all)"},                   \
    {"referrers", MRP_ENUM(S, how.referrers), .choices = ecr_referrers, .fallback = "yes",         \
     .help = "signatures and the like: with what is copied, never, or always looked for"},         \
    {"foreign-layers", MRP_BOOL(S, how.foreign), .fallback = "no",                                 \
     .help = "copy layers that are marked as not for distribution"},                               \
    {"create", MRP_BOOL(S, how.create), .fallback = "yes",                                         \
     .help = "make missing ECR repositories, with the source's settings"},                         \
    {"insecure", MRP_BOOL(S, how.insecure), .fallback = "no",                                      \
     .help = "allow plain http to any registry"},                                                  \
    {"parallel", MRP_INT(S, how.parallel), .fallback = "64", .min = 1, .max = 512,                 \
     .help = "blobs in flight, and connections to one host"},                                      \
    {"parallel-large", MRP_INT(S, how.parallel_big), .fallback = "12", .min = 1, .max = 64,        \
     .help = "blobs over 128 KiB in flight, half as many more up to 4 MiB; about 1.2 MiB of "      \
             "memory each"},                                                                       \
    {"bandwidth", MRP_SIZE(S, how.bandwidth), .fallback = "0",                                     \
     .help = "bytes per second for the whole stage, both directions; 0: no limit"},                \
    {"stall", MRP_DURATION(S, how.stall), .fallback = "60s",                                       \
     .help = "a connection without a byte for so long is given up and tried again"}
/* clang-format on */

/** The engine and the copier for that. */
int ecr_how_open(struct copier **out,
                 struct hub **hub,
                 const struct ecr_how *how,
                 struct mrp_stage *stage,
                 bool dry,
                 struct mrp_error *err) MRP_NODISCARD;

struct ecr_copy {
    json_t *from;
    char **to;
    char **to_regions;
    char *account;
    char *repository;
    json_t *map;
    struct ecr_how how;
};

extern const struct mrp_option ecr_copy_options[];
extern const struct mrp_output_info ecr_copy_outputs[];
check_fn ecr_copy_check;
action_fn ecr_copy_plan, ecr_copy_run, ecr_copy_verify;

struct ecr_login {
    char **registries;
    char **regions;
    char *account;
    char *config;
};

extern const struct mrp_option ecr_login_options[];
extern const struct mrp_output_info ecr_login_outputs[];
check_fn ecr_login_check;
action_fn ecr_login_plan, ecr_login_run;

struct ecr_sync {
    char *from;
    char **repositories;
    char **to;
    char **to_regions;
    char *account;
    char **tags;
    char **exclude;
    char *regex;
    char *semver;
    int64_t newest;
    int64_t pushed_within;
    int remove;
    int64_t delete_limit;
    bool force;
    struct ecr_how how;
};
extern const struct mrp_option ecr_sync_options[];
extern const struct mrp_output_info ecr_sync_outputs[];
check_fn ecr_sync_check;
action_fn ecr_sync_plan, ecr_sync_run, ecr_sync_verify;

struct ecr_verify {
    json_t *from;
    char **to;
    char **to_regions;
    char *account;
    char *repository;
    json_t *map;
    char **platforms;
    bool deep;
    bool referrers;
    bool fail;
    bool insecure;
};
extern const struct mrp_option ecr_verify_options[];
extern const struct mrp_output_info ecr_verify_outputs[];
check_fn ecr_verify_check;
action_fn ecr_verify_plan, ecr_verify_run;

struct ecr_create_repository {
    char **names;
    char **regions;
    char *account;
    char *like;
    bool align;
};
extern const struct mrp_option ecr_create_options[];
extern const struct mrp_output_info ecr_create_outputs[];
check_fn ecr_create_check;
action_fn ecr_create_plan, ecr_create_run;

struct ecr_replicate {
    char **prefixes;
    char **regions;
    char *account;
    char *allow_from;
    json_t *images;
    int64_t wait;
    bool copy;
};
extern const struct mrp_option ecr_replicate_options[];
extern const struct mrp_output_info ecr_replicate_outputs[];
check_fn ecr_replicate_check;
action_fn ecr_replicate_plan, ecr_replicate_run;

/** One image as `from` names it. */
struct source {
    char *name; /* of an imagedefinitions entry; "" */
    struct ref ref;
};
struct sources {
    struct source *list;
    size_t count;
};
/** Text, {name, imageUri}, {image}, or a list of these. */
int sources_read(struct sources *out, const json_t *from, struct mrp_error *err) MRP_NODISCARD;
void sources_done(struct sources *s);

/** Where images go: full names, or regions of the source's account. */
struct destinations {
    char *const *to;
    char *const *regions;
    const char *account; /* of the regions when the source is no ECR registry; NULL: the caller's */
    const char *repository; /* another name there; NULL: the source's */
    const json_t *map;      /* names there by the source's, before `repository`; NULL: none */
};
/** The references for one source, `tag` as the source's unless it is named. Owned array. */
int destinations_for(struct ref **out,
                     size_t *count,
                     struct hub *hub,
                     const struct source *source,
                     const struct destinations *where,
                     struct mrp_error *err) MRP_NODISCARD;
void refs_free(struct ref *list, size_t count);
/** `map` of an action: repository names by repository name. */
int destinations_check_map(const json_t *map, struct mrp_error *err) MRP_NODISCARD;

/** `to` and `to-regions` as far as they can be judged without network; *bad: which of the two. */
int destinations_check(char *const *to,
                       char *const *regions,
                       const char **bad,
                       struct mrp_error *err) MRP_NODISCARD;
/** The regions of the run if nothing is named. */
int destinations_default(struct destinations *where,
                         const struct mrp_stage *stage,
                         struct mrp_error *err) MRP_NODISCARD;
int platforms_check(char *const *platforms, const char **bad, struct mrp_error *err) MRP_NODISCARD;

/** Make a job for each source. */
int plan_images(struct copier *c,
                const struct sources *sources,
                const struct destinations *where,
                struct mrp_error *err) MRP_NODISCARD;
/** Outputs `images` and `digest`, the counters. */
int report_images(struct copier *c, struct mrp_error *err) MRP_NODISCARD;

#endif
