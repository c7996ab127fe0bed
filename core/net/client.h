/* The AWS client as its own parts see it. */
#ifndef MRP_NET_CLIENT_H
#define MRP_NET_CLIENT_H

#include "services.h"

#include <mrpipe/aws.h>
#include <mrpipe/buf.h>

struct mrp_aws {
    struct mrp_http *http;
    struct mrp_stage *stage;
    char *profile;                      /* named by the caller; NULL: the usual chain */
    struct mrp_credentials credentials; /* the last ones; empty before the first call */
    bool refreshing;                    /* one task asks, the others wait */
    struct mrp_waitq refreshed;
    struct mrp_error refusal; /* of the last renewal: for those who waited; code 0: it went well */
    char *account;
    int64_t skew_ms; /* the service's clock minus ours */
    json_t *hosts;   /* array of {host, url}: endpoints: and MRPIPE_ENDPOINTS */
    json_t *config;  /* ~/.aws/config by section; NULL: not read yet */
    json_t *shared;  /* ~/.aws/credentials */
    json_t *buckets; /* bucket -> region, as learned */
    bool debug_sign;
};

/** The stage's environment. */
const char *aws_env(const struct mrp_aws *aws, const char *name);
int64_t aws_wall_ms(const struct mrp_aws *aws);

/* ---- endpoint.c ---- */
int endpoints_load(struct mrp_aws *aws, struct mrp_error *err);
/** The URL (without a final slash) of a service in a region; *mapped (may be NULL): an override. */
int endpoint_find(char **out,
                  bool *mapped,
                  struct mrp_aws *aws,
                  const struct aws_service *service,
                  const char *region,
                  struct mrp_error *err);
/** The host as AWS names it. Owned. */
char *
endpoint_host(const struct mrp_aws *aws, const struct aws_service *service, const char *region);

/* ---- aws_call.c ---- */

/** mrp_aws_do with given credentials (NULL: not signed) and no refresh. */
int aws_call_as(json_t **out,
                struct mrp_aws *aws,
                const struct mrp_credentials *as,
                const struct mrp_aws_request *ask,
                struct mrp_error *err);

/* ---- aws_error.c ---- */
/** The error of a service's answer; `what` is "ecr PutImage in us-east-1". */
int aws_answer_error(const struct mrp_http_response *resp, const char *what, struct mrp_error *err);
bool aws_is_expired(const struct mrp_error *err);
bool aws_is_skewed(const struct mrp_error *err);

/* ---- query.c ---- */
/** Action, Version and the flattened input as a form. Owned. */
char *query_body(const struct aws_service *service, const char *operation, const json_t *input);
/** The result object in a Query answer. */
int query_answer(json_t **out,
                 const struct mrp_http_response *resp,
                 const char *operation,
                 const char *what,
                 struct mrp_error *err);

#endif
