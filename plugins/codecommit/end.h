/* One end of a mirror: the seam between the relay and the ways to reach a repository. */
#ifndef CODECOMMIT_END_H
#define CODECOMMIT_END_H

#include "advert.h"
#include "hub.h"
#include "plan.h"

#include <mrpipe/aws.h>
#include <mrpipe/http.h>
#include <mrpipe/stage.h>

/** What all parts of one run share. */
struct mrp_session {
    struct mrp_stage *stage;
    struct mrp_http *http;
    struct mrp_aws *aws;
    bool thin;    /* thin packs are allowed */
    bool libgit2; /* plain HTTP goes through libgit2's transport */
    bool git2_started;
    bool git2_left_behind; /* a thread still waits inside of it for a silent server */
    const char *ssh_key;
    int64_t stall_ms;
    char **plain_servers; /* that take no compressed requests */
    uint64_t moved_bytes; /* of packs, by all repositories so far */
    size_t pairs_done, pairs;
};

enum mrp_login_kind { MRP_LOGIN_NONE, MRP_LOGIN_BASIC, MRP_LOGIN_BEARER, MRP_LOGIN_CODECOMMIT };

/** How an HTTP end proves who we are. Owned strings; wiped by mrp_login_done. */
struct mrp_login {
    enum mrp_login_kind kind;
    char *user;
    char *password;   /* or the bearer token */
    bool from_helper; /* came from `git credential fill`: tell the helper how it went */
    struct mrp_credentials aws;
    bool has_aws;
    struct mrp_aws *aws_own; /* of a named profile */
};

struct mrp_end;

/** What to ask the source for. */
struct mrp_pull {
    const struct mrp_refs *refs; /* the source's, for its capabilities */
    const struct mrp_oids *wants;
    const struct mrp_oids *haves;
    bool thin;
    bool ofs_delta;
};

/** Which updates of a plan to send. `end - first` updates, each gets its state. */
struct mrp_push {
    const struct mrp_refs *refs; /* the destination's, for its capabilities */
    const struct mrp_refs *source;
    struct mrp_plan *plan;
    size_t first, end;
    bool atomic;
    uint64_t sent_bytes; /* filled */
    bool unpack_failed;  /* filled: the pack itself was refused */
};

struct mrp_end_ops {
    const char *name;
    bool whole; /* a destination that is written anew when anything differs */
    /** Fill a zeroed table; MRP_E_NOTFOUND if there is no such repository. */
    int (*list)(struct mrp_end *end,
                struct mrp_refs *out,
                enum mrp_service service,
                struct mrp_error *err);
    /** Put a pack into the hub and close it. NULL: cannot be a source. */
    int (*pull)(struct mrp_end *end,
                const struct mrp_pull *pull,
                struct mrp_hub *hub,
                struct mrp_error *err);
    /** Send updates and, unless `reader` is NULL, the pack. 0 also when single refs were refused.
     * NULL: cannot be a destination. */
    int (*push)(struct mrp_end *end,
                struct mrp_push *push,
                struct mrp_hub_reader *reader,
                struct mrp_error *err);
    /** Make the repository that was not found. NULL: cannot be made. */
    int (*create)(struct mrp_end *end, struct mrp_error *err);
    /** Point HEAD at a branch. NULL: cannot be done. *changed tells if it was needed. */
    int (*set_head)(struct mrp_end *end, const char *ref, bool *changed, struct mrp_error *err);
    /** No more comes: end a connection that was kept. NULL: there is none. */
    void (*close)(struct mrp_end *end);
    /** The same operations, for a thread; those above are then mrp_aside_... of aside.h. */
    const struct mrp_end_ops *blocking;
    /** Is `old` an ancestor of `now`? NULL: ask through a pack. */
    int (*contains)(struct mrp_end *end,
                    bool *yes,
                    const struct mrp_oid *now,
                    const struct mrp_oid *old,
                    struct mrp_error *err);
};

struct mrp_git2_wire;
struct mrp_aside;

struct mrp_end {
    const struct mrp_end_ops *ops;
    struct mrp_session *session;
    char *text; /* for messages: "core in us-east-1", a URL without secrets, a path */
    char *url;  /* http, https, ssh: where it really is */
    char *path; /* a folder or a bundle */
    /* CodeCommit */
    char *region; /* NULL: not CodeCommit */
    char *name;
    char *profile;
    char *aws_host; /* the host and path that the password is made for */
    char *aws_path;
    struct mrp_login login;
    uint64_t rest;              /* of a bundle: where its pack begins */
    struct mrp_git2_wire *wire; /* of libgit2: connected, the list was read */
    struct mrp_aside *aside;    /* the blocking call under way */
};

extern const struct mrp_end_ops mrp_end_http;
extern const struct mrp_end_ops mrp_end_git2;
extern const struct mrp_end_ops mrp_end_local;
extern const struct mrp_end_ops mrp_end_bundle;

/** The outside's wishes for the login of an end; all may be NULL. */
struct mrp_end_login {
    const char *username;
    const char *password;
    const char *token;
};

/** Understand a URL, a path, codecommit://..., codecommit::REGION://..., or a name with `region`.
 * Nothing is sent. Owned: mrp_end_free. */
int mrp_end_new(struct mrp_end **out,
                struct mrp_session *session,
                const char *text,
                const char *region,
                const struct mrp_end_login *login,
                struct mrp_error *err);
void mrp_end_free(struct mrp_end **end);
/** Only the form, for `check`. */
int mrp_end_check(const char *text, struct mrp_error *err);
/** True for "REGION"-less forms that name a repository only: "core-service". */
bool mrp_is_repository_name(const char *text);
/** 0 or -1: the parts of codecommit://[profile@]repo and codecommit::REGION://[profile@]repo;
 * region NULL if not told. Owned. */
int mrp_codecommit_url(char **region, char **profile, char **name, const char *text);

/* ---- login.c ---- */
/** The Authorization header for the next request (owned, to be wiped), or NULL if none. May ask for
 * AWS credentials. */
int mrp_login_header(char **out, struct mrp_end *end, struct mrp_error *err);
/** After a 401: ask `git credential fill`. MRP_E_AUTH if nothing is known. */
int mrp_login_ask(struct mrp_end *end, struct mrp_error *err);
/** Tell the helper that its answer was good or bad. */
void mrp_login_tell(struct mrp_end *end, bool good);
void mrp_login_done(struct mrp_login *login);

#endif
