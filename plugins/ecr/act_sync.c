/* ecr/sync: whole repositories or registries, by selection of repositories and tags. */
#include "actions.h"
#include "sync.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <string.h>

static const char *const delete_choices[] = {"none", "extra", NULL};

const struct mrp_option ecr_sync_options[] = {
    {"from", MRP_STRING(struct ecr_sync, from), .flags = MRP_REQUIRED,
     .help = "HOST/REPOSITORY, or HOST or HOST/PREFIX/ together with `repositories`"},
    {"repositories", MRP_LIST(struct ecr_sync, repositories),
     .help = "globs of repository names: all that match are synchronised"},
    {"to", MRP_LIST(struct ecr_sync, to), .help = "HOST/REPOSITORY, or HOST/PREFIX/ for many"},
    {"to-regions", MRP_LIST(struct ecr_sync, to_regions),
     .help = "regions: same account and repository names there (default: regions.secondary)"},
    {"account", MRP_STRING(struct ecr_sync, account),
     .help = "account of to-regions (default: the source's, or the caller's)"},
    {"tags", MRP_LIST(struct ecr_sync, tags), .help = "globs; default: all tags"},
    {"exclude", MRP_LIST(struct ecr_sync, exclude), .help = "globs of tags to leave out"},
    {"regex", MRP_STRING(struct ecr_sync, regex),
     .help = "only tags that match this extended regular expression"},
    {"semver", MRP_STRING(struct ecr_sync, semver),
     .help = "only versions in this range, as \">=1.2 <2\" or ^1.4"},
    {"newest", MRP_INT(struct ecr_sync, newest), .fallback = "0", .min = 0, .max = 1000000,
     .help = "only so many: by version with `semver`, else by push date; 0: all"},
    {"pushed-within", MRP_DURATION(struct ecr_sync, pushed_within), .fallback = "0",
     .help = "only tags pushed in this time before now (ECR sources)"},
    {"delete", MRP_ENUM(struct ecr_sync, remove), .choices = delete_choices, .fallback = "none",
     .help = "extra: remove selected tags that the source does not have"},
    {"delete-limit", MRP_INT(struct ecr_sync, delete_limit), .fallback = "10", .min = 0, .max = 100,
     .help = "refuse to remove more than this percentage of a repository's tags"},
    {"force", MRP_BOOL(struct ecr_sync, force), .fallback = "no",
     .help = "remove beyond the limit"},
    ECR_HOW(struct ecr_sync),
    {0},
};

const struct mrp_output_info ecr_sync_outputs[] = {
    {"images", "list", "what was copied, as ecr/copy reports it"},
    {"summary", "map", "repositories, tags, unchanged, copied, deleted"},
    {0},
};

static struct selection selection_of(const struct ecr_sync *o)
{
    struct selection how = {.globs = o->tags,
                            .exclude = o->exclude,
                            .regex = o->regex && *o->regex ? o->regex : NULL,
                            .semver = o->semver && *o->semver ? o->semver : NULL,
                            .newest = o->newest};
    if (o->pushed_within > 0)
        how.pushed_after_ms = mrp_wall_ms() - o->pushed_within;
    return how;
}

/* Other registries would look as if they had nothing so new. */
static int check_dates(const struct ecr_sync *o, struct mrp_error *err)
{
    struct ecr_name name;
    mrp_auto(mrp_free_str) char *host = mrp_strndup(o->from, strcspn(o->from, "/"));
    if (o->pushed_within <= 0 || (host && ecr_name_parse(&name, host)))
        return 0;
    mrp_fail(err, MRP_E_CONFIG,
             "`pushed-within`: %s does not tell when tags were pushed, only ECR does",
             host ? host : o->from);
    return mrp_hint(err, "select by `tags`, `regex` or `semver`, or by `newest` versions");
}

static int check_tags(char *const *to, struct mrp_error *err)
{
    for (; to && *to; to++) {
        mrp_auto(ref_done) struct ref ref = {0};
        int rc = ref_parse(&ref, *to, err);
        if (rc)
            return rc;
        if (ref.tag)
            return mrp_fail(err, MRP_E_CONFIG, "%s: tags keep their names, so `to` has none", *to);
    }
    return 0;
}

int ecr_sync_check(const void *opt, const char **bad, struct mrp_error *err)
{
    const struct ecr_sync *o = opt;
    const struct selection how = selection_of(o);
    *bad = how.semver ? "semver" : "regex";
    int rc = selection_check(&how, err);
    if (rc)
        return rc;
    *bad = "pushed-within";
    if ((rc = check_dates(o, err)))
        return rc;
    *bad = "from";
    mrp_auto(ref_done) struct ref from = {0};
    if ((rc = sync_source(&from, o->from, mrp_strv_len(o->repositories) > 0, err)) ||
        (rc = destinations_check(o->to, o->to_regions, bad, err)) ||
        (rc = platforms_check(o->how.platforms, bad, err)))
        return rc;
    *bad = "to";
    if ((rc = check_tags(o->to, err)))
        return rc;
    *bad = NULL;
    return 0;
}

static int outputs(struct sync *s, struct mrp_error *err)
{
    json_t *sum =
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "repositories", (json_int_t)s->repositories, "tags",
                  (json_int_t)s->tags, "unchanged", (json_int_t)s->unchanged, "copied",
                  (json_int_t)s->copied, "deleted", (json_int_t)s->deleted);
    if (!sum)
        return mrp_fail(err, MRP_E_NOMEM, "sync");
    int rc = mrp_output(s->copier->hub->stage, "summary", sum, err);
    json_t *list = copier_report(s->copier);
    if (rc || !list)
        return rc ? rc : mrp_fail(err, MRP_E_NOMEM, "sync");
    return mrp_output(s->copier->hub->stage, "images", list, err);
}

static int act(void *opt,
               struct mrp_stage *stage,
               enum sync_mode mode,
               enum mrp_result *result,
               struct mrp_error *err)
{
    const struct ecr_sync *o = opt;
    mrp_auto(hub_free) struct hub *hub = NULL;
    mrp_auto(copier_free) struct copier *c = NULL;
    int rc = ecr_how_open(&c, &hub, &o->how, stage, mode != SYNC_RUN, err);
    if (rc)
        return rc;
    struct sync s = {.copier = c,
                     .from = o->from,
                     .repositories_like = o->repositories,
                     .where = {.to = o->to, .regions = o->to_regions, .account = o->account},
                     .select = selection_of(o),
                     .remove = o->remove == 1,
                     .delete_limit = o->delete_limit,
                     .force = o->force,
                     .mode = mode};
    if (!mrp_strv_len(o->to) && !mrp_strv_len(o->to_regions))
        s.where.regions = mrp_stage_secondaries(stage);
    rc = sync_run(&s, err);
    if (rc)
        return rc;
    *result = s.changed ? MRP_CHANGED : MRP_UNCHANGED;
    return outputs(&s, err);
}

int ecr_sync_plan(void *opt,
                  struct mrp_stage *stage,
                  enum mrp_result *result,
                  struct mrp_error *err)
{
    return act(opt, stage, SYNC_PLAN, result, err);
}

int ecr_sync_run(void *opt, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    return act(opt, stage, mrp_stage_dry_run(stage) ? SYNC_PLAN : SYNC_RUN, result, err);
}

int ecr_sync_verify(void *opt,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err)
{
    return act(opt, stage, SYNC_VERIFY, result, err);
}
