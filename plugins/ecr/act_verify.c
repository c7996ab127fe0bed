/* ecr/verify: are images equal at both ends? */
#include "actions.h"
#include "verify.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

const struct mrp_option ecr_verify_options[] = {
    {"from", MRP_JSON(struct ecr_verify, from), .flags = MRP_REQUIRED,
     .help = "an image reference, an imagedefinitions entry, or a list of them"},
    {"to", MRP_LIST(struct ecr_verify, to), .help = "full names, as in ecr/copy"},
    {"to-regions", MRP_LIST(struct ecr_verify, to_regions),
     .help = "regions: same account and repository name there (default: regions.secondary)"},
    {"account", MRP_STRING(struct ecr_verify, account),
     .help = "account of to-regions (default: the source's, or the caller's)"},
    {"repository", MRP_STRING(struct ecr_verify, repository),
     .help = "repository name in to-regions (default: the source's)"},
    {"map", MRP_MAP(struct ecr_verify, map),
     .help =
         "repository names at to-regions and HOST/PREFIX/ by the source's; the others keep theirs"},
    {"platforms", MRP_LIST(struct ecr_verify, platforms),
     .help = "the platforms that were copied (default: all)"},
    {"deep", MRP_BOOL(struct ecr_verify, deep), .fallback = "yes",
     .help = "look at every manifest and blob at the destination, not only at the tag"},
    {"referrers", MRP_BOOL(struct ecr_verify, referrers), .fallback = "yes",
     .help = "compare signatures and other referrers (with `deep`)"},
    {"fail", MRP_BOOL(struct ecr_verify, fail), .fallback = "yes",
     .help = "fail when something differs; no: only report it"},
    {"insecure", MRP_BOOL(struct ecr_verify, insecure), .fallback = "no",
     .help = "allow plain http to any registry"},
    {0},
};

const struct mrp_output_info ecr_verify_outputs[] = {
    {"equal", "bool", "true if nothing differs"},
    {"differences", "list", "per part that differs: image, digest, problem"},
    {"images", "list", "as ecr/copy reports them; `changed` means that it differs"},
    {0},
};

int ecr_verify_check(const void *opt, const char **bad, struct mrp_error *err)
{
    const struct ecr_verify *o = opt;
    mrp_auto(sources_done) struct sources sources = {0};
    *bad = "from";
    int rc = sources_read(&sources, o->from, err);
    if (rc || (rc = destinations_check(o->to, o->to_regions, bad, err)) ||
        (rc = platforms_check(o->platforms, bad, err)))
        return rc;
    *bad = "map";
    if ((rc = destinations_check_map(o->map, err)))
        return rc;
    *bad = NULL;
    return 0;
}

/* Without `deep` a difference is one of tags. */
static int shallow(const struct copier *c, json_t *differences, struct mrp_error *err)
{
    for (const struct job *job = c->jobs; job; job = job->next) {
        for (size_t i = 0; i < job->route->count; i++) {
            const struct job_dest *d = &job->dests[i];
            if (!d->changed)
                continue;
            mrp_auto(mrp_free_str) char *image =
                end_ref(&job->route->dst[i], d->tag ? d->tag : job->digest);
            json_t *j = json_pack("{s:s, s:s, s:s}", "image", image ? image : "", "digest",
                                  job->digest, "problem", d->had[0] ? "another digest" : "missing");
            if (json_array_append_new(differences, j))
                return mrp_fail(err, MRP_E_NOMEM, "verify");
        }
    }
    return 0;
}

static int tell(struct copier *c, json_t *differences, struct mrp_error *err)
{
    struct mrp_stage *stage = c->hub->stage;
    verify_tell(stage, differences);
    int rc = mrp_output(stage, "equal", json_boolean(!json_array_size(differences)), err);
    if (!rc)
        rc = mrp_output(stage, "differences", json_incref(differences), err);
    json_t *list = rc ? NULL : copier_report(c);
    return list ? mrp_output(stage, "images", list, err) : rc;
}

/* A copy does not look into an image whose tag is equal. */
static int hint(const json_t *differences, struct mrp_error *err)
{
    bool referrers = false;
    size_t i;
    json_t *one;
    json_array_foreach(differences, i, one)
    {
        const char *problem = mrp_json_str(one, "problem");
        if (!strcmp(problem, "blob missing") || !strcmp(problem, "manifest missing"))
            return mrp_hint(err,
                            "parts are gone below a tag that is equal: delete the image there, "
                            "then run ecr/copy");
        referrers = referrers || mrp_starts(problem, "referrer") || mrp_starts(problem, "cosign");
    }
    return mrp_hint(err, "run ecr/copy for these images again%s",
                    referrers ? ", with `referrers: always`" : "");
}

static int act(const struct ecr_verify *o,
               struct mrp_stage *stage,
               bool fail,
               enum mrp_result *result,
               struct mrp_error *err)
{
    mrp_auto(sources_done) struct sources sources = {0};
    mrp_auto(hub_free) struct hub *hub = NULL;
    mrp_auto(copier_free) struct copier *c = NULL;
    struct destinations where = {o->to, o->to_regions, o->account, o->repository, o->map};
    const struct hub_options how = {.insecure = o->insecure};
    const struct copy_options copy = {.platforms = o->platforms, .dry = true};
    int rc = sources_read(&sources, o->from, err);
    if (!rc)
        rc = destinations_default(&where, stage, err);
    if (!rc)
        rc = hub_new(&hub, stage, &how, err);
    if (!rc)
        rc = copier_new(&c, hub, &copy, err);
    if (!rc)
        rc = plan_images(c, &sources, &where, err);
    if (!rc)
        rc = copier_compare(c, err);
    mrp_auto(mrp_free_json) json_t *differences = json_array();
    if (!rc)
        rc =
            o->deep ? verify_deep(c, o->referrers, differences, err) : shallow(c, differences, err);
    if (!rc)
        rc = tell(c, differences, err);
    if (rc)
        return rc;
    size_t n = json_array_size(differences);
    *result = n ? MRP_CHANGED : MRP_UNCHANGED;
    if (!n || !fail)
        return 0;
    const json_t *first = json_array_get(differences, 0);
    mrp_fail(err, MRP_E_CONFLICT, "%zu difference%s%s: %s (%s)", n,
             n == 1 ? ": " : "s; the first: ", mrp_json_str(first, "image"),
             mrp_json_str(first, "problem"), mrp_json_str(first, "digest"));
    return hint(differences, err);
}

int ecr_verify_run(void *opt,
                   struct mrp_stage *stage,
                   enum mrp_result *result,
                   struct mrp_error *err)
{
    const struct ecr_verify *o = opt;
    int rc = act(o, stage, o->fail, result, err);
    /* Nothing was written, so there is nothing that changed. */
    *result = MRP_UNCHANGED;
    return rc;
}

int ecr_verify_plan(void *opt,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err)
{
    return act(opt, stage, false, result, err);
}
