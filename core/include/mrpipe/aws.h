/**
 * AWS: credentials, endpoints, signed calls (libmrpipe-net).
 *
 * Credentials chain and configuration as the AWS CLI's (environment, web identity, config files,
 * container endpoint, IMDSv2); refreshed before they expire. Endpoints by partition, FIPS,
 * dual-stack; overrides: AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE>, the spec's `endpoints:` and
 * MRPIPE_ENDPOINTS ("HOST=URL,HOST=URL", a host as AWS names it -> where it really is).
 */
#ifndef MRPIPE_AWS_H
#define MRPIPE_AWS_H

#include <mrpipe/error.h>
#include <mrpipe/http.h>
#include <mrpipe/stage.h>

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct mrp_aws;

struct mrp_credentials {
    char *access_key;
    char *secret_key;
    char *session_token; /* NULL: long-lived keys */
    int64_t expires_ms;  /* wall clock; 0: never */
    const char *source;  /* static: "environment", "profile", ... */
};
MRP_EXPORT void mrp_credentials_done(struct mrp_credentials *c); /* wipes and frees */

/** `stage` may be NULL. The stage's role-arn is assumed on the first call. Nothing is sent before.
 */
MRP_EXPORT int mrp_aws_new(struct mrp_aws **out,
                           struct mrp_http *http,
                           struct mrp_stage *stage,
                           struct mrp_error *err) MRP_NODISCARD;
/** The same for a named profile of the configuration; keys in the environment are not used. */
MRP_EXPORT int mrp_aws_new_profile(struct mrp_aws **out,
                                   struct mrp_http *http,
                                   struct mrp_stage *stage,
                                   const char *profile,
                                   struct mrp_error *err) MRP_NODISCARD;
MRP_EXPORT void mrp_aws_free(struct mrp_aws **aws);
/** The region of the named profile, else of the stage, the environment, the configuration.
 * Borrowed.
 */
MRP_EXPORT const char *mrp_aws_region(struct mrp_aws *aws);
MRP_EXPORT struct mrp_http *mrp_aws_http(struct mrp_aws *aws);

/** A copy of valid credentials (may ask STS, the container endpoint, ...). MRP_E_AUTH with a hint
 * listing what was tried. */
MRP_EXPORT int mrp_aws_credentials(struct mrp_credentials *out,
                                   struct mrp_aws *aws,
                                   struct mrp_error *err) MRP_NODISCARD;
/** The account id (sts GetCallerIdentity, kept). Borrowed until mrp_aws_free. */
MRP_EXPORT int
mrp_aws_account(const char **out, struct mrp_aws *aws, struct mrp_error *err) MRP_NODISCARD;

/**
 * One API call: JSON 1.0/1.1, Query and REST-JSON services by a table (ecr, ecs, codecommit, sts,
 * ssm, secretsmanager, cloudformation, elbv2 ("elasticloadbalancing"), logs, events,
 * application-autoscaling, codepipeline, codedeploy, ...; services.c).
 * @param out    the answer, owned; Query answers as JSON objects of the XML (lists of
 * <member>/<item> as arrays). May be NULL.
 * @param input  borrowed, may be NULL (an empty object)
 * @return 0; the service's own error as MRP_E_NOTFOUND / AUTH / CONFLICT / REMOTE with err->api =
 * its code ("RepositoryNotFoundException"), err->upstream = HTTP status, err->msg = "SERVICE
 * OPERATION in REGION: CODE: words" Throttling and server faults are retried; blocks (parks in a
 * task).
 */
MRP_EXPORT int mrp_aws_call(json_t **out,
                            struct mrp_aws *aws,
                            const char *service,
                            const char *region,
                            const char *operation,
                            const json_t *input,
                            struct mrp_error *err) MRP_NODISCARD;

/** A call with all that can be said of it. */
struct mrp_aws_request {
    const char *service;
    const char *region;
    const char *operation;
    const json_t *input; /* borrowed, may be NULL */
    /** Each time it is done something new is made, and no client token tells a repetition
     * (RegisterTaskDefinition): it is sent again only when nothing of it had left or the service
     * throttled it. The caller finds out what became of it after mrp_aws_is_open. */
    bool once;
};
/** mrp_aws_call, by a request. */
MRP_EXPORT int mrp_aws_do(json_t **out,
                          struct mrp_aws *aws,
                          const struct mrp_aws_request *req,
                          struct mrp_error *err) MRP_NODISCARD;
