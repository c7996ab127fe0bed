/* ecr/replicate: ECR's native replication, and a direct copy of what is late. */
#include "actions.h"
#include "replication.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <string.h>

enum { LOOK_MS = 3000 };

const struct mrp_option ecr_replicate_options[] = {
    {"prefixes", MRP_LIST(struct ecr_replicate, prefixes),
     .help = "prefixes of repository names (default: all repositories)"},
    {"regions", MRP_LIST(struct ecr_replicate, regions),
     .help = "where to (default: regions.secondary)"},
    {"account", MRP_STRING(struct ecr_replicate, account),
     .help = "account that receives (default: the caller's)"},
    {"allow-from", MRP_STRING(struct ecr_replicate, allow_from),
     .help = "on the receiving side: let this account replicate into `regions`, by the registry "
             "policy"},
    {"images", MRP_JSON(struct ecr_replicate, images),
     .help = "images to wait for: references or imagedefinitions entries"},
    {"wait", MRP_DURATION(struct ecr_replicate, wait), .fallback = "10m",
     .help = "how long to wait for `images`"},
    {"copy", MRP_BOOL(struct ecr_replicate, copy), .fallback = "yes",
     .help = "copy directly what is late or failed; no: fail"},
    {0},
};

const struct mrp_output_info ecr_replicate_outputs[] = {
    {"rules", "list", "the replication rules that are in force"},
    {"images", "list",
     "per image and region: image, region, status (complete, late, failed), failure-code"},
    {"late", "list", "images that were copied directly, as ecr/copy reports them"},
    {0},
};

struct act {
    const struct ecr_replicate *o;
    struct hub *hub;
    const char *source; /* region */
    const char *own;    /* the caller's account */
    char *const *regions;
    bool dry;
    bool changed;
    bool fresh; /* the rule is new: what was pushed before is not replicated by it */
    json_t *states;
    char first[300]; /* what is not complete, for the message */
    size_t missing;
};

int ecr_replicate_check(const void *opt, const char **bad, struct mrp_error *err)
{
    const struct ecr_replicate *o = opt;
    *bad = "regions";
    for (char **region = o->regions; region && *region; region++)
        if (!mrp_aws_is_region(*region))
            return mrp_fail(err, MRP_E_CONFIG, "`%.60s` is no region", *region);
    mrp_auto(sources_done) struct sources sources = {0};
    *bad = "images";
    int rc = o->images ? sources_read(&sources, o->images, err) : 0;
    struct ecr_name name;
    for (size_t i = 0; !rc && i < sources.count; i++)
        if (!sources.list[i].ref.host || !ecr_name_parse(&name, sources.list[i].ref.host))
            rc = mrp_fail(err, MRP_E_CONFIG, "`images`: only images of ECR are replicated by it");
    if (!rc)
        *bad = NULL;
    return rc;
}

static int allow(struct act *a, const char *region, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    mrp_auto(mrp_free_str) char *policy = NULL;
    int rc = mrp_aws_call(&answer, a->hub->aws, "ecr", region, "GetRegistryPolicy", NULL, err);
    if (rc == MRP_E_NOTFOUND)
        rc = 0;
    if (!rc)
        rc = replication_policy(&policy, mrp_json_str(answer, "policyText"), a->o->allow_from,
                                mrp_aws_partition(region), region, a->own, err);
    if (rc || !policy)
        return rc;
    a->changed = true;
    mrp_change(a->hub->stage, "let account %s replicate into %s", a->o->allow_from, region);
    if (a->dry)
        return 0;
    mrp_auto(mrp_free_json) json_t *in = json_pack("{s:s}", "policyText", policy);
    if (!in)
        return mrp_fail(err, MRP_E_NOMEM, "registry policy");
    return mrp_aws_call(NULL, a->hub->aws, "ecr", region, "PutRegistryPolicy", in, err);
}

static const char *receiver(const struct act *a)
{
    return a->o->account && *a->o->account ? a->o->account : a->own;
}

/* "replicate core* from us-west-2 to us-east-1, eu-west-1: a rule of the registry" */
static void tell_rule(const struct act *a)
{
    struct mrp_buf text = MRP_BUF_INIT(1024);
    for (char *const *prefix = a->o->prefixes; prefix && *prefix; prefix++)
        mrp_buf_addf(&text, "%s%s*", prefix == a->o->prefixes ? "" : ", ", *prefix);
    mrp_buf_addf(&text, "%s from %s to ", text.len ? "" : "all repositories", a->source);
    for (char *const *region = a->regions; *region; region++)
        mrp_buf_addf(&text, "%s%s", region == a->regions ? "" : ", ", *region);
    mrp_change(a->hub->stage, "replicate %s: a rule of the registry", mrp_buf_str(&text));
    mrp_buf_done(&text);
}

