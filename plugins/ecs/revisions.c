/* Old revisions: deregistered beyond a number to keep, never the current nor the one before. */
#include "deploy.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { MAX_PAGES = 50, MAX_REMOVED = 100 };

struct prune {
    const char *family;
    unsigned pages;
    char **arns;
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
    json_array_foreach(mrp_json_arr(answer, "taskDefinitionArns"), i, item)
    {
        const char *arn = json_string_value(item);
        if (arn && is_family(arn, p->family) && mrp_strv_add(&p->arns, arn))
            return mrp_fail(err, MRP_E_NOMEM, "old revisions");
    }
    return ++p->pages >= MAX_PAGES ? 1 : MRP_OK;
}

static int64_t revision(const char *arn)
{
    const char *colon = strrchr(arn, ':');
    int64_t n = 0;
    return colon && mrp_parse_int(&n, colon + 1, 0, INT64_MAX) == MRP_OK ? n : 0;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = revision(*(char *const *)a), y = revision(*(char *const *)b);
    return x < y ? 1 : x > y ? -1 : 0;
}

static int remove_old(const struct mrp_target *t, char *const *arns, struct mrp_error *err)
{
    size_t removed = 0;
    for (size_t i = (size_t)t->run->o->keep_revisions; i < mrp_strv_len(arns); i++) {
        if (mrp_rollout_same_td(arns[i], t->td) || mrp_rollout_same_td(arns[i], t->prev_td))
            continue;
        if (removed++ >= MAX_REMOVED)
            break;
        int rc = mrp_service_call(NULL, t, "DeregisterTaskDefinition",
                                  json_pack("{s:s}", "taskDefinition", arns[i]), err);
        if (rc)
            return rc;
        mrp_change(t->run->stage, "deregistered %s in %s", mrp_basename(arns[i]), t->region);
    }
    return MRP_OK;
}

void mrp_revisions_prune(struct mrp_target *t)
{
    struct prune p = {.family = mrp_json_str(t->input, "family")};
    struct mrp_error err = {0};
    /* a new deployment of the same revision does not tell which one was before it */
    bool moved = t->state == MRP_T_DEPLOYED && t->new_td_wanted && t->td;
    if (t->run->o->keep_revisions <= 0 || !p.family || !moved)
        return;
    mrp_auto(mrp_free_json) json_t *input =
        json_pack("{s:s, s:s, s:s}", "familyPrefix", p.family, "status", "ACTIVE", "sort", "DESC");
    int rc =
        mrp_aws_pages(t->run->aws, "ecs", t->region, "ListTaskDefinitions", input, page, &p, &err);
    if (p.arns)
        qsort(p.arns, mrp_strv_len(p.arns), sizeof *p.arns, newest_first);
    if (rc >= 0)
        rc = remove_old(t, p.arns, &err);
    if (rc < 0)
        mrp_log(t->run->stage, MRP_WARN, "old revisions of %s in %s stay: %s", p.family, t->region,
                err.msg);
    mrp_free_strv(&p.arns);
}
