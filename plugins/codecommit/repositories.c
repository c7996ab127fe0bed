/* CodeCommit's own API: which repositories there are, making one, its default branch. */
#include "mirror.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <string.h>

struct search {
    char *const *patterns;
    char ***found;
};

static bool is_glob(const char *text)
{
    return strpbrk(text, "*?[{") != NULL;
}

static int each_page(void *arg, const json_t *page, struct mrp_error *err)
{
    struct search *s = arg;
    const json_t *list = mrp_json_arr(page, "repositories");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = mrp_json_str(json_array_get(list, i), "repositoryName");
        bool wanted = false;
        for (char *const *p = s->patterns; p && *p && name && !wanted; p++)
            wanted = mrp_streq(*p, "all") || mrp_glob_match(*p, name, false);
        if (wanted && mrp_is_repository_name(name) && !mrp_strv_has(*s->found, name) &&
            mrp_strv_add(s->found, name))
            return mrp_fail(err, MRP_E_NOMEM, "list the repositories");
    }
    return MRP_OK;
}

static int from_lists(char ***out,
                      const char *region,
                      struct mrp_session *session,
                      const struct mrp_mirror_options *o,
                      struct mrp_error *err)
{
    bool search = false;
    if (o->repository && mrp_strv_add(out, o->repository))
        return mrp_fail(err, MRP_E_NOMEM, "list the repositories");
    for (char **p = o->repositories; p && *p; p++) {
        if (is_glob(*p) || mrp_streq(*p, "all"))
            search = true;
        else if (!mrp_strv_has(*out, *p) && mrp_strv_add(out, *p))
            return mrp_fail(err, MRP_E_NOMEM, "list the repositories");
    }
    if (!search)
        return MRP_OK;
    if (!region || !region[0])
        return mrp_fail(err, MRP_E_CONFIG, "no region is known whose repositories could be listed");
    struct search s = {.patterns = o->repositories, .found = out};
    int rc = mrp_aws_pages(session->aws, "codecommit", region, "ListRepositories", NULL, each_page,
                           &s, err);
    if (rc)
        return rc;
    if (!*out)
        return mrp_fail(err, MRP_E_NOTFOUND, "no CodeCommit repository in %s matches", region);
    return MRP_OK;
}

int mrp_repositories_find(char ***out,
                          char **source_region,
                          struct mrp_session *session,
                          const struct mrp_mirror_options *o,
                          struct mrp_error *err)
{
    mrp_auto(mrp_free_strv) char **names = NULL;
    if (!o->event) {
        int rc = from_lists(&names, *source_region, session, o, err);
        *out = mrp_take_strv(&names);
        return rc;
    }
    mrp_auto(mrp_free_str) char *region = NULL;
    int rc = mrp_event_read(&names, &region, session->stage, o->event, err);
    if (rc)
        return rc;
    if (!*source_region || !(*source_region)[0]) {
        mrp_free_str(source_region);
        *source_region = mrp_take_str(&region);
    } else if (region && !mrp_streq(region, *source_region)) {
        mrp_log(session->stage, MRP_INFO,
                "the event is from %s, the source is in %s: nothing to mirror", region,
                *source_region);
        return MRP_OK;
    }
    /* Other names in the options narrow down what an event may start. */
    for (char **n = names; n && *n; n++) {
        bool wanted = !o->repositories && !o->repository;
        wanted = wanted || mrp_streq(o->repository, *n);
        for (char **p = o->repositories; p && *p && !wanted; p++)
            wanted = mrp_streq(*p, "all") || mrp_glob_match(*p, *n, false);
        if (wanted && mrp_strv_add(out, *n))
            return mrp_fail(err, MRP_E_NOMEM, "list the repositories");
    }
    return MRP_OK;
}

static struct mrp_aws *aws_of(const struct mrp_end *end)
{
    return end->login.aws_own ? end->login.aws_own : end->session->aws;
}

static int get(json_t **out, struct mrp_end *end, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in = json_pack("{s:s}", "repositoryName", end->name);
    return mrp_aws_call(out, aws_of(end), "codecommit", end->region, "GetRepository", in, err);
}

int mrp_repository_exists(struct mrp_end *end, struct mrp_error *err)
{
    return get(NULL, end, err);
}

