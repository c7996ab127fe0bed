/* Reads `from` and works out where each image goes. */
#include "actions.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "image list");
}

void sources_done(struct sources *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->list[i].name);
        ref_done(&s->list[i].ref);
    }
    free(s->list);
    *s = (struct sources){0};
}

static int read_one(struct source *out, const json_t *j, struct mrp_error *err)
{
    const char *name = mrp_json_str(j, "name");
    const char *image = json_is_string(j) ? json_string_value(j) : mrp_json_str(j, "imageUri");
    if (!image)
        image = mrp_json_str(j, "image");
    if (!image) {
        mrp_fail(err, MRP_E_CONFIG,
                 "`from`: an entry is neither an image reference nor an object "
                 "with `imageUri`");
        return mrp_hint(err, "write HOST/REPOSITORY:TAG or {name: ..., imageUri: ...}");
    }
    int rc = ref_parse(&out->ref, image, err);
    if (rc)
        return rc;
    if (out->ref.prefix) {
        mrp_fail(err, MRP_E_CONFIG, "%s names no image: the repository is missing", image);
        return mrp_hint(err, "write HOST/REPOSITORY:TAG; whole registries are for ecr/sync");
    }
    out->name = mrp_strdup(name ? name : "");
    return out->name ? 0 : nomem(err);
}

int sources_read(struct sources *out, const json_t *from, struct mrp_error *err)
{
    size_t n = json_is_array(from) ? json_array_size(from) : 1;
    if (!from || !n)
        return mrp_fail(err, MRP_E_CONFIG, "`from` names no image");
    out->list = calloc(n, sizeof *out->list);
    if (!out->list)
        return nomem(err);
    for (size_t i = 0; i < n; i++) {
        const json_t *j = json_is_array(from) ? json_array_get(from, i) : from;
        out->count = i + 1;
        int rc = read_one(&out->list[i], j, err);
        if (rc)
            return rc;
    }
    return 0;
}

void refs_free(struct ref *list, size_t count)
{
    for (size_t i = 0; list && i < count; i++)
        ref_done(&list[i]);
    free(list);
}

static int account_of(const char **out,
                      struct hub *hub,
                      const struct source *source,
                      const struct destinations *where,
                      struct ecr_name *name,
                      struct mrp_error *err)
{
    if (where->account && *where->account)
        *out = where->account;
    else if (source->ref.host && ecr_name_parse(name, source->ref.host))
        *out = name->account;
    else
        return mrp_aws_account(out, hub->aws, err);
    return 0;
}

static int check_destination(const char *text, struct mrp_error *err)
{
    mrp_auto(ref_done) struct ref ref = {0};
    int rc = ref_parse(&ref, text, err);
    if (rc)
        return rc;
    if (ref.kind == REF_DOCKER_ARCHIVE) {
        mrp_fail(err, MRP_E_CONFIG, "%s: a docker archive can only be a source", text);
        return mrp_hint(err, "write oci-archive:%s; docker 25, podman and skopeo read it too",
                        ref.path);
    }
    if (ref.digest) {
        mrp_fail(err, MRP_E_CONFIG, "%s: a destination has a tag, not a digest", text);
        return mrp_hint(err, "leave the digest out: the copy has that of its source");
    }
    return 0;
}

int destinations_check(char *const *to,
                       char *const *regions,
                       const char **bad,
                       struct mrp_error *err)
{
    *bad = "to";
    for (; to && *to; to++) {
        int rc = check_destination(*to, err);
        if (rc)
            return rc;
    }
    *bad = "to-regions";
    for (; regions && *regions; regions++)
        if (!mrp_aws_is_region(*regions)) {
            mrp_fail(err, MRP_E_CONFIG, "`%.60s` is no region", *regions);
            return strchr(*regions, ',')
                       ? mrp_hint(err, "several are a list: [\"us-east-1\", \"eu-west-1\"]")
                       : err->code;
        }
    return 0;
}

int destinations_default(struct destinations *where,
                         const struct mrp_stage *stage,
                         struct mrp_error *err)
{
    if (mrp_strv_len(where->to) || mrp_strv_len(where->regions))
        return 0;
    where->regions = mrp_stage_secondaries(stage);
    if (mrp_strv_len(where->regions))
        return 0;
    mrp_fail(err, MRP_E_CONFIG, "nothing says where the images go");
    return mrp_hint(err, "set `to` or `to-regions`, or `regions: secondary:` in the spec");
}