/* ECR's own word for it does not name the region. */
static int check_regions(const struct act *a, struct mrp_error *err)
{
    for (char *const *region = a->regions; *region; region++) {
        if (strcmp(*region, a->source) != 0 || !mrp_streq(receiver(a), a->own))
            continue;
        mrp_fail(err, MRP_E_CONFIG, "`regions`: %s is where the images come from", *region);
        return mrp_hint(err, "name the other regions; the stage's `region` is the source");
    }
    return 0;
}

static int configure(struct act *a, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    int rc = mrp_aws_call(&answer, a->hub->aws, "ecr", a->source, "DescribeRegistry", NULL, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_json) json_t *config =
        json_deep_copy(json_object_get(answer, "replicationConfiguration"));
    if (!json_is_object(config)) {
        json_decref(config);
        config = json_pack("{s:[]}", "rules");
    }
    bool changed = false;
    if (!config)
        return mrp_fail(err, MRP_E_NOMEM, "replication");
    rc = replication_merge(config, &changed, a->o->prefixes, a->regions, receiver(a), err);
    if (!rc && changed) {
        a->changed = a->fresh = true;
        tell_rule(a);
        mrp_auto(mrp_free_json) json_t *in = json_pack("{s:O}", "replicationConfiguration", config);
        if (!in)
            return mrp_fail(err, MRP_E_NOMEM, "replication");
        if (!a->dry)
            rc = mrp_aws_call(NULL, a->hub->aws, "ecr", a->source, "PutReplicationConfiguration",
                              in, err);
    }
    if (rc)
        return rc;
    return mrp_output(a->hub->stage, "rules", json_incref(mrp_json_arr(config, "rules")), err);
}

/* What ECR knows of one region; NULL: nothing. Borrowed from the answer. */
static const json_t *status_of(const json_t *answer, const char *region, const char *account)
{
    return replication_place(mrp_json_arr(answer, "replicationStatuses"), region, account);
}

static int ask(json_t **out, struct act *a, const struct source *source, struct mrp_error *err)
{
    struct ecr_name name;
    ecr_name_parse(&name, source->ref.host);
    const char *member = source->ref.digest ? "imageDigest" : "imageTag";
    const char *value = source->ref.digest ? source->ref.digest
                        : source->ref.tag  ? source->ref.tag
                                           : "latest";
    mrp_auto(mrp_free_json) json_t *in =
        json_pack("{s:s, s:s, s:{s:s}}", "registryId", name.account, "repositoryName",
                  source->ref.repo, "imageId", member, value);
    if (!in)
        return mrp_fail(err, MRP_E_NOMEM, "replication");
    int rc = mrp_aws_call(out, a->hub->aws, "ecr", name.region, "DescribeImageReplicationStatus",
                          in, err);
    if (rc != MRP_E_NOTFOUND)
        return rc;
    mrp_auto(mrp_free_str) char *image = ref_text(&source->ref);
    mrp_fail(err, MRP_E_NOTFOUND, "%s does not exist", image ? image : source->ref.repo);
    return mrp_hint(err, "was it pushed? check the name and the tag");
}

/* True when no region has it on its way any more. */
static bool is_settled(const struct act *a, const json_t *answer)
{
    for (char *const *region = a->regions; *region; region++) {
        const json_t *one = status_of(answer, *region, receiver(a));
        const char *state = mrp_json_str(one, "status");
        if (one ? !mrp_streq(state, "COMPLETE") && !mrp_streq(state, "FAILED") : !a->fresh)
            return false;
    }
    return true;
}

/* *answer (owned) is what ECR says in the end. */
static int await(json_t **answer,
                 struct act *a,
                 const struct source *source,
                 int64_t until_ms,
                 struct mrp_error *err)
{
    for (;;) {
        json_decref(mrp_take_json(answer));
        int rc = ask(answer, a, source, err);
        if (rc || a->dry || is_settled(a, *answer))
            return rc;
        int64_t left_ms = until_ms - mrp_now_ms();
        if (left_ms <= 0)
            return 0;
        rc = mrp_http_sleep(a->hub->http, left_ms < LOOK_MS ? left_ms : LOOK_MS, err);
        if (rc)
            return rc;
    }
}

/* The states of an image for the output; *complete: it is everywhere. */
static int note_states(bool *complete,
                       struct act *a,
                       const char *image,
                       const json_t *answer,
                       struct mrp_error *err)
{
    *complete = true;
    for (char *const *region = a->regions; *region; region++) {
        const json_t *one = status_of(answer, *region, receiver(a));
        const char *state = mrp_json_str(one, "status");
        const char *code = mrp_json_str(one, "failureCode");
        bool done = mrp_streq(state, "COMPLETE");
        bool failed = mrp_streq(state, "FAILED");
        json_t *j = json_pack("{s:s, s:s, s:s, s:s*}", "image", image, "region", *region, "status",
                              done     ? "complete"
                              : failed ? "failed"
                                       : "late",
                              "failure-code", failed ? code : NULL);
        if (json_array_append_new(a->states, j))
            return mrp_fail(err, MRP_E_NOMEM, "replication");
        if (done)
            continue;
        *complete = false;
        mrp_auto(mrp_free_str) char *text =
            failed ? mrp_strf("%s was not replicated to %s: %s", image, *region,
                              code ? code : "FAILED")
                   : mrp_strf("%s is not replicated to %s yet", image, *region);
        if (!text)
            return mrp_fail(err, MRP_E_NOMEM, "replication");
        mrp_log(a->hub->stage, MRP_INFO, "%s", text);
        if (!a->missing++)
            mrp_copy(a->first, sizeof a->first, text);
    }
    return 0;
}

