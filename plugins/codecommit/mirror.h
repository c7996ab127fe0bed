/* The options of the actions, and one run over many repositories. */
#ifndef CODECOMMIT_MIRROR_H
#define CODECOMMIT_MIRROR_H

#include "lane.h"

#include <mrpipe/plugin.h>

struct mrp_mirror_options {
    char *repository;
    char **repositories;
    char *from;
    char *from_region;
    char **to;
    char **to_regions;
    char **refs;
    char **exclude;
    char **force;
    bool prune;
    char *prune_limit;
    bool atomic;
    bool create;
    bool head;
    char *kms_key;
    bool thin;
    int64_t batch;
    int64_t jobs;
    char *event;
    int transport;
    int64_t stall_ms;
    char *from_username, *from_password, *from_token;
    char *to_username, *to_password, *to_token;
    char *ssh_key;
};

enum mrp_mirror_mode { MRP_MODE_RUN, MRP_MODE_PLAN, MRP_MODE_VERIFY };

/** One source with its destinations. */
struct mrp_pair {
    struct mrp_mirror *mirror;
    char *name;
    struct mrp_end *source;
    struct mrp_refs refs;
    struct mrp_lane *lanes;
    size_t lane_count;
    uint64_t source_bytes;
    uint64_t lfs;
    struct mrp_error err; /* the source's, or of a guard */
    bool failed;
    bool pause; /* before the next round: a server was in trouble */
};

struct mrp_mirror {
    const struct mrp_mirror_options *options;
    struct mrp_session session;
    struct mrp_policy policy;
    enum mrp_mirror_mode mode;
    struct mrp_pair *pairs;
    size_t count;
};

int mrp_mirror_do(const struct mrp_mirror_options *options,
                  struct mrp_stage *stage,
                  enum mrp_mirror_mode mode,
                  enum mrp_result *result,
                  struct mrp_error *err);

/** One pair from its lists to its last push. Failures stay in the pair and its lanes. */
int mrp_pair_run(void *pair, struct mrp_error *err);
void mrp_pair_done(struct mrp_pair *pair);
/** Events, changes and log lines of a finished pair; true if something was (or would be) changed.
 */
bool mrp_pair_tell(const struct mrp_pair *pair);
/** The JSON of a lane for the event and the output; owned. */
json_t *mrp_lane_json(const struct mrp_pair *pair, const struct mrp_lane *lane);

/** Which repositories: names of the lists, globs over ListRepositories, "all", an event. Owned
 * vector, may be empty after an event of the other end. */
int mrp_repositories_find(char ***out,
                          char **source_region,
                          struct mrp_session *session,
                          const struct mrp_mirror_options *options,
                          struct mrp_error *err);
/** Make the CodeCommit repository of `to` like that of `from`, which may be anywhere. */
int mrp_repository_create(struct mrp_end *to,
                          struct mrp_end *from,
                          const char *kms_key,
                          struct mrp_error *err);
/** MRP_E_NOTFOUND if CodeCommit does not know the repository. */
int mrp_repository_exists(struct mrp_end *end, struct mrp_error *err);
/** Set CodeCommit's default branch where it differs. */
int mrp_repository_head(struct mrp_end *end, const char *ref, bool *changed, struct mrp_error *err);

/** Repository names and the region of an EventBridge or trigger event (path, "-", or its text). */
int mrp_event_read(char ***names,
                   char **region,
                   struct mrp_stage *stage,
                   const char *path,
                   struct mrp_error *err);
/** The same from its text. */
int mrp_event_parse(char ***names,
                    char **region,
                    const char *text,
                    size_t len,
                    struct mrp_error *err);

/** Mark updates that would rewrite history where the policy forbids it as refused. */
int mrp_forward_check(struct mrp_pair *pair, struct mrp_lane *lane, struct mrp_error *err);

#endif
