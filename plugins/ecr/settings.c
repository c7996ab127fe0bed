/* Makes ECR repositories, with the settings of the repository they are copies of. */
#include "ecrapi.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "ECR request");
}

/* What of the source's description goes into CreateRepository. A KMS key lives in one region: the
 * copy gets the other region's own key. */
static int take_settings(json_t *in, const json_t *like, struct mrp_error *err)
{
    const char *mutability = mrp_json_str(like, "imageTagMutability");
    if (mrp_json_puts(in, "imageTagMutability", mutability))
        return nomem(err);
    json_t *filters = mrp_json_arr(like, "imageTagMutabilityExclusionFilters");
    if (filters && mrp_json_put(in, "imageTagMutabilityExclusionFilters", json_incref(filters)))
        return nomem(err);
    json_t *scanning = mrp_json_obj(like, "imageScanningConfiguration");
    if (scanning && mrp_json_put(in, "imageScanningConfiguration", json_incref(scanning)))
        return nomem(err);
    const char *type =
        mrp_json_str(mrp_json_obj(like, "encryptionConfiguration"), "encryptionType");
    if (type &&
        mrp_json_put(in, "encryptionConfiguration", json_pack("{s:s}", "encryptionType", type)))
        return nomem(err);
    return 0;
}

static int
read_tags(json_t **out, struct repo *repo, const json_t *described, struct mrp_error *err)
{
    const char *arn = mrp_json_str(described, "repositoryArn");
    if (!arn)
        return 0;
    mrp_auto(mrp_free_json) json_t *in = json_pack("{s:s}", "resourceArn", arn);
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    int rc = in ? ecr_call(&answer, repo, "ListTagsForResource", in, err) : nomem(err);
    if (!rc)
        *out = json_incref(mrp_json_arr(answer, "tags"));
    return rc;
}

/* NULL in *out: it has none. */
static int read_lifecycle(char **out, struct repo *repo, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in = ecr_input(repo);
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    int rc = in ? ecr_call(&answer, repo, "GetLifecyclePolicy", in, err) : nomem(err);
    if (rc == MRP_E_NOTFOUND)
        return 0;
    if (!rc)
        *out = mrp_strdup(mrp_json_str(answer, "lifecyclePolicyText"));
    return rc;
}

static int put_lifecycle(struct repo *repo, const char *text, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in = ecr_input(repo);
    if (!in || mrp_json_puts(in, "lifecyclePolicyText", text))
        return nomem(err);
    return ecr_call(NULL, repo, "PutLifecyclePolicy", in, err);
}

/* Someone who may copy images may not be allowed to read settings: then the defaults must do. */
static int soft(struct repo *like, int rc, const char *what, struct mrp_error *err)
{
    if (rc != MRP_E_AUTH)
        return rc;
    mrp_log(like->host->hub->stage, MRP_WARN, "%s of %s could not be read, not copied: %s", what,
            like->name, err->msg);
    return 0;
}

static int create(struct repo *repo, struct repo *like, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in = ecr_input(repo);
    mrp_auto(mrp_free_json) json_t *source = NULL;
    mrp_auto(mrp_free_json) json_t *tags = NULL;
    mrp_auto(mrp_free_str) char *lifecycle = NULL;
    int rc = in ? 0 : nomem(err);
    if (!rc && like)
        rc = soft(like, ecr_describe(&source, like, err), "the settings", err);
    if (!rc && source)
        rc = take_settings(in, source, err);
    if (!rc && source)
        rc = soft(like, read_tags(&tags, like, source, err), "the tags", err);
    if (!rc && source)
        rc = soft(like, read_lifecycle(&lifecycle, like, err), "the lifecycle policy", err);
    if (!rc && json_array_size(tags) && mrp_json_put(in, "tags", json_incref(tags)))
        rc = nomem(err);
    if (rc)
        return rc;
    mrp_change(repo->host->hub->stage, "create repository %s in %s", repo->name,
               repo->host->aws.region);
    rc = ecr_call(NULL, repo, "CreateRepository", in, err);
    /* A lost answer is retried, and then it is there. */
    bool there = rc && !strcmp(err->api, "RepositoryAlreadyExistsException");
    if (rc && !there)
        return mrp_wrap(err, "create repository %s in %s", repo->name, repo->host->aws.region);
    repo->fresh = !there;
    return lifecycle ? put_lifecycle(repo, lifecycle, err) : 0;
}