int platforms_check(char *const *platforms, const char **bad, struct mrp_error *err)
{
    *bad = "platforms";
    for (; platforms && *platforms; platforms++) {
        const char *slash = strchr(*platforms, '/');
        if (slash && slash != *platforms && slash[1] && !strpbrk(*platforms, ", "))
            continue;
        mrp_fail(err, MRP_E_CONFIG, "`%.80s` is no platform", *platforms);
        return mrp_hint(err, "write linux/arm64 or linux/arm/v7; several are a list: "
                             "[\"linux/amd64\", \"linux/arm64\"]");
    }
    return 0;
}

int destinations_check_map(const json_t *map, struct mrp_error *err)
{
    const char *from;
    json_t *to;
    json_object_foreach((json_t *)(uintptr_t)map, from, to)
    {
        const char *name = json_string_value(to);
        mrp_auto(mrp_free_str) char *text = name ? mrp_strf("map.invalid/%s", name) : NULL;
        mrp_auto(ref_done) struct ref ref = {0};
        if (!name)
            return mrp_fail(err, MRP_E_CONFIG, "`map`: %.200s: a repository name is needed", from);
        if (!text)
            return nomem(err);
        if (ref_parse(&ref, text, err) || ref.prefix || ref.tag || ref.digest)
            return mrp_fail(err, MRP_E_CONFIG, "`map`: `%.200s` is no repository name", name);
    }
    return 0;
}

/* The name of the repository at the destinations that don't name one. NULL: nothing says it. */
static const char *name_there(const struct source *source, const struct destinations *where)
{
    const char *repo = source->ref.repo;
    const char *mapped = repo && where->map ? mrp_json_str(where->map, repo) : NULL;
    if (mapped)
        return mapped;
    return where->repository && *where->repository ? where->repository : repo;
}

static int to_region(struct ref *out,
                     struct hub *hub,
                     const struct source *source,
                     const struct destinations *where,
                     const char *region,
                     struct mrp_error *err)
{
    struct ecr_name name;
    const char *account = NULL;
    if (!mrp_aws_is_region(region))
        return mrp_fail(err, MRP_E_CONFIG, "`%.60s` is no region", region);
    int rc = account_of(&account, hub, source, where, &name, err);
    if (rc)
        return rc;
    const char *repo = name_there(source, where);
    if (!repo) {
        mrp_fail(err, MRP_E_CONFIG, "an image from a file has no repository name");
        return mrp_hint(err, "set `repository`, or give the full name in `to`");
    }
    *out = (struct ref){
        .kind = REF_REGISTRY, .host = ecr_host(account, region), .repo = mrp_strdup(repo)};
    return out->host && out->repo ? 0 : nomem(err);
}

/* "HOST/prefix/" keeps the source's repository name behind the prefix. */
static int add_name(struct ref *out,
                    const struct source *source,
                    const struct destinations *where,
                    struct mrp_error *err)
{
    if (!out->prefix)
        return 0;
    if (!source->ref.repo) {
        mrp_fail(err, MRP_E_CONFIG,
                 "an image from a file has no repository name to put behind %s/%s%s", out->host,
                 out->repo, *out->repo ? "/" : "");
        return mrp_hint(err, "give the full name in `to`");
    }
    const struct destinations names = {.map = where->map};
    const char *name = name_there(source, &names);
    char *repo = mrp_strf("%s%s%s", out->repo, *out->repo ? "/" : "", name);
    if (!repo)
        return nomem(err);
    free(out->repo);
    out->repo = repo;
    out->prefix = false;
    return 0;
}

static int keep_tag(struct ref *out, const struct source *source, struct mrp_error *err)
{
    if (out->digest)
        return mrp_fail(err, MRP_E_CONFIG, "%s@%s: a destination has a tag, not a digest",
                        out->repo ? out->repo : out->path, out->digest);
    if (out->tag || !source->ref.tag)
        return 0;
    out->tag = mrp_strdup(source->ref.tag);
    return out->tag ? 0 : nomem(err);
}

