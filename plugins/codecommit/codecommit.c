/* The codecommit plugin: its actions and their one table of options. */
#include "mirror.h"

#include <mrpipe/text.h>

#include <string.h>

static const char *const transports[] = {"curl", "libgit2", NULL};

#define WHICH                                                                                      \
    {.name = "repository",                                                                         \
     MRP_STRING(struct mrp_mirror_options, repository),                                            \
     .help = "the repository's name; the same at both ends unless `to` says otherwise"},           \
        {.name = "repositories",                                                                   \
         MRP_LIST(struct mrp_mirror_options, repositories),                                        \
         .help = "many: names, patterns (app-*) over the source region's repositories, or all"},   \
        {.name = "from",                                                                           \
         MRP_STRING(struct mrp_mirror_options, from),                                              \
         .help = "source: region, URL, codecommit::REGION://NAME, path, bundle; * is the name "    \
                 "(default: the primary region)"},                                                 \
        {.name = "from-region",                                                                    \
         MRP_REGION(struct mrp_mirror_options, from_region),                                       \
         .help = "region of a source that is named without one (default: the primary region)"},    \
        {.name = "to",                                                                             \
         MRP_LIST(struct mrp_mirror_options, to),                                                  \
         .help = "destinations: regions, URLs, codecommit::REGION://NAME, paths, bundles, or "     \
                 "another name"},                                                                  \
        {.name = "to-regions",                                                                     \
         MRP_LIST(struct mrp_mirror_options, to_regions),                                          \
         .help = "destination regions (default without `to`: the secondary regions)"},             \
        {.name = "refs",                                                                           \
         MRP_LIST(struct mrp_mirror_options, refs),                                                \
         .help = "patterns of refs: heads, tags, notes, all, refs/..., or short names (default: "  \
                 "heads and tags)"},                                                               \
        {.name = "exclude",                                                                        \
         MRP_LIST(struct mrp_mirror_options, exclude),                                             \
         .help = "patterns of refs that take no part"},                                            \
        {.name = "event",                                                                          \
         MRP_PATH(struct mrp_mirror_options, event),                                               \
         .help = "an EventBridge or trigger event that names what to mirror: a file, - for "       \
                 "standard input, or its JSON text"},                                              \
        {.name = "jobs",                                                                           \
         MRP_INT(struct mrp_mirror_options, jobs),                                                 \
         .fallback = "16",                                                                         \
         .min = 1,                                                                                 \
         .max = 64,                                                                                \
         .help = "repositories at once"},                                                          \
        {.name = "from-username",                                                                  \
         MRP_STRING(struct mrp_mirror_options, from_username),                                     \
         .help = "user name for a source over HTTPS"},                                             \
        {.name = "from-password",                                                                  \
         MRP_SECRET(struct mrp_mirror_options, from_password),                                     \
         .help = "its password; without one git's credential helpers are asked"},                  \
        {.name = "from-token",                                                                     \
         MRP_SECRET(struct mrp_mirror_options, from_token),                                        \
         .help = "its bearer token"},                                                              \
        {.name = "to-username",                                                                    \
         MRP_STRING(struct mrp_mirror_options, to_username),                                       \
         .help = "user name for destinations over HTTPS"},                                         \
        {.name = "to-password",                                                                    \
         MRP_SECRET(struct mrp_mirror_options, to_password),                                       \
         .help = "their password"},                                                                \
        {.name = "to-token",                                                                       \
         MRP_SECRET(struct mrp_mirror_options, to_token),                                          \
         .help = "their bearer token"},                                                            \
        {.name = "ssh-key",                                                                        \
         MRP_PATH(struct mrp_mirror_options, ssh_key),                                             \
         .help = "private key for ssh (default: the agent, then ~/.ssh)"},                         \
        {.name = "stall-timeout",                                                                  \
         MRP_DURATION(struct mrp_mirror_options, stall_ms),                                        \
         .fallback = "5m",                                                                         \
         .help = "give up when no byte moves for so long (servers think while they count)"},       \
    {                                                                                              \
        .name = "transport", MRP_ENUM(struct mrp_mirror_options, transport),                       \
        .choices = transports, .fallback = "curl",                                                 \
        .help = "HTTP by libcurl and OpenSSL, or by libgit2's own transport"                       \
    }

