/* Calls of ECR's control API for repositories and images. */
#include "ecrapi.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "ECR request");
}

json_t *ecr_input(const struct repo *repo)
{
    return json_pack("{s:s, s:s}", "registryId", repo->host->aws.account, "repositoryName",
                     repo->name);
}

int ecr_call(json_t **out,
             struct repo *repo,
             const char *operation,
             const json_t *input,
             struct mrp_error *err)
{
    return mrp_aws_call(out, repo->host->hub->aws, "ecr", repo->host->aws.region, operation, input,
                        err);
}

int ecr_check_layers(bool *present,
                     struct repo *repo,
                     const char *const *digests,
                     size_t count,
                     struct tally *tally,
                     struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in = ecr_input(repo);
    json_t *list = json_array();
    if (!in || mrp_json_put(in, "layerDigests", list))
        return nomem(err);
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(list, json_string(digests[i])))
            return nomem(err);
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    if (tally)
        tally->requests++;
    int rc = ecr_call(&answer, repo, "BatchCheckLayerAvailability", in, err);
    if (rc)
        return rc;
    memset(present, 0, count * sizeof *present);
    size_t j;
    json_t *layer;
    json_array_foreach(mrp_json_arr(answer, "layers"), j, layer)
    {
        const char *digest = mrp_json_str(layer, "layerDigest");
        if (!mrp_streq(mrp_json_str(layer, "layerAvailability"), "AVAILABLE"))
            continue;
        for (size_t i = 0; i < count; i++)
            present[i] = present[i] || mrp_streq(digest, digests[i]);
    }
    return 0;
}

int ecr_describe(json_t **out, struct repo *repo, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in = json_pack(
        "{s:s, s:[s]}", "registryId", repo->host->aws.account, "repositoryNames", repo->name);
    if (!in)
        return nomem(err);
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    *out = NULL;
    int rc = ecr_call(&answer, repo, "DescribeRepositories", in, err);
    if (rc == MRP_E_NOTFOUND)
        return 0;
    if (rc)
        return rc;
    *out = json_incref(json_array_get(mrp_json_arr(answer, "repositories"), 0));
    return 0;
}

struct image_walk {
    int (*each)(void *arg, const struct ecr_image *image);
    void *arg;
};

static int image_page(void *arg, const json_t *page, struct mrp_error *err)
{
    const struct image_walk *walk = arg;
    size_t i;
    json_t *detail;
    json_array_foreach(mrp_json_arr(page, "imageDetails"), i, detail)
    {
        struct ecr_image image = {.digest = mrp_json_str(detail, "imageDigest"),
                                  .media_type = mrp_json_str(detail, "imageManifestMediaType")};
        double pushed_s = mrp_json_real(detail, "imagePushedAt", 0);
        image.pushed_ms = pushed_s > 0 && pushed_s < 1e12 ? (int64_t)(pushed_s * 1000) : 0;
        if (!image.digest || !digest_valid(image.digest))
            continue;
        const json_t *tags = mrp_json_arr(detail, "imageTags");
        size_t n = json_array_size(tags);
        for (size_t k = 0; k < (n ? n : 1); k++) {
            image.tag = n ? json_string_value(json_array_get(tags, k)) : NULL;
            if (n && (!image.tag || !tag_valid(image.tag, strlen(image.tag))))
                continue;
            if (walk->each(walk->arg, &image))
                return nomem(err);
        }
    }
    return 0;
}

int ecr_images(struct repo *repo,
               int (*each)(void *arg, const struct ecr_image *image),
               void *arg,
               struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in = ecr_input(repo);
    if (!in || mrp_json_puti(in, "maxResults", 1000))
        return nomem(err);
    struct image_walk walk = {each, arg};
    return mrp_aws_pages(repo->host->hub->aws, "ecr", repo->host->aws.region, "DescribeImages", in,
                         image_page, &walk, err);
}

struct name_walk {
    int (*each)(void *arg, const char *name, struct mrp_error *err);
    void *arg;
};

static int repository_page(void *arg, const json_t *page, struct mrp_error *err)
{
    const struct name_walk *walk = arg;
    size_t i;
    json_t *one;
    json_array_foreach(mrp_json_arr(page, "repositories"), i, one)
    {
        const char *name = mrp_json_str(one, "repositoryName");
        int rc = name && repo_valid(name, strlen(name)) ? walk->each(walk->arg, name, err) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

int ecr_repositories(struct host *host,
                     int (*each)(void *arg, const char *name, struct mrp_error *err),
                     void *arg,
                     struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in =
        json_pack("{s:s, s:i}", "registryId", host->aws.account, "maxResults", 1000);
    if (!in)
        return nomem(err);
    struct name_walk walk = {each, arg};
    return mrp_aws_pages(host->hub->aws, "ecr", host->aws.region, "DescribeRepositories", in,
                         repository_page, &walk, err);
}

int ecr_delete_tags(struct repo *repo, char *const *tags, size_t count, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in = ecr_input(repo);
    json_t *list = json_array();
    if (!in || mrp_json_put(in, "imageIds", list))
        return nomem(err);
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(list, json_pack("{s:s}", "imageTag", tags[i])))
            return nomem(err);
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    int rc = ecr_call(&answer, repo, "BatchDeleteImage", in, err);
    if (rc)
        return rc;
    size_t i;
    json_t *failure;
    json_array_foreach(mrp_json_arr(answer, "failures"), i, failure)
    {
        const char *code = mrp_json_str(failure, "failureCode");
        const char *tag = mrp_json_str(mrp_json_obj(failure, "imageId"), "imageTag");
        const char *why = mrp_json_str(failure, "failureReason");
        if (!mrp_streq(code, "ImageNotFound"))
            return mrp_fail(err, MRP_E_REMOTE, "delete %s/%s:%s: %s: %s", repo->host->name,
                            repo->name, tag ? tag : "", code ? code : "", why ? why : "");
    }
    return 0;
}
