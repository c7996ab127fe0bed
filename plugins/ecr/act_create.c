/* ecr/create-repository: repositories in other regions, with the settings of the source. */
#include "actions.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

const struct mrp_option ecr_create_options[] = {
    {"repositories", MRP_LIST(struct ecr_create_repository, names), .flags = MRP_REQUIRED,
     .help = "repository names"},
    {"regions", MRP_LIST(struct ecr_create_repository, regions),
     .help = "where they must be (default: regions.secondary)"},
    {"account", MRP_STRING(struct ecr_create_repository, account),
     .help = "account id (default: the caller's)"},
    {"like", MRP_STRING(struct ecr_create_repository, like),
     .help = "HOST/REPOSITORY whose settings are taken (default: the same name in the primary "
             "region)"},
    {"align", MRP_BOOL(struct ecr_create_repository, align), .fallback = "yes",
     .help = "bring the settings of repositories that exist in line too"},
    {0},
};

const struct mrp_output_info ecr_create_outputs[] = {
    {"repositories", "list", "per repository: region, name, uri, created"},
    {0},
};

struct making {
    struct hub *hub;
    const struct ecr_create_repository *o;
    const char *account;
    bool dry;
    bool changed;
    json_t *list;
};

int ecr_create_check(const void *opt, const char **bad, struct mrp_error *err)
{
    const struct ecr_create_repository *o = opt;
    *bad = "repositories";
    for (char **name = o->names; name && *name; name++)
        if (strlen(*name) < 2 || !repo_valid(*name, strlen(*name)))
            return mrp_fail(err, MRP_E_CONFIG, "`%.120s` is no repository name", *name);
    *bad = "regions";
    for (char **region = o->regions; region && *region; region++)
        if (!mrp_aws_is_region(*region))
            return mrp_fail(err, MRP_E_CONFIG, "`%.60s` is no region", *region);
    *bad = NULL;
    return 0;
}

static int
find_like(struct repo **out, const struct making *m, const char *name, struct mrp_error *err)
{
    if (m->o->like && *m->o->like) {
        mrp_auto(ref_done) struct ref ref = {0};
        struct ecr_name ecr;
        int rc = ref_parse(&ref, m->o->like, err);
        if (!rc && (ref.kind != REF_REGISTRY || !ecr_name_parse(&ecr, ref.host)))
            rc = mrp_fail(err, MRP_E_CONFIG, "`like`: %s is no ECR repository", m->o->like);
        return rc ? rc : hub_repo(out, m->hub, ref.host, ref.repo, err);
    }
    const char *primary = mrp_stage_primary(m->hub->stage);
    if (!*primary)
        return 0;
    mrp_auto(mrp_free_str) char *host = ecr_host(m->account, primary);
    return host ? hub_repo(out, m->hub, host, name, err)
                : mrp_fail(err, MRP_E_NOMEM, "create-repository");
}

static int make_one(struct making *m, const char *region, const char *name, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *host = ecr_host(m->account, region);
    struct repo *repo = NULL;
    struct repo *like = NULL;
    int rc = host ? hub_repo(&repo, m->hub, host, name, err)
                  : mrp_fail(err, MRP_E_NOMEM, "create-repository");
    if (!rc)
        rc = find_like(&like, m, name, err);
    mrp_auto(mrp_free_json) json_t *have = NULL;
    if (!rc)
        rc = ecr_describe(&have, repo, err);
    if (rc)
        return rc;
    bool created = !have;
    if (like == repo)
        like = NULL;
    if (created && m->dry)
        mrp_change(m->hub->stage, "create repository %s in %s", name, region);
    else if (created)
        rc = ecr_create(repo, like, err);
    else if (m->o->align && like)
        rc = ecr_align(&m->changed, repo, like, m->dry, err);
    m->changed = m->changed || created;
    json_t *j = json_pack("{s:s, s:s, s:s++, s:b}", "region", region, "name", name, "uri", host,
                          "/", name, "created", (int)created);
    if (!rc && json_array_append_new(m->list, j))
        rc = mrp_fail(err, MRP_E_NOMEM, "create-repository");
    return rc;
}

static int
act(void *opt, struct mrp_stage *stage, bool dry, enum mrp_result *result, struct mrp_error *err)
{
    const struct ecr_create_repository *o = opt;
    const struct hub_options how = {0};
    mrp_auto(hub_free) struct hub *hub = NULL;
    int rc = hub_new(&hub, stage, &how, err);
    struct making m = {.o = o, .account = o->account, .dry = dry, .list = json_array()};
    m.hub = hub;
    if (!rc && (!m.account || !*m.account))
        rc = mrp_aws_account(&m.account, hub->aws, err);
    char *const *regions = mrp_strv_len(o->regions) ? o->regions : mrp_stage_secondaries(stage);
    if (!rc && !mrp_strv_len(regions)) {
        mrp_fail(err, MRP_E_CONFIG, "no region is named");
        mrp_hint(err, "set `regions`, or `regions: secondary:` in the spec");
        rc = MRP_E_CONFIG;
    }
    for (char *const *region = regions; !rc && *region; region++)
        for (char **name = o->names; !rc && name && *name; name++)
            rc = make_one(&m, *region, *name, err);
    if (rc) {
        json_decref(m.list);
        return rc;
    }
    *result = m.changed ? MRP_CHANGED : MRP_UNCHANGED;
    return mrp_output(stage, "repositories", m.list, err);
}

int ecr_create_plan(void *opt,
                    struct mrp_stage *stage,
                    enum mrp_result *result,
                    struct mrp_error *err)
{
    return act(opt, stage, true, result, err);
}

int ecr_create_run(void *opt,
                   struct mrp_stage *stage,
                   enum mrp_result *result,
                   struct mrp_error *err)
{
    return act(opt, stage, mrp_stage_dry_run(stage), result, err);
}
