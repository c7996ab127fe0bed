/* Old revisions: deregistered beyond a number to keep, never the current nor the one before. */
#include "deploy.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

enum { MAX_PAGES = 50, MAX_REMOVED = 100 };

struct prune {
    struct mrp_target *t;
    const char *family;
    int64_t seen;
    unsigned pages;
    char **remove;
};

/* ListTaskDefinitions takes a prefix: "web" finds "web-api", too. */
static bool is_family(const char *arn, const char *family)
{
    const char *name = mrp_basename(arn);
    size_t n = strlen(family);
    return strncmp(name, family, n) == 0 && name[n] == ':';
}

static int page(void *arg, const json_t *answer, struct mrp_error *err)
{
    struct prune *p = arg;
    size_t i;
    json_t *item;
    json_array_foreach (mrp_json_arr(answer, "taskDefinitionArns"), i, item) {
        const char *arn = json_string_value(item);
        if (!arn || !is_family(arn, p->family))
            continue;
        p->seen++;
        bool used = mrp_rollout_same_td(arn, p->t->td) || mrp_rollout_same_td(arn, p->t->prev_td);
        if (p->seen > p->t->run->o->keep_revisions && !used &&
            mrp_strv_len(p->remove) < MAX_REMOVED && mrp_strv_add(&p->remove, arn))
            return mrp_fail(err, MRP_E_NOMEM, "old revisions");
    }
    return ++p->pages >= MAX_PAGES ? 1 : MRP_OK;
}

void mrp_revisions_prune(struct mrp_target *t)
{
    const struct mrp_deploy *o = t->run->o;
    struct prune p = {.t = t, .family = mrp_json_str(t->input, "family")};
    struct mrp_error err = {0};
    if (o->keep_revisions <= 0 || !p.family || t->state != MRP_T_DEPLOYED || !t->td)
        return;
    mrp_auto(mrp_free_json) json_t *input =
        json_pack("{s:s, s:s, s:s}", "familyPrefix", p.family, "status", "ACTIVE", "sort", "DESC");
    int rc = mrp_aws_pages(t->run->aws, "ecs", t->region, "ListTaskDefinitions", input, page, &p, &err);
    for (size_t i = 0; rc >= 0 && i < mrp_strv_len(p.remove); i++) {
        rc = mrp_service_call(NULL, t, "DeregisterTaskDefinition",
                              json_pack("{s:s}", "taskDefinition", p.remove[i]), &err);
        if (rc == MRP_OK)
            mrp_change(t->run->stage, "deregistered %s in %s", mrp_basename(p.remove[i]), t->region);
    }
    if (rc < 0)
        mrp_log(t->run->stage, MRP_WARN, "old revisions of %s in %s stay: %s", p.family, t->region,
                err.msg);
    mrp_free_strv(&p.remove);
}