static const struct mrp_option mirror_options[] = {
    WHICH,
    {.name = "prune",
     MRP_BOOL(struct mrp_mirror_options, prune),
     .fallback = "yes",
     .help = "delete refs that the source no longer has"},
    {.name = "prune-limit",
     MRP_STRING(struct mrp_mirror_options, prune_limit),
     .fallback = "50%",
     .help = "refuse to delete more: a share of the destination's refs, a number, or all"},
    {.name = "force",
     MRP_LIST(struct mrp_mirror_options, force),
     .help = "patterns of refs that may be rewritten; others only move forward (default: all; no: "
             "none)"},
    {.name = "atomic",
     MRP_BOOL(struct mrp_mirror_options, atomic),
     .fallback = "no",
     .help = "all refs of a push or none, where the destination can"},
    {.name = "create",
     MRP_BOOL(struct mrp_mirror_options, create),
     .fallback = "yes",
     .help = "make destinations that are missing, with the source's description, tags and key"},
    {.name = "kms-key",
     MRP_STRING(struct mrp_mirror_options, kms_key),
     .help = "KMS key of repositories that are made (default: the source's, if multi-Region)"},
    {.name = "default-branch",
     MRP_BOOL(struct mrp_mirror_options, head),
     .fallback = "yes",
     .help = "set the source's default branch where branches came or went"},
    {.name = "thin",
     MRP_BOOL(struct mrp_mirror_options, thin),
     .fallback = "yes",
     .help = "allow thin packs (a destination that refuses one gets a whole one)"},
    {.name = "batch",
     MRP_INT(struct mrp_mirror_options, batch),
     .fallback = "4000",
     .min = 1,
     .max = 100000,
     .help = "ref updates in one push; CodeCommit takes 4,000"},
    {.name = NULL},
};

static const struct mrp_option verify_options[] = {WHICH, {.name = NULL}};

static int check(const void *options, const char **bad, struct mrp_error *err)
{
    const struct mrp_mirror_options *o = options;
    struct mrp_policy policy;
    if (!o->repository && !o->repositories && !o->from && !o->event) {
        *bad = "repository";
        mrp_fail(err, MRP_E_CONFIG, "nothing says what to mirror");
        return mrp_hint(err, "set repository, repositories, from or event");
    }
    if (o->prune_limit && mrp_policy_prune_limit(&policy, o->prune_limit, err)) {
        *bad = "prune-limit";
        return err->code;
    }
    *bad = "from";
    if (o->from && !mrp_aws_is_region(o->from) && !strchr(o->from, '*') &&
        mrp_end_check(o->from, err))
        return err->code;
    *bad = "to";
    for (char **t = o->to; t && *t; t++)
        if (!strchr(*t, '*') && mrp_end_check(*t, err))
            return err->code;
    *bad = "to-regions";
    for (char **r = o->to_regions; r && *r; r++)
        if (!mrp_aws_is_region(*r))
            return mrp_fail(err, MRP_E_CONFIG, "%s is no region", *r);
    *bad = "repository";
    if (o->repository && !mrp_is_repository_name(o->repository))
        return mrp_fail(err, MRP_E_CONFIG, "%s is no repository name", o->repository);
    *bad = NULL;
    return MRP_OK;
}

static int
plan(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    return mrp_mirror_do(options, stage, MRP_MODE_PLAN, result, err);
}

static int
run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    return mrp_mirror_do(options, stage, MRP_MODE_RUN, result, err);
}

static int
verify(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    struct mrp_mirror_options *o = options;
    o->prune = true; /* what only the destination has is a difference */
    return mrp_mirror_do(options, stage, MRP_MODE_VERIFY, result, err);
}

/* The action codecommit/verify fails when the ends differ. */
static int
verify_run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    int rc = verify(options, stage, result, err);
    if (!rc && *result == MRP_CHANGED) {
        mrp_fail(err, MRP_E_CONFLICT, "the refs of the two ends differ");
        rc = mrp_hint(err, "codecommit/mirror makes them equal");
    }
    *result = MRP_UNCHANGED;
    return rc;
}

static const struct mrp_output_info outputs[] = {
    {"repositories", "list",
     "per repository and destination: created, updated, deleted, unchanged, refused, bytes, "
     "seconds"},
    {.name = NULL},
};

static const char mirror_doc[] =
    "Makes the refs of each destination equal to the source's. Between HTTP servers the source's\n"
    "pack goes straight into the destination: no clone, no disk, constant memory; one read feeds\n"
    "all destinations that need the same.\n\n"
    "    with:\n"
    "      repository: core-service      # from the primary region to every secondary one\n\n"
    "    mrpipe do codecommit/mirror from=https://github.com/me/app to=./app.git\n";

static const struct mrp_action actions[] = {
    {.name = "mirror",
     .summary = "make git repositories of other regions or hosts equal to their source",
     .doc = mirror_doc,
     .options = mirror_options,
     .outputs = outputs,
     .options_size = sizeof(struct mrp_mirror_options),
     .check = check,
     .plan = plan,
     .run = run,
     .verify = verify},
    {.name = "verify",
     .summary = "compare the refs of both ends, one by one; writes nothing",
     .options = verify_options,
     .options_size = sizeof(struct mrp_mirror_options),
     .check = check,
     .plan = verify,
     .run = verify_run,
     .verify = verify},
};

MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 = {
    MRP_PLUGIN_HEAD,
    .name = "codecommit",
    .version = "1.0.0",
    .summary = "git repositories: CodeCommit, any HTTPS or ssh server, local repositories, bundles",
    .actions = actions,
    .action_count = MRP_COUNT(actions),
};
