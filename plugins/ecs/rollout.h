/* Judges one answer of DescribeServices: what became of the deployment that is mine. Pure. */
#ifndef MRP_ECS_ROLLOUT_H
#define MRP_ECS_ROLLOUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum mrp_verdict {
    MRP_ROLLING,
    MRP_ROLLED_OUT,  /* my id is PRIMARY and COMPLETED */
    MRP_ROLLED_BACK, /* ECS gave up on it: FAILED, or the old revision is primary again */
    MRP_SUPERSEDED,  /* somebody else started another deployment */
    MRP_TASKS_FAIL,  /* my tasks fail one after the other and none runs */
    MRP_GONE         /* the service is not active any more */
};

struct mrp_rollout {
    const char *id;      /* my deployment; NULL: the one whose task definition is `td` */
    const char *td;      /* its task definition */
    const char *prev_td; /* what ran before; NULL: unknown */
    const char *prev_id; /* the primary deployment before; NULL: none */
    int64_t fail_fast;   /* failed tasks in a row; 0: off */

    bool seen;       /* state between polls, zero at first */
    unsigned absent; /* polls without my id */
    unsigned steady; /* polls that look finished, for deployments without a rollout state */
    int64_t running, pending, desired, failed;
    char why[240];  /* in ECS's words where it has some */
    char found[96]; /* my id, once it was found by the task definition */
};

enum { MRP_ROLLOUT_GRACE = 8, MRP_ROLLOUT_LOST = 3, MRP_ROLLOUT_STEADY = 2 };

/** @param service  an element of `services`; NULL: the answer had none */
enum mrp_verdict mrp_rollout_judge(struct mrp_rollout *r, const json_t *service);

/** The deployment with status PRIMARY, or with this id. Borrowed or NULL. */
const json_t *mrp_rollout_primary(const json_t *service);
const json_t *mrp_rollout_find(const json_t *service, const char *id);
/** "web:3" and the ARN that ends in it are the same. */
bool mrp_rollout_same_td(const char *a, const char *b);

#endif
