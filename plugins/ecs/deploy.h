/* One run of ecs/deploy: its targets (a service in a region) and what happened to each. */
#ifndef MRP_ECS_DEPLOY_H
#define MRP_ECS_DEPLOY_H

#include "ecs.h"
#include "rollout.h"

#include <mrpipe/aws.h>
#include <mrpipe/http.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mrp_target_state {
    MRP_T_NEW,
    MRP_T_REFUSED, /* found unfit before anything was written */
    MRP_T_PLANNED, /* differs; nothing written yet */
    MRP_T_UNCHANGED,
    MRP_T_DEPLOYED,
    MRP_T_FAILED, /* its rollout failed or could not be started */
    MRP_T_SUPERSEDED,
    MRP_T_CANCELLED,
    MRP_T_UNDONE, /* back on the revision before */
    MRP_T_UNDO_FAILED,
    MRP_T_SKIPPED /* its wave was not reached */
};

struct mrp_deployment;

struct mrp_target {
    struct mrp_deployment *run;
    char *region;
    char *cluster;
    char *service;
    size_t wave;
    json_t *images; /* wanted, by container; empty: as they are */

    /* seen before anything is written */
    json_t *current;  /* the task definition in use, as Register takes it */
    json_t *input;    /* the one wanted */
    json_t *settings; /* members of UpdateService besides the task definition */
    json_t *digests;  /* by container, from the registry */
    char *prev_td;
    char *prev_id;
    char *prev_sd; /* service deployment; NULL: none */

    /* decided */
    bool new_td_wanted; /* a task definition other than prev_td */
    bool force;         /* a new deployment of the same task definition */
    bool adopt;         /* a rollout of just this is under way already: only watch */

    /* done */
    bool updated;       /* UpdateService was sent */
    char *td;           /* the task definition wanted, once it has an ARN */
    char *id;           /* my deployment */
    int64_t started_ms; /* wall clock */
    enum mrp_target_state state;
    json_t *evidence;
    struct mrp_error err;
};

struct mrp_deployment {
    const struct mrp_deploy *o;
    struct mrp_stage *stage;
    struct mrp_http *http;
    struct mrp_aws *aws;
    struct mrp_target *targets;
    size_t count;
    size_t waves;
    bool planning; /* files that the phases write may be missing */
};

const char *mrp_target_state_name(enum mrp_target_state state);

/* ---- targets.c: from the options to targets ---- */
/** The targets that `d->o` names, and the engine and the client that their calls go through. */
int mrp_targets_open(struct mrp_deployment *d, struct mrp_error *err) MRP_NODISCARD;
void mrp_targets_done(struct mrp_deployment *d);
/** The images of every target; MRP_E_NOTFOUND when a file of definitions is missing. */
int mrp_targets_images(struct mrp_deployment *d, struct mrp_error *err) MRP_NODISCARD;
/** Run fn on every target of the wave (SIZE_MAX: all) at once; failures are in the targets. */
int mrp_targets_each(struct mrp_deployment *d, size_t wave, mrp_task_fn fn, struct mrp_error *err)
    MRP_NODISCARD;

/* ---- service.c: the calls ---- */
/** `input` is taken over. Cluster is filled in by the callers. */
int mrp_service_call(json_t **out,
                     const struct mrp_target *t,
                     const char *operation,
                     json_t *input,
                     struct mrp_error *err) MRP_NODISCARD;
/** The service (owned), or MRP_E_NOTFOUND when it is MISSING. */
int mrp_service_describe(json_t **out,
                         const struct mrp_target *t,
                         struct mrp_error *err) MRP_NODISCARD;
/** A task definition by ARN or family: the answer with taskDefinition and tags. */
int mrp_service_taskdef(json_t **out,
                        const struct mrp_target *t,
                        const char *name,
                        struct mrp_error *err) MRP_NODISCARD;
int mrp_service_register(struct mrp_target *t, struct mrp_error *err) MRP_NODISCARD;
/** UpdateService to `td` (NULL: settings only). *id is the new primary deployment (owned), or NULL
 * when the answer does not show it. */
int mrp_service_update(char **id,
                       struct mrp_target *t,
                       const char *td,
                       bool force,
                       bool settings,
                       struct mrp_error *err) MRP_NODISCARD;
/** Poll until the verdict is not MRP_ROLLING; the history is asked now and then, and for the reason
 * of a failure. */
int mrp_service_watch(enum mrp_verdict *out,
                      const struct mrp_target *t,
                      struct mrp_rollout *r,
                      struct mrp_error *err) MRP_NODISCARD;

/* ---- preflight.c ---- */
/** Reads and decides, for one target: state becomes REFUSED, PLANNED or UNCHANGED. A task. */
int mrp_preflight(void *target, struct mrp_error *err);

/* ---- images.c ---- */
/** The digest of an ECR image (owned, NULL: cannot be known). MRP_E_NOTFOUND: it is not there. */
int mrp_image_digest(char **out,
                     const struct mrp_target *t,
                     const char *image,
                     struct mrp_error *err) MRP_NODISCARD;
/** What runs: {container: {image, digest}} (owned); digest is absent when it cannot be known. */
int mrp_image_running(json_t **out,
                      const struct mrp_target *t,
                      const json_t *service,
                      struct mrp_error *err) MRP_NODISCARD;

/* ---- evidence.c ---- */
/** Events and stopped tasks of a failed rollout, kept in the target and told to the user. */
void mrp_evidence_collect(struct mrp_target *t);

/* ---- undo.c ---- */
/** Back to the revision before, watched. State becomes UNDONE, UNDO_FAILED or stays. A task. */
int mrp_undo(void *target, struct mrp_error *err);

/* ---- revisions.c ---- */
void mrp_revisions_prune(struct mrp_target *t);

/* ---- parity.c ---- */
/** Every region wants the same digest of a container: else MRP_E_CONFLICT (or a warning). */
int mrp_parity_planned(const struct mrp_deployment *d, struct mrp_error *err) MRP_NODISCARD;

#endif
