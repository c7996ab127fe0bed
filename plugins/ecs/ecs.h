/* The two actions of the plugin: their options and callbacks. */
#ifndef MRP_ECS_ECS_H
#define MRP_ECS_ECS_H

#include <mrpipe/plugin.h>

struct mrp_imagedefinitions {
    json_t *images;
    char *from;
    char **regions;
    char *to;
    int pin;
};

extern const struct mrp_option mrp_imagedefinitions_options[];
extern const struct mrp_output_info mrp_imagedefinitions_outputs[];
int mrp_imagedefinitions_check(const void *options, const char **bad, struct mrp_error *err);
int mrp_imagedefinitions_plan(void *options,
                              struct mrp_stage *stage,
                              enum mrp_result *result,
                              struct mrp_error *err);
int mrp_imagedefinitions_run(void *options,
                             struct mrp_stage *stage,
                             enum mrp_result *result,
                             struct mrp_error *err);

enum mrp_deploy_base { MRP_BASE_SERVICE, MRP_BASE_LATEST };
enum mrp_deploy_busy { MRP_BUSY_FAIL, MRP_BUSY_WAIT, MRP_BUSY_SUPERSEDE };
enum mrp_deploy_failure { MRP_UNDO_ALL, MRP_UNDO_FAILED_ONLY, MRP_UNDO_NONE };
enum mrp_deploy_breaker {
    MRP_BREAKER_KEEP,
    MRP_BREAKER_ROLLBACK,
    MRP_BREAKER_STOP,
    MRP_BREAKER_OFF
};
enum mrp_deploy_parity { MRP_PARITY_REQUIRE, MRP_PARITY_WARN, MRP_PARITY_OFF };
enum mrp_deploy_wait { MRP_WAIT_ROLLOUT, MRP_WAIT_NONE };

struct mrp_deploy {
    char *cluster;
    char *service;
    char **services;
    char **regions;
    json_t *waves;
    json_t *per_region;
    json_t *images;
    json_t *definitions;
    int base;
    char *task_definition;
    json_t *containers;
    bool force;
    int64_t desired_count;
    int64_t min_healthy;
    int64_t max_percent;
    int breaker;
    int64_t grace_ms;
    int busy;
    int wait;
    int64_t timeout_ms;
    int64_t poll_ms;
    int64_t bake_ms;
    int64_t fail_fast;
    int on_failure;
    bool check_images;
    int parity;
    int64_t keep_revisions;
};

extern const struct mrp_option mrp_deploy_options[];
extern const struct mrp_output_info mrp_deploy_outputs[];
int mrp_deploy_check(const void *options, const char **bad, struct mrp_error *err);
int mrp_deploy_plan(void *options,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err);
int mrp_deploy_run(void *options,
                   struct mrp_stage *stage,
                   enum mrp_result *result,
                   struct mrp_error *err);
int mrp_deploy_verify(void *options,
                      struct mrp_stage *stage,
                      enum mrp_result *result,
                      struct mrp_error *err);

#endif
