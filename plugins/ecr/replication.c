/* Merges replication rules and registry policies, leaving what others set. */
#include "replication.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

enum { RULES_MAX = 10, DESTINATIONS_MAX_ALL = 25, FILTERS_MAX = 100 };

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "replication configuration");
}

static bool has_filter(const json_t *filters, const char *prefix)
{
    size_t i;
    json_t *f;
    json_array_foreach(filters, i, f)
    {
        if (mrp_streq(mrp_json_str(f, "filter"), prefix))
            return true;
    }
    return false;
}

/* A rule without filters means all repositories, as does an empty list of prefixes. */
static bool same_filters(const json_t *rule, char *const *prefixes)
{
    const json_t *filters = mrp_json_arr(rule, "repositoryFilters");
    if (json_array_size(filters) != mrp_strv_len(prefixes))
        return false;
    for (size_t i = 0; i < mrp_strv_len(prefixes); i++)
        if (!has_filter(filters, prefixes[i]))
            return false;
    return true;
}

const json_t *replication_place(const json_t *list, const char *region, const char *account)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        if (mrp_streq(mrp_json_str(one, "region"), region) &&
            mrp_streq(mrp_json_str(one, "registryId"), account))
            return one;
    }
    return NULL;
}

static bool has_destination(const json_t *rule, const char *region, const char *account)
{
    return replication_place(mrp_json_arr(rule, "destinations"), region, account) != NULL;
}

/* True when every repository with one of the prefixes is meant by the rule too. */
static bool covers(const json_t *rule, char *const *prefixes)
{
    const json_t *filters = mrp_json_arr(rule, "repositoryFilters");
    if (!json_array_size(filters))
        return true;
    for (char *const *prefix = prefixes; prefix && *prefix; prefix++) {
        bool found = false;
        size_t i;
        json_t *f;
        json_array_foreach(filters, i, f)
        {
            const char *have = mrp_json_str(f, "filter");
            found = found || (have && mrp_starts(*prefix, have));
        }
        if (!found)
            return false;
    }
    return mrp_strv_len(prefixes) > 0;
}

static bool
is_covered(const json_t *rules, char *const *prefixes, const char *region, const char *account)
{
    size_t i;
    json_t *rule;
    json_array_foreach(rules, i, rule)
    {
        if (covers(rule, prefixes) && has_destination(rule, region, account))
            return true;
    }
    return false;
}

static json_t *new_rule(char *const *prefixes)
{
    json_t *filters = json_array();
    json_t *rule = json_pack("{s:[]}", "destinations");
    for (size_t i = 0; i < mrp_strv_len(prefixes); i++)
        json_array_append_new(
            filters, json_pack("{s:s, s:s}", "filter", prefixes[i], "filterType", "PREFIX_MATCH"));
    if (json_array_size(filters) != mrp_strv_len(prefixes)) {
        json_decref(rule);
        rule = NULL;
    }
    if (rule && json_array_size(filters) && mrp_json_put(rule, "repositoryFilters", filters)) {
        json_decref(rule);
        return NULL;
    }
    if (!rule || !mrp_json_arr(rule, "repositoryFilters"))
        json_decref(filters);
    return rule;
}

/* ECR counts each registry once, however many rules name it. */
static size_t count_destinations(const json_t *rules)
{
    size_t count = 0;
    size_t i, k, n;
    json_t *rule;
    json_t *d;
    json_array_foreach(rules, i, rule)
    {
        json_array_foreach(mrp_json_arr(rule, "destinations"), k, d)
        {
            bool seen = false;
            for (n = 0; !seen && n < i; n++)
                seen = has_destination(json_array_get(rules, n), mrp_json_str(d, "region"),
                                       mrp_json_str(d, "registryId"));
            count += !seen;
        }
    }
    return count;
}