int ecr_create(struct repo *repo, struct repo *like, struct mrp_error *err)
{
    while (repo->busy) {
        int rc = mrp_waitq_wait(&repo->turn, repo->host->hub->http, err);
        if (rc)
            return rc;
    }
    if (repo->checked)
        return 0;
    if (repo->refused) { /* once is enough, however many images are on their way to it */
        *err = *repo->refused;
        return err->code;
    }
    repo->busy = true;
    int rc = create(repo, like && like->host->ecr ? like : NULL, err);
    repo->busy = false;
    repo->checked = !rc;
    if (rc && rc != MRP_E_CANCELLED && (repo->refused = malloc(sizeof *err)))
        *repo->refused = *err;
    mrp_waitq_wake(&repo->turn, repo->host->hub->http);
    return rc;
}

struct alignment {
    struct repo *repo;
    const json_t *have;
    const json_t *want;
    bool dry;
    bool *changed;
};

static int write_setting(const struct alignment *a,
                         const char *field,
                         const char *operation,
                         struct mrp_error *err)
{
    static const char exceptions[] = "imageTagMutabilityExclusionFilters";
    json_t *want = json_object_get(a->want, field);
    json_t *filters =
        !strcmp(field, "imageTagMutability") ? json_object_get(a->want, exceptions) : NULL;
    bool same = !filters || json_equal(filters, json_object_get(a->have, exceptions));
    if (!want || (same && json_equal(want, json_object_get(a->have, field))))
        return 0;
    *a->changed = true;
    mrp_change(a->repo->host->hub->stage, "set %s of %s in %s", field, a->repo->name,
               a->repo->host->aws.region);
    if (a->dry)
        return 0;
    mrp_auto(mrp_free_json) json_t *in = ecr_input(a->repo);
    if (!in || mrp_json_put(in, field, json_incref(want)) ||
        (filters && mrp_json_put(in, exceptions, json_incref(filters))))
        return nomem(err);
    return ecr_call(NULL, a->repo, operation, in, err);
}

static int align_lifecycle(const struct alignment *a, struct repo *like, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *want = NULL;
    mrp_auto(mrp_free_str) char *have = NULL;
    int rc = read_lifecycle(&want, like, err);
    if (!rc && want)
        rc = read_lifecycle(&have, a->repo, err);
    if (rc || !want || mrp_streq(want, have))
        return rc;
    *a->changed = true;
    mrp_change(a->repo->host->hub->stage, "set the lifecycle policy of %s in %s", a->repo->name,
               a->repo->host->aws.region);
    return a->dry ? 0 : put_lifecycle(a->repo, want, err);
}

static bool has_tag(const json_t *list, const json_t *tag)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        if (json_equal(one, tag))
            return true;
    }
    return false;
}

static int align_tags(const struct alignment *a, struct repo *like, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *want = NULL;
    mrp_auto(mrp_free_json) json_t *have = NULL;
    int rc = read_tags(&want, like, a->want, err);
    if (!rc && json_array_size(want))
        rc = read_tags(&have, a->repo, a->have, err);
    if (rc)
        return rc;
    json_t *missing = json_array();
    mrp_auto(mrp_free_json) json_t *in = json_pack(
        "{s:s, s:o}", "resourceArn", mrp_json_str(a->have, "repositoryArn"), "tags", missing);
    if (!in)
        return nomem(err);
    size_t i;
    json_t *tag;
    json_array_foreach(want, i, tag)
    {
        if (!has_tag(have, tag) && json_array_append(missing, tag))
            return nomem(err);
    }
    if (!json_array_size(missing))
        return 0;
    *a->changed = true;
    mrp_change(a->repo->host->hub->stage, "set %zu tags of %s in %s", json_array_size(missing),
               a->repo->name, a->repo->host->aws.region);
    return a->dry ? 0 : ecr_call(NULL, a->repo, "TagResource", in, err);
}

int ecr_align(bool *changed, struct repo *repo, struct repo *like, bool dry, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *have = NULL;
    mrp_auto(mrp_free_json) json_t *want = NULL;
    int rc = ecr_describe(&have, repo, err);
    if (!rc)
        rc = ecr_describe(&want, like, err);
    if (rc || !have || !want)
        return rc;
    const struct alignment a = {repo, have, want, dry, changed};
    rc = write_setting(&a, "imageTagMutability", "PutImageTagMutability", err);
    if (!rc)
        rc = write_setting(&a, "imageScanningConfiguration", "PutImageScanningConfiguration", err);
    if (!rc)
        rc = align_lifecycle(&a, like, err);
    return rc ? rc : align_tags(&a, like, err);
}
