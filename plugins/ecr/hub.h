/* What one run of an action shares: the engine, registry hosts with their tokens and pacing. */
#ifndef ECR_HUB_H
#define ECR_HUB_H

#include "challenge.h"
#include "gate.h"
#include "meter.h"
#include "ref.h"

#include <mrpipe/aws.h>
#include <mrpipe/http.h>
#include <mrpipe/stage.h>

#include <stdbool.h>
#include <stdint.h>

/** Work done for one image and one destination. */
struct tally {
    uint64_t bytes;
    uint64_t skipped;
    unsigned requests;
    unsigned retries;
    struct meter *meter; /* of the image; NULL: none */
};

/** Kinds of requests that are paced apart. */
enum api { API_READ, API_BLOB, API_POST, API_PUT, API_MANIFEST, API_LIST, API_COUNT };

struct token {
    char *scope;
    char *header; /* "Bearer ..." */
    int64_t until_ms;
    struct token *next;
};

struct host {
    struct host *next;
    struct hub *hub;
    char *name; /* as written: "localhost:5000" */
    char *base; /* where it is: "http://127.0.0.1:5000", without a '/' at the end */
    bool ecr;
    struct ecr_name aws;
    bool loopback;        /* http is tried first, https when the answer says so */
    bool plain;           /* http is allowed */
    bool login_read;      /* docker's configuration was looked at */
    char *user;           /* from there; NULL: none */
    char *password;       /* or the identity token when user is "<token>" */
    struct challenge ask; /* what the host wants; scheme NONE: nothing yet */
    char *basic;          /* "Basic ..." */
    int64_t basic_until_ms;
    struct token *tokens;
    bool busy; /* someone is getting a token */
    struct mrp_waitq turn;
    bool referrers_asked; /* someone finds it out */
    struct mrp_waitq referrers_turn;
    int referrers;    /* 1 the API is there, 0 not, -1 unknown */
    bool mount_works; /* a mount of a blob that was there gave 201 */
    bool head_first;  /* it does not: ask before sending */
    bool no_mounts;   /* it gave a session for a blob that another repository has */
    bool probed;
    bool noted405;
};

struct repo {
    struct repo *next;
    struct host *host;
    char *name;
    bool fresh;    /* made by this run: it has nothing */
    bool untagged; /* a listing showed no tag: its manifests need not be asked for */
    bool checked;  /* it exists */
    bool busy;
    struct mrp_error *refused; /* why it could not be made; NULL: it was not tried */
    struct mrp_waitq turn;
};

/** What blobs with a ring weigh at hub.big: medium ones have less memory. */
enum { GATE_MEDIUM = 2, GATE_LARGE = 3 };

struct hub {
    struct mrp_stage *stage;
    struct mrp_http *http;
    struct mrp_aws *aws;
    struct host *hosts;
    struct repo *repos;
    bool insecure; /* http is allowed everywhere */
    unsigned parallel;
    int64_t stall_ms;  /* no byte for so long: the connection is given up */
    struct gate small; /* blobs in flight */
    struct gate big;   /* of them with a ring of their own, by weight */
    struct mrp_progress progress;
    const struct meter *shown; /* the image that `what` is about */
    int64_t shown_ms;          /* when it was written */
    char what[400];
};

struct hub_options {
    bool insecure;
    unsigned parallel;
    unsigned parallel_big;
    uint64_t bandwidth;
    int64_t stall_ms; /* 0: the engine's */
};

int hub_new(struct hub **out,
            struct mrp_stage *stage,
            const struct hub_options *how,
            struct mrp_error *err) MRP_NODISCARD;
void hub_free(struct hub **hub);

/** The host or repository of that name, made on first use; borrowed from the hub. */
int hub_host(struct host **out, struct hub *hub, const char *name, struct mrp_error *err)
    MRP_NODISCARD;
/** The first failure is the stage's, the others are told beside it: `rc` where it is one, with *err
 * left alone; otherwise `other` becomes *err. */
int hub_failure(struct hub *hub, int rc, const struct mrp_error *other, struct mrp_error *err);
/** The host of a registry's reference. */
int hub_ref_host(struct host **out, struct hub *hub, const struct ref *ref, struct mrp_error *err)
    MRP_NODISCARD;
int hub_repo(struct repo **out,
             struct hub *hub,
             const char *host,
             const char *name,
             struct mrp_error *err) MRP_NODISCARD;

/** The Authorization value for this repository (owned; NULL in *out: none is known or needed).
 * `from` is a second repository that must be readable, for mounts; may be NULL. */
int host_authorization(char **out,
                       struct host *host,
                       const char *repo,
                       const char *from,
                       bool push,
                       struct mrp_error *err) MRP_NODISCARD;
/** Read the challenge of a 401; forget tokens that were refused. True: worth another try. */
bool host_challenged(struct host *host, const struct mrp_http_response *resp, const char *sent);

/** One request to a host, paced, authorised, counted. Any status is a success. */
struct call {
    enum api api;
    const char *method;
    const char *url;  /* NULL: base + path */
    const char *path; /* "/v2/..." */
    const char *repo; /* for the scope; NULL: "registry:catalog:*" */
    const char *from; /* second repository of a mount */
    bool push;
    bool bare; /* another host's URL: no Authorization */
    const char *accept;
    const char *type; /* Content-Type of the body */
    const void *body;
    size_t body_len;
    const struct mrp_http_source *source;
    const struct mrp_http_sink *sink;
    const char *range; /* value of a Range header */
    size_t max_body;
    unsigned flags;
    const char *what;
    struct tally *tally; /* may be NULL */
    struct mrp_http_call *
        *handle; /* where the running call is kept, for mrp_http_resume; or NULL */
};
int host_do(struct mrp_http_response *resp,
            struct host *host,
            const struct call *call,
            struct mrp_error *err) MRP_NODISCARD;

/** An error that says what a registry answered: its code in err->api. */
int host_error(const struct mrp_http_response *resp,
               const struct host *host,
               const char *what,
               struct mrp_error *err);

/** A Location or Link against the host: resolved, mapped, a downgrade to http refused. `own` says
 * whether it is the registry's own host. Owned. */
int host_location(char **out,
                  bool *own,
                  const struct host *host,
                  const char *request_url,
                  const char *location,
                  struct mrp_error *err) MRP_NODISCARD;

#endif