int destinations_for(struct ref **out,
                     size_t *count,
                     struct hub *hub,
                     const struct source *source,
                     const struct destinations *where,
                     struct mrp_error *err)
{
    size_t names = mrp_strv_len(where->to);
    size_t regions = mrp_strv_len(where->regions);
    struct ref *list = calloc(names + regions + 1, sizeof *list);
    if (!list)
        return nomem(err);
    int rc = 0;
    size_t n = 0;
    for (size_t i = 0; !rc && i < names; i++) {
        rc = ref_parse(&list[n++], where->to[i], err);
        if (!rc)
            rc = add_name(&list[n - 1], source, where, err);
    }
    for (size_t i = 0; !rc && i < regions; i++)
        rc = to_region(&list[n++], hub, source, where, where->regions[i], err);
    for (size_t i = 0; !rc && i < n; i++)
        rc = keep_tag(&list[i], source, err);
    if (rc) {
        refs_free(list, n);
        return rc;
    }
    *out = list;
    *count = n;
    return 0;
}

static int plan_one(struct copier *c,
                    const struct source *source,
                    const struct destinations *where,
                    struct mrp_error *err)
{
    struct ref *refs = NULL;
    size_t count = 0;
    int rc = destinations_for(&refs, &count, c->hub, source, where, err);
    if (rc)
        return rc;
    struct end ends[DESTINATIONS_MAX];
    char *tags[DESTINATIONS_MAX];
    struct end src = {0};
    if (count > DESTINATIONS_MAX)
        rc = mrp_fail(err, MRP_E_CONFIG, "more than %d destinations", DESTINATIONS_MAX);
    if (!rc)
        rc = copier_end(&src, c, &source->ref, false, err);
    for (size_t i = 0; !rc && i < count; i++) {
        rc = copier_end(&ends[i], c, &refs[i], true, err);
        tags[i] = refs[i].tag;
    }
    struct route *route = NULL;
    if (!rc)
        rc = copier_route(&route, c, &src, ends, count, err);
    struct job *job = NULL;
    const char *digest = source->ref.digest;
    const char *ref = digest            ? digest
                      : source->ref.tag ? source->ref.tag
                      : src.repo        ? "latest"
                                        : "";
    if (!rc)
        rc = copier_add(&job, route, source->name, ref, tags, err);
    /* Without any tag the source's default one is meant, also there. */
    for (size_t i = 0; !rc && !digest && !source->ref.tag && src.repo && i < count; i++)
        if (!job->dests[i].tag && !(job->dests[i].tag = mrp_strdup(ref)))
            rc = nomem(err);
    refs_free(refs, count);
    return rc;
}

/* Of two images for one tag the last to arrive would stay, a different one in each run. */
static int check_clash(struct table *taken, struct job *job, struct mrp_error *err)
{
    for (size_t i = 0; i < job->route->count; i++) {
        if (!job->dests[i].tag)
            continue;
        mrp_auto(mrp_free_str) char *to = end_ref(&job->route->dst[i], job->dests[i].tag);
        struct item *item = to ? table_at(taken, to) : NULL;
        if (!item)
            return nomem(err);
        const struct job *other = item->note;
        item->note = job;
        if (!other ||
            (end_same(&other->route->src, &job->route->src) && !strcmp(other->ref, job->ref)))
            continue;
        mrp_fail(err, MRP_E_CONFIG, "%s and %s would both become %s", other->meter.name,
                 job->meter.name, to);
        return mrp_hint(err, "leave the tag out of `to`, or end it with HOST/PREFIX/: then each "
                             "keeps its own name");
    }
    return 0;
}

int plan_images(struct copier *c,
                const struct sources *sources,
                const struct destinations *where,
                struct mrp_error *err)
{
    mrp_auto(table_done) struct table taken = {0};
    for (size_t i = 0; i < sources->count; i++) {
        int rc = plan_one(c, &sources->list[i], where, err);
        if (!rc)
            rc = check_clash(&taken, c->last, err);
        if (rc)
            return rc;
    }
    return 0;
}

int report_images(struct copier *c, struct mrp_error *err)
{
    struct mrp_stage *stage = c->hub->stage;
    uint64_t bytes = 0;
    uint64_t skipped = 0;
    int64_t images = 0;
    for (const struct job *job = c->jobs; job; job = job->next) {
        images++;
        for (size_t i = 0; i < job->route->count; i++) {
            bytes += job->dests[i].tally.bytes;
            skipped += job->dests[i].tally.skipped;
        }
    }
    mrp_count(stage, "images", images);
    mrp_count(stage, "blob-bytes", (int64_t)bytes);
    mrp_count(stage, "skipped-bytes", (int64_t)skipped);
    json_t *list = copier_report(c);
    if (!list)
        return nomem(err);
    int rc = mrp_output(stage, "images", list, err);
    if (!rc && c->jobs)
        rc = mrp_output(stage, "digest", json_string(c->jobs->digest), err);
    return rc;
}