/* A key of another region cannot be used; a multi-Region key has a twin of the same id. */
static int put_key(json_t *in, const struct mrp_end *to, const char *key, struct mrp_error *err)
{
    if (!mrp_starts(key, "arn:")) {
        return mrp_json_puts(in, "kmsKeyId", key) ? mrp_fail(err, MRP_E_NOMEM, "name the KMS key")
                                                  : MRP_OK;
    }
    const char *id = strstr(key, ":key/mrk-");
    mrp_auto(mrp_free_strv) char **parts = mrp_split(key, ':');
    if (mrp_strv_len(parts) != 6)
        return mrp_fail(err, MRP_E_REMOTE, "%s is no ARN of a key", key);
    if (!id && !mrp_streq(parts[3], to->region)) {
        mrp_log(to->session->stage, MRP_WARN,
                "%s: the source's KMS key is not a multi-Region key; the default key of %s is used "
                "(kms-key names another)",
                to->text, to->region);
        return MRP_OK;
    }
    mrp_auto(mrp_free_str) char *arn =
        mrp_strf("%s:%s:%s:%s:%s:%s", parts[0], parts[1], parts[2], to->region, parts[4], parts[5]);
    return arn && !mrp_json_puts(in, "kmsKeyId", arn)
               ? MRP_OK
               : mrp_fail(err, MRP_E_NOMEM, "name the KMS key");
}

/* Description, key and tags as the source's, where that is CodeCommit too. */
static int copy_settings(json_t *in,
                         const struct mrp_end *to,
                         struct mrp_end *from,
                         bool with_key,
                         struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    mrp_auto(mrp_free_json) json_t *tags = NULL;
    int rc = get(&answer, from, err);
    if (rc)
        return rc;
    const json_t *meta = mrp_json_obj(answer, "repositoryMetadata");
    const char *text = mrp_json_str(meta, "repositoryDescription");
    const char *key = mrp_json_str(meta, "kmsKeyId");
    const char *arn = mrp_json_str(meta, "Arn");
    if (text && text[0] && mrp_json_puts(in, "repositoryDescription", text))
        return mrp_fail(err, MRP_E_NOMEM, "copy the description");
    if (with_key && key && key[0] && !strstr(key, "alias/aws/codecommit") &&
        (rc = put_key(in, to, key, err)) != 0)
        return rc;
    mrp_auto(mrp_free_json) json_t *ask = json_pack("{s:s}", "resourceArn", arn ? arn : "");
    struct mrp_error why = {0};
    rc = mrp_aws_call(&tags, aws_of(from), "codecommit", from->region, "ListTagsForResource", ask,
                      &why);
    if (rc)
        mrp_log(to->session->stage, MRP_WARN, "%s: tags are not copied: %s", to->text, why.msg);
    const json_t *map = mrp_json_obj(tags, "tags");
    if (map && json_object_size(map) && mrp_json_put(in, "tags", json_deep_copy(map)))
        return mrp_fail(err, MRP_E_NOMEM, "copy the tags");
    return MRP_OK;
}

int mrp_repository_create(struct mrp_end *to,
                          struct mrp_end *from,
                          const char *kms_key,
                          struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *in = json_pack("{s:s}", "repositoryName", to->name);
    int rc = in ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "create %s", to->text);
    if (!rc && kms_key)
        rc = put_key(in, to, kms_key, err);
    if (!rc && from->region)
        rc = copy_settings(in, to, from, !kms_key, err);
    if (rc)
        return mrp_wrap(err, "create %s", to->text);
    rc = mrp_aws_call(NULL, aws_of(to), "codecommit", to->region, "CreateRepository", in, err);
    if (rc && strstr(err->api, "RepositoryNameExists")) {
        *err = (struct mrp_error){0}; /* somebody was faster, or the answer to a try was lost */
        return MRP_OK;
    }
    return rc ? (int)mrp_wrap(err, "create %s", to->text) : MRP_OK;
}

int mrp_repository_head(struct mrp_end *end, const char *ref, bool *changed, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *answer = NULL;
    *changed = false;
    if (!mrp_starts(ref, "refs/heads/"))
        return MRP_OK;
    int rc = get(&answer, end, err);
    if (rc)
        return rc;
    const char *now = mrp_json_str(mrp_json_obj(answer, "repositoryMetadata"), "defaultBranch");
    if (mrp_streq(now, ref + 11))
        return MRP_OK;
    mrp_auto(mrp_free_json) json_t *in =
        json_pack("{s:s,s:s}", "repositoryName", end->name, "defaultBranchName", ref + 11);
    if (!in)
        return mrp_fail(err, MRP_E_CONFIG, "%s cannot be a default branch of CodeCommit", ref);
    rc = mrp_aws_call(NULL, aws_of(end), "codecommit", end->region, "UpdateDefaultBranch", in, err);
    *changed = rc == MRP_OK;
    return rc;
}
