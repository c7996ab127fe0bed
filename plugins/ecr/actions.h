/* The actions of the plugin, and what they share. */
#ifndef ECR_ACTIONS_H
#define ECR_ACTIONS_H

#include "copy.h"

#include <mrpipe/plugin.h>

struct ecr_copy {
    json_t *from;
    char **to;
    char **to_regions;
    char *account;
    char *repository;
    json_t *map;
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

extern const struct mrp_option ecr_copy_options[];
extern const struct mrp_output_info ecr_copy_outputs[];
int ecr_copy_check(const void *opt, const char **bad, struct mrp_error *err);
int ecr_copy_plan(void *opt,
                  struct mrp_stage *stage,
                  enum mrp_result *result,
                  struct mrp_error *err);
int ecr_copy_run(void *opt,
                 struct mrp_stage *stage,
                 enum mrp_result *result,
                 struct mrp_error *err);
int ecr_copy_verify(void *opt,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err);

struct ecr_login {
    char **registries;
    char **regions;
    char *account;
    char *config;
};

extern const struct mrp_option ecr_login_options[];
extern const struct mrp_output_info ecr_login_outputs[];
int ecr_login_check(const void *opt, const char **bad, struct mrp_error *err);
int ecr_login_plan(void *opt,
                   struct mrp_stage *stage,
                   enum mrp_result *result,
                   struct mrp_error *err);
int ecr_login_run(void *opt,
                  struct mrp_stage *stage,
                  enum mrp_result *result,
                  struct mrp_error *err);

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
extern const struct mrp_option ecr_sync_options[];
extern const struct mrp_output_info ecr_sync_outputs[];
int ecr_sync_check(const void *opt, const char **bad, struct mrp_error *err);
int ecr_sync_plan(void *opt,
                  struct mrp_stage *stage,
                  enum mrp_result *result,
                  struct mrp_error *err);
int ecr_sync_run(void *opt,
                 struct mrp_stage *stage,
                 enum mrp_result *result,
                 struct mrp_error *err);
int ecr_sync_verify(void *opt,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err);

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
int ecr_verify_check(const void *opt, const char **bad, struct mrp_error *err);
int ecr_verify_plan(void *opt,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err);
int ecr_verify_run(void *opt,
                   struct mrp_stage *stage,
                   enum mrp_result *result,
                   struct mrp_error *err);

struct ecr_create_repository {
    char **names;
    char **regions;
    char *account;
    char *like;
    bool align;
};
extern const struct mrp_option ecr_create_options[];
extern const struct mrp_output_info ecr_create_outputs[];
int ecr_create_check(const void *opt, const char **bad, struct mrp_error *err);
int ecr_create_plan(void *opt,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err);
int ecr_create_run(void *opt,
                   struct mrp_stage *stage,
                   enum mrp_result *result,
                   struct mrp_error *err);

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
int ecr_replicate_check(const void *opt, const char **bad, struct mrp_error *err);
int ecr_replicate_plan(void *opt,
                       struct mrp_stage *stage,
                       enum mrp_result *result,
                       struct mrp_error *err);
int ecr_replicate_run(void *opt,
                      struct mrp_stage *stage,
                      enum mrp_result *result,
                      struct mrp_error *err);

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