static int check_limits(const json_t *rules, struct mrp_error *err)
{
    size_t destinations = count_destinations(rules);
    size_t i;
    json_t *rule;
    json_array_foreach(rules, i, rule)
    {
        if (json_array_size(mrp_json_arr(rule, "repositoryFilters")) > FILTERS_MAX)
            return mrp_fail(err, MRP_E_CONFIG, "replication: a rule has more than %d filters",
                            FILTERS_MAX);
    }
    if (json_array_size(rules) <= RULES_MAX && destinations <= DESTINATIONS_MAX_ALL)
        return 0;
    return mrp_fail(err, MRP_E_CONFIG,
                    "replication: %zu rules with %zu destinations, ECR allows %d and %d",
                    json_array_size(rules), destinations, RULES_MAX, DESTINATIONS_MAX_ALL);
}

int replication_merge(json_t *config,
                      bool *changed,
                      char *const *prefixes,
                      char *const *regions,
                      const char *account,
                      struct mrp_error *err)
{
    json_t *rules = mrp_json_arr(config, "rules");
    if (!rules) {
        rules = json_array();
        if (mrp_json_put(config, "rules", rules))
            return nomem(err);
    }
    json_t *mine = NULL;
    size_t i;
    json_t *rule;
    json_array_foreach(rules, i, rule)
    {
        if (!mine && same_filters(rule, prefixes))
            mine = rule;
    }
    *changed = false;
    for (char *const *region = regions; region && *region; region++) {
        if (is_covered(rules, prefixes, *region, account))
            continue;
        *changed = true;
        if (!mine) {
            mine = new_rule(prefixes);
            if (json_array_append_new(rules, mine))
                return nomem(err);
        }
        json_t *d = json_pack("{s:s, s:s}", "region", *region, "registryId", account);
        if (json_array_append_new(mrp_json_arr(mine, "destinations"), d))
            return nomem(err);
    }
    return check_limits(rules, err);
}

static bool same_statement(const json_t *a, const json_t *b)
{
    static const char *const members[] = {"Effect", "Principal", "Action", "Resource"};
    for (size_t i = 0; i < MRP_COUNT(members); i++)
        if (!json_equal(json_object_get(a, members[i]), json_object_get(b, members[i])))
            return false;
    return true;
}

static json_t *
statement(const char *account, const char *partition, const char *region, const char *own)
{
    mrp_auto(mrp_free_str) char *sid = mrp_strf("MrpipeReplication%s", account);
    mrp_auto(mrp_free_str) char *who = mrp_strf("arn:%s:iam::%s:root", partition, account);
    mrp_auto(mrp_free_str) char *what =
        mrp_strf("arn:%s:ecr:%s:%s:repository/*", partition, region, own);
    if (!sid || !who || !what)
        return NULL;
    return json_pack("{s:s, s:s, s:{s:s}, s:[s, s], s:s}", "Sid", sid, "Effect", "Allow",
                     "Principal", "AWS", who, "Action", "ecr:CreateRepository",
                     "ecr:ReplicateImage", "Resource", what);
}

int replication_policy(char **out,
                       const char *old,
                       const char *account,
                       const char *partition,
                       const char *region,
                       const char *own,
                       struct mrp_error *err)
{
    *out = NULL;
    mrp_auto(mrp_free_json) json_t *policy = NULL;
    int rc = 0;
    if (old && *old)
        rc = mrp_json_parse(&policy, old, strlen(old), "registry policy", err);
    else
        policy = json_pack("{s:s, s:[]}", "Version", "2012-10-17", "Statement");
    if (rc)
        return rc;
    mrp_auto(mrp_free_json) json_t *mine = statement(account, partition, region, own);
    if (!policy || !mine)
        return nomem(err);
    json_t *list = mrp_json_arr(policy, "Statement");
    if (!list)
        return mrp_fail(err, MRP_E_REMOTE, "the registry policy in %s has no list of statements",
                        region);
    for (size_t i = json_array_size(list); i-- > 0;) {
        const json_t *one = json_array_get(list, i);
        if (same_statement(one, mine))
            return 0;
        if (mrp_streq(mrp_json_str(one, "Sid"), mrp_json_str(mine, "Sid")))
            json_array_remove(list, i);
    }
    if (json_array_append(list, mine))
        return nomem(err);
    *out = mrp_json_text(policy);
    return *out ? 0 : nomem(err);
}
