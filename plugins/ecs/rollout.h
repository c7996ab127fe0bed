/* Judges answers of DescribeServices and DescribeServiceDeployments: what became of the deployment
 * that is mine. Pure. */
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
    const char *prev_sd; /* the service deployment before; NULL: none */
    bool no_history;     /* what the service deployments say does not count: it is no deployment of
                            its own but the end of another one, or they cannot be read */
    int64_t fail_fast;   /* failed tasks in a row; 0: off */

    bool seen;        /* state between polls, zero at first */
    unsigned absent;  /* polls without my id */
    unsigned steady;  /* polls that look finished, for deployments without a rollout state */
    unsigned leaving; /* polls since the history knows that it failed */
    int64_t running, pending, desired, failed;
    char why[320];  /* in ECS's words where it has some */
    char found[96]; /* my id, once it was found by the task definition */
    char sd[300];   /* ARN of my service deployment, once it was seen; "": none */
};

enum {
    MRP_ROLLOUT_GRACE = 8,
    MRP_ROLLOUT_LOST = 3,
    MRP_ROLLOUT_STEADY = 2,
    MRP_ROLLOUT_HISTORY = 3 /* polls between two looks at the history while nothing is wrong */
};

/** @param service  an element of `services`; NULL: the answer had none */
enum mrp_verdict mrp_rollout_judge(struct mrp_rollout *r, const json_t *service);

/**
 * What my service deployment says beside that verdict: it is durable, where the list of deployments
 * forgets. A failure is told once the list shows it, or after a few polls without.
 * @param sd  an element of `serviceDeployments`
 */
enum mrp_verdict
mrp_rollout_history(struct mrp_rollout *r, enum mrp_verdict verdict, const json_t *sd);

/** The deployment with status PRIMARY, or with this id. Borrowed or NULL. */
const json_t *mrp_rollout_primary(const json_t *service);
const json_t *mrp_rollout_find(const json_t *service, const char *id);
/** "web:3" and the ARN that ends in it are the same. */
bool mrp_rollout_same_td(const char *a, const char *b);

#endif