/** True for an error of mrp_aws_do or mrp_aws_call that leaves open whether the work was done: the
 * answer was lost, or the service failed (HTTP 5xx) or answered what cannot be read. */
MRP_EXPORT bool mrp_aws_is_open(const struct mrp_error *err);

/** All pages: `each` is called with every answer (borrowed); a non-zero return stops and is
 * returned. `nextToken` of the answer becomes the input's. */
MRP_EXPORT int mrp_aws_pages(struct mrp_aws *aws,
                             const char *service,
                             const char *region,
                             const char *operation,
                             const json_t *input,
                             int (*each)(void *arg, const json_t *page, struct mrp_error *err),
                             void *arg,
                             struct mrp_error *err) MRP_NODISCARD;

/** "amazonaws.com", "amazonaws.com.cn", ...: by region; static. */
MRP_EXPORT const char *mrp_aws_suffix(const char *region);
/** "aws", "aws-cn", "aws-us-gov": static. */
MRP_EXPORT const char *mrp_aws_partition(const char *region);
/** True for "us-east-1"-like names. */
MRP_EXPORT bool mrp_aws_is_region(const char *text);

/**
 * Where an AWS-named URL really is: host overrides applied (endpoints:, MRPIPE_ENDPOINTS), scheme
 * and port replaced, path kept (the override's own path put before). A URL without an override
 * comes back as it is. Owned.
 */
MRP_EXPORT int mrp_aws_map_url(char **out,
                               struct mrp_aws *aws,
                               const char *url,
                               struct mrp_error *err) MRP_NODISCARD;

/* ---- signing ---- */
struct mrp_sigv4 {
    const struct mrp_credentials *credentials;
    const char *region;
    const char *service;
    int64_t wall_ms;  /* time of the signature */
    bool s3;          /* path is not normalised and encoded once */
    bool token_after; /* X-Amz-Security-Token is added after signing */
};
/**
 * Sign: adds X-Amz-Date, X-Amz-Security-Token and Authorization to `headers` (Host must be there).
 * @param payload_sha256  hex digest or "UNSIGNED-PAYLOAD"; becomes the payload line
 * @param canonical       NULL, or where the canonical request goes (owned; for --debug=sigv4 and
 * tests)
 */
MRP_EXPORT int mrp_sigv4_sign(struct mrp_headers *headers,
                              const struct mrp_sigv4 *how,
                              const char *method,
                              const char *url,
                              const char *payload_sha256,
                              char **canonical,
                              struct mrp_error *err) MRP_NODISCARD;
/** The Basic user and password for a CodeCommit URL (reference: git-remote-codecommit). Both owned.
 * `host` as AWS names it. */
MRP_EXPORT int mrp_codecommit_password(char **user,
                                       char **password,
                                       const struct mrp_credentials *c,
                                       const char *region,
                                       const char *host,
                                       const char *path,
                                       int64_t wall_ms,
                                       struct mrp_error *err) MRP_NODISCARD;

/* ---- S3 REST ---- */
struct mrp_s3_request {
    const char *method; /* "PUT" */
    const char *region;
    const char *bucket;
    const char *key; /* not encoded; NULL: the bucket */
    const char
        *query; /* encoded, sorted not needed: "uploads", "partNumber=1&uploadId=..."; NULL */
    const struct mrp_http_header *headers;
    const void *body;
    size_t body_len;
    const struct mrp_http_source *source;
    const char
        *payload_sha256; /* of a source; NULL: UNSIGNED-PAYLOAD (TLS) or computed from body */
    const struct mrp_http_sink *sink;
    unsigned flags;
    int64_t stall_ms;
};
/** Signed, path-style or virtual-hosted by endpoint; a 301 to the bucket's region is followed once
 * and remembered. 0 for every status < 300; errors as mrp_aws_call (S3's Code in err->api; 404 ->
 * MRP_E_NOTFOUND, 412 -> MRP_E_CONFLICT). */
MRP_EXPORT int mrp_s3_do(struct mrp_http_response *resp,
                         struct mrp_aws *aws,
                         const struct mrp_s3_request *req,
                         struct mrp_error *err) MRP_NODISCARD;

#endif
