/* ecr/copy: images to one or many registries in one pass. */
#include "actions.h"
#include "verify.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

const char *const ecr_referrers[] = {"yes", "no", "always", NULL};

const struct mrp_option ecr_copy_options[] = {
    {"from", MRP_JSON(struct ecr_copy, from), .flags = MRP_REQUIRED,
     .help = "an image reference, an imagedefinitions entry, or a list of them"},
    {"to", MRP_LIST(struct ecr_copy, to),
     .help = "full names; HOST/PREFIX/ keeps the source's repository name; oci:FOLDER too"},
    {"to-regions", MRP_LIST(struct ecr_copy, to_regions),
     .help = "regions: same account and repository name there (default: regions.secondary)"},
    {"account", MRP_STRING(struct ecr_copy, account),
     .help = "account of to-regions (default: the source's, or the caller's)"},
    {"repository", MRP_STRING(struct ecr_copy, repository),
     .help = "repository name in to-regions (default: the source's)"},
    {"map", MRP_MAP(struct ecr_copy, map),
     .help =
         "repository names at to-regions and HOST/PREFIX/ by the source's; the others keep theirs"},
    ECR_HOW(struct ecr_copy),
    {0},
};

const struct mrp_output_info ecr_copy_outputs[] = {
    {"images", "list",
     "per image: name, source, digest, copies (region, image, digest, changed, "
     "bytes, skipped-bytes, requests, retries)"},
    {"digest", "string", "digest of the first image"},
    {0},
};

int ecr_copy_check(const void *opt, const char **bad, struct mrp_error *err)
{
    const struct ecr_copy *o = opt;
    mrp_auto(sources_done) struct sources sources = {0};
    *bad = "from";
    int rc = sources_read(&sources, o->from, err);
    if (rc)
        return rc;
    if ((rc = destinations_check(o->to, o->to_regions, bad, err)) ||
        (rc = platforms_check(o->how.platforms, bad, err)))
        return rc;
    *bad = "map";
    if ((rc = destinations_check_map(o->map, err)))
        return rc;
    *bad = NULL;
    return 0;
}

int ecr_how_open(struct copier **out,
                 struct hub **hub,
                 const struct ecr_how *how,
                 struct mrp_stage *stage,
                 bool dry,
                 struct mrp_error *err)
{
    const struct hub_options engine = {.insecure = how->insecure,
                                       .parallel = (unsigned)how->parallel,
                                       .parallel_big = (unsigned)how->parallel_big,
                                       .bandwidth = how->bandwidth,
                                       .stall_ms = how->stall};
    const struct copy_options copy = {.platforms = how->platforms,
                                      .referrers = how->referrers,
                                      .foreign = how->foreign,
                                      .create = how->create,
                                      .dry = dry};
    int rc = hub_new(hub, stage, &engine, err);
    return rc ? rc : copier_new(out, *hub, &copy, err);
}

static int prepare(struct copier **out,
                   struct hub **hub,
                   const struct ecr_copy *o,
                   struct mrp_stage *stage,
                   bool dry,
                   struct mrp_error *err)
{
    mrp_auto(sources_done) struct sources sources = {0};
    struct destinations where = {.to = o->to,
                                 .regions = o->to_regions,
                                 .account = o->account,
                                 .repository = o->repository,
                                 .map = o->map};
    int rc = sources_read(&sources, o->from, err);
    if (rc)
        return rc;
    if ((rc = destinations_default(&where, stage, err)))
        return rc;
    rc = ecr_how_open(out, hub, &o->how, stage, dry, err);
    return rc ? rc : plan_images(*out, &sources, &where, err);
}

static int
copy(void *opt, struct mrp_stage *stage, bool dry, enum mrp_result *result, struct mrp_error *err)
{
    mrp_auto(hub_free) struct hub *hub = NULL;
    mrp_auto(copier_free) struct copier *c = NULL;
    int rc = prepare(&c, &hub, opt, stage, dry, err);
    if (!rc)
        rc = copier_run(c, err);
    if (rc)
        return rc;
    *result = copier_changed(c) ? MRP_CHANGED : MRP_UNCHANGED;
    return report_images(c, err);
}

int ecr_copy_plan(void *opt,
                  struct mrp_stage *stage,
                  enum mrp_result *result,
                  struct mrp_error *err)
{
    return copy(opt, stage, true, result, err);
}

int ecr_copy_run(void *opt, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    return copy(opt, stage, mrp_stage_dry_run(stage), result, err);
}

/* Down to every blob and signature: a tag that is equal says nothing of what was removed since. */
int ecr_copy_verify(void *opt,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err)
{
    const struct ecr_copy *o = opt;
    mrp_auto(hub_free) struct hub *hub = NULL;
    mrp_auto(copier_free) struct copier *c = NULL;
    mrp_auto(mrp_free_json) json_t *differences = json_array();
    int rc = prepare(&c, &hub, o, stage, true, err);
    if (!rc)
        rc = copier_compare(c, err);
    if (!rc)
        rc = verify_deep(c, o->how.referrers != REFERRERS_NO, differences, err);
    if (rc)
        return rc;
    verify_tell(stage, differences);
    *result = json_array_size(differences) ? MRP_CHANGED : MRP_UNCHANGED;
    return report_images(c, err);
}