static int copy_late(struct act *a, const struct sources *late, struct mrp_error *err)
{
    const struct copy_options how = {.create = true, .dry = a->dry};
    const struct destinations where = {.regions = a->regions, .account = a->o->account};
    mrp_auto(copier_free) struct copier *c = NULL;
    int rc = copier_new(&c, a->hub, &how, err);
    if (!rc)
        rc = plan_images(c, late, &where, err);
    if (!rc)
        rc = copier_run(c, err);
    if (rc)
        return rc;
    a->changed = a->changed || copier_changed(c);
    json_t *list = copier_report(c);
    return list ? mrp_output(a->hub->stage, "late", list, err)
                : mrp_fail(err, MRP_E_NOMEM, "replication");
}

static int wait_for_images(struct act *a, struct mrp_error *err)
{
    mrp_auto(sources_done) struct sources all = {0};
    int rc = sources_read(&all, a->o->images, err);
    if (rc)
        return rc;
    /* `late` borrows from the front of `all`: those that are late are moved there. */
    size_t late = 0;
    int64_t until_ms = mrp_now_ms() + a->o->wait;
    for (size_t i = 0; i < all.count; i++) {
        bool complete = false;
        mrp_auto(mrp_free_json) json_t *answer = NULL;
        mrp_auto(mrp_free_str) char *image = ref_text(&all.list[i].ref);
        rc = image ? await(&answer, a, &all.list[i], until_ms, err)
                   : mrp_fail(err, MRP_E_NOMEM, "replication");
        if (!rc)
            rc = note_states(&complete, a, image, answer, err);
        if (rc)
            return rc;
        if (complete)
            continue;
        const struct source swap = all.list[late];
        all.list[late++] = all.list[i];
        all.list[i] = swap;
    }
    if (!late)
        return 0;
    if (!a->o->copy && a->dry)
        return 0;
    if (!a->o->copy) {
        mrp_fail(err, MRP_E_TIMEOUT, "%s (%zu in all)", a->first, a->missing);
        return mrp_hint(err, "raise `wait`, or set `copy: true`");
    }
    const struct sources some = {all.list, late};
    return copy_late(a, &some, err);
}

static int
act(void *opt, struct mrp_stage *stage, bool dry, enum mrp_result *result, struct mrp_error *err)
{
    const struct ecr_replicate *o = opt;
    const struct hub_options how = {0};
    mrp_auto(hub_free) struct hub *hub = NULL;
    mrp_auto(mrp_free_json) json_t *states = json_array();
    struct act a = {.o = o, .dry = dry, .states = states};
    a.regions = mrp_strv_len(o->regions) ? o->regions : mrp_stage_secondaries(stage);
    a.source = *mrp_stage_region(stage) ? mrp_stage_region(stage) : mrp_stage_primary(stage);
    if (!mrp_strv_len(a.regions) || !*a.source) {
        mrp_fail(err, MRP_E_CONFIG, "the regions to replicate between are not known");
        return mrp_hint(err, "set `regions` and the stage's `region`");
    }
    int rc = hub_new(&hub, stage, &how, err);
    a.hub = hub;
    if (!rc)
        rc = mrp_aws_account(&a.own, hub->aws, err);
    if (!rc && o->allow_from && *o->allow_from) {
        for (char *const *region = a.regions; !rc && *region; region++)
            rc = allow(&a, *region, err);
    } else if (!rc) {
        rc = check_regions(&a, err);
        if (!rc)
            rc = configure(&a, err);
        if (!rc && o->images)
            rc = wait_for_images(&a, err);
    }
    if (rc)
        return rc;
    *result = a.changed ? MRP_CHANGED : MRP_UNCHANGED;
    return mrp_output(stage, "images", json_incref(states), err);
}

int ecr_replicate_plan(void *opt,
                       struct mrp_stage *stage,
                       enum mrp_result *result,
                       struct mrp_error *err)
{
    return act(opt, stage, true, result, err);
}

int ecr_replicate_run(void *opt,
                      struct mrp_stage *stage,
                      enum mrp_result *result,
                      struct mrp_error *err)
{
    return act(opt, stage, mrp_stage_dry_run(stage), result, err);
}
