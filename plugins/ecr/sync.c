/* Lists repositories and tags of both sides and makes jobs of the differences. */
#include "sync.h"
#include "referrers.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { DELETE_BATCH = 100 };

/* The tags of one end; sorted by name for lookups. */
struct listing {
    struct tag *tags;
    size_t count;
    size_t room;
    bool complete; /* the digests are known: no HEAD is needed */
};

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "sync");
}

static void listing_done(struct listing *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->tags[i].name);
        free(l->tags[i].digest);
    }
    free(l->tags);
    *l = (struct listing){0};
}

static int add(struct listing *l, const char *name, const char *digest, int64_t pushed_ms)
{
    if (l->count == l->room) {
        size_t room = l->room ? l->room * 2 : 64;
        struct tag *tags = realloc(l->tags, room * sizeof *tags);
        if (!tags)
            return -1;
        l->tags = tags;
        l->room = room;
    }
    struct tag *t = &l->tags[l->count];
    *t = (struct tag){mrp_strdup(name), mrp_strdup(digest), pushed_ms};
    if (!t->name || (digest && !t->digest)) {
        free(t->name);
        free(t->digest);
        return -1;
    }
    l->count++;
    return 0;
}

static int add_image(void *arg, const struct ecr_image *image)
{
    return image->tag ? add(arg, image->tag, image->digest, image->pushed_ms) : 0;
}

static int add_name(void *arg, const char *name, struct mrp_error *err)
{
    return add(arg, name, NULL, 0) ? nomem(err) : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tag *)a)->name, ((const struct tag *)b)->name);
}

static int list_end(struct listing *l, struct end *end, bool may_lack, struct mrp_error *err)
{
    int rc;
    if (end->repo && end->repo->host->ecr) {
        rc = ecr_images(end->repo, add_image, l, err);
        if (rc == MRP_E_NOTFOUND && may_lack)
            rc = 0;
        l->complete = true;
    } else if (end->repo) {
        rc = registry_tags(end->repo, add_name, l, err);
        if (rc == MRP_E_NOTFOUND && may_lack)
            rc = 0;
        end->repo->untagged = !rc && !l->count;
    } else {
        mrp_auto(mrp_free_strv) char **tags = NULL;
        rc = layout_tags(&tags, end->layout, err);
        for (char **t = tags; !rc && t && *t; t++)
            rc = add_name(l, *t, err);
    }
    if (!rc && l->count)
        qsort(l->tags, l->count, sizeof *l->tags, by_name);
    return rc;
}

static const struct tag *find(const struct listing *l, const char *name)
{
    const struct tag key = {.name = (char *)(uintptr_t)name};
    return l->count ? bsearch(&key, l->tags, l->count, sizeof *l->tags, by_name) : NULL;
}

/* One repository and its destinations. */
struct pair {
    struct sync *sync;
    struct end src;
    struct end ends[DESTINATIONS_MAX];
    struct listing there[DESTINATIONS_MAX];
    struct listing here;
    char **extra[DESTINATIONS_MAX]; /* tags that are to be removed there */
    size_t count;
    struct route *route;
    struct pair *next;
};

struct look {
    struct sync *sync;
    struct listing *listing;
    struct end *end;
    bool there;  /* at a destination: it may lack the repository, and others go on without it */
    bool failed; /* and so it is left out */
};

static int look_task(void *arg, struct mrp_error *err)
{
    struct look *l = arg;
    int rc = list_end(l->listing, l->end, l->there, err);
    if (!rc)
        return 0;
    char name[300];
    rc = mrp_wrap(err, "list %s", end_show(name, sizeof name, l->end));
    if (!l->there || is_fatal(rc))
        return rc;
    l->failed = true;
    hub_failure(l->sync->copier->hub, l->sync->failed.code, err, &l->sync->failed);
    return 0;
}

/* Without the destinations that did not answer. */
static void leave_out(struct pair *p, const struct look *looks)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (looks[i].failed) {
            listing_done(&p->there[i]);
            continue;
        }
        p->ends[kept] = p->ends[i];
        p->there[kept++] = p->there[i];
    }
    for (size_t i = kept; i < p->count; i++)
        p->there[i] = (struct listing){0};
    p->count = kept;
}

static int list_both(struct pair *p, struct mrp_error *err)
{
    struct look looks[DESTINATIONS_MAX] = {0};
    struct look source = {p->sync, &p->here, &p->src, false, false};
    struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, p->sync->copier->hub->http, 0, err);
    if (!rc)
        rc = mrp_group_spawn(group, look_task, &source, err);
    for (size_t i = 0; !rc && i < p->count; i++) {
        looks[i] = (struct look){p->sync, &p->there[i], &p->ends[i], true, false};
        rc = mrp_group_spawn(group, look_task, &looks[i], err);
    }
    rc = mrp_group_finish(&group, rc, err);
    if (!rc)
        leave_out(p, looks);
    return rc;
}

/* Images that a listing showed need not be asked for again. */
static int note_present(struct pair *p, struct mrp_error *err)
{
    for (size_t i = 0; i < p->count; i++) {
        for (size_t k = 0; k < p->there[i].count; k++) {
            const char *digest = p->there[i].tags[k].digest;
            struct item *item = digest ? table_at(&p->route->manifests, digest) : NULL;
            if (digest && !item)
                return nomem(err);
            if (item)
                item->present |= (uint64_t)1 << i;
        }
    }
    return 0;
}

static int add_job(struct pair *p, const struct tag *tag, struct mrp_error *err)
{
    char *tags[DESTINATIONS_MAX];
    bool same = tag->digest && !p->sync->copier->how.platforms;
    for (size_t i = 0; i < p->count; i++) {
        const struct tag *have = find(&p->there[i], tag->name);
        tags[i] = tag->name;
        same = same && have && mrp_streq(have->digest, tag->digest);
    }
    if (same) {
        p->sync->unchanged++;
        return 0;
    }
    struct job *job = NULL;
    int rc = copier_add(&job, p->route, "", tag->name, tags, err);
    if (rc)
        return rc;
    if (tag->digest) {
        job->known = true;
        mrp_copy(job->pinned, sizeof job->pinned, tag->digest);
    }
    for (size_t i = 0; i < p->count; i++) {
        const struct tag *have = find(&p->there[i], tag->name);
        /* A listing of digests is as good as a HEAD; so is a list of tags without this one. */
        job->dests[i].asked = p->there[i].complete || !have;
        if (have && have->digest)
            mrp_copy(job->dests[i].had, sizeof job->dests[i].had, have->digest);
    }
    return 0;
}

static int plan_pair(struct pair *p, struct mrp_error *err)
{
    struct sync *s = p->sync;
    int rc = list_both(p, err);
    if (rc || !p->count)
        return rc;
    rc = copier_route(&p->route, s->copier, &p->src, p->ends, p->count, err);
    if (!rc)
        rc = note_present(p, err);
    if (!rc)
        rc = selection_apply(p->here.tags, &p->here.count, &s->select, err);
    for (size_t i = 0; !rc && i < p->here.count; i++)
        rc = add_job(p, &p->here.tags[i], err);
    s->repositories++;
    s->tags += p->here.count;
    if (!rc && p->here.count)
        qsort(p->here.tags, p->here.count, sizeof *p->here.tags, by_name);
    return rc;
}

/* Tags of a destination that the selection means and the source lacks. */
static int find_extra(char ***out, struct pair *p, size_t dest, struct mrp_error *err)
{
    struct listing *l = &p->there[dest];
    mrp_auto(listing_done) struct listing meant = {0};
    struct selection how = p->sync->select;
    how.newest = 0;
    how.pushed_after_ms = 0;
    for (size_t i = 0; i < l->count; i++)
        if (add(&meant, l->tags[i].name, NULL, 0))
            return nomem(err);
    int rc = selection_apply(meant.tags, &meant.count, &how, err);
    if (rc)
        return rc;
    char **extra = calloc(meant.count + 1, sizeof *extra);
    if (!extra)
        return nomem(err);
    *out = extra;
    for (size_t i = 0; i < meant.count; i++)
        if (!find(&p->here, meant.tags[i].name) && !referrers_is_list(meant.tags[i].name))
            *extra++ = mrp_take_str(&meant.tags[i].name);
    return 0;
}

static int
guard(const struct sync *s, const struct pair *p, size_t dest, size_t extra, struct mrp_error *err)
{
    char name[300];
    size_t all = p->there[dest].count;
    end_show(name, sizeof name, &p->ends[dest]);
    if (!s->force && extra * 100 > all * (size_t)s->delete_limit) {
        mrp_fail(err, MRP_E_CONFLICT, "%s: %zu of %zu tags would be removed, more than %d %%", name,
                 extra, all, (int)s->delete_limit);
        return mrp_hint(err, "if this is meant, set `force: true` or raise `delete-limit`");
    }
    if (!p->here.count && !s->force) {
        mrp_fail(err, MRP_E_CONFLICT, "%s: the source has no such tags at all, nothing is removed",
                 name);
        return mrp_hint(err, "if this is meant, set `force: true`");
    }
    return 0;
}

static int delete_tags(struct end *end, char **tags, struct mrp_error *err)
{
    size_t n = mrp_strv_len(tags);
    if (end->repo && end->repo->host->ecr) {
        for (size_t i = 0; i < n; i += DELETE_BATCH) {
            size_t some = n - i < DELETE_BATCH ? n - i : DELETE_BATCH;
            int rc = ecr_delete_tags(end->repo, tags + i, some, err);
            if (rc)
                return rc;
        }
        return 0;
    }
    if (!end->repo)
        return mrp_fail(err, MRP_E_CONFIG, "%s: tags of a layout are not removed",
                        end->layout->shown);
    return registry_untag(end->repo, tags, err);
}

/* All that would be removed is found and judged before anything is. */
static int plan_removal(struct pair *p, struct mrp_error *err)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < p->count; i++) {
        rc = find_extra(&p->extra[i], p, i, err);
        size_t n = mrp_strv_len(p->extra[i]);
        if (!rc && n)
            rc = guard(p->sync, p, i, n, err);
    }
    return rc;
}

static int remove_extra(struct pair *p, size_t dest, struct mrp_error *err)
{
    struct sync *s = p->sync;
    char **extra = p->extra[dest];
    size_t n = mrp_strv_len(extra);
    if (!n)
        return 0;
    char name[300];
    end_show(name, sizeof name, &p->ends[dest]);
    s->changed = true;
    s->deleted += n;
    for (char **t = extra; *t; t++)
        mrp_change(s->copier->hub->stage, "remove %s:%s", name, *t);
    return s->mode == SYNC_RUN ? delete_tags(&p->ends[dest], extra, err) : 0;
}

struct names {
    struct sync *sync;
    const char *prefix;
    char **list;
};

static int keep_name(void *arg, const char *name, struct mrp_error *err)
{
    struct names *n = arg;
    if (*n->prefix && !mrp_starts(name, n->prefix))
        return 0;
    for (char *const *glob = n->sync->repositories_like; *glob; glob++)
        if (mrp_glob_match(*glob, name, true))
            return mrp_strv_add(&n->list, name) ? nomem(err) : 0;
    return 0;
}

/* "registry.example:5000" alone would be an image of Docker Hub. */
static bool is_bare_host(const char *text)
{
    size_t name = strcspn(text, ":/");
    return !strchr(text, '/') &&
           (memchr(text, '.', name) || (name == 9 && !memcmp(text, "localhost", 9)));
}

static int parse_one(struct ref *out, const char *from, struct mrp_error *err)
{
    int rc = is_bare_host(from) ? 0 : ref_parse(out, from, err);
    if (!rc && (is_bare_host(from) || out->prefix)) {
        mrp_fail(err, MRP_E_CONFIG, "%s names no repository", from);
        return mrp_hint(err, "write HOST/REPOSITORY, or set `repositories`, as [\"team/**\"]");
    }
    if (!rc && (out->tag || out->digest)) {
        mrp_fail(err, MRP_E_CONFIG, "%s: whole repositories are synchronised, not one image", from);
        return mrp_hint(err, "name the tags in `tags`, or take ecr/copy");
    }
    return rc;
}

int sync_source(struct ref *out, const char *from, bool many, struct mrp_error *err)
{
    *out = (struct ref){0};
    if (!many)
        return parse_one(out, from, err);
    /* "HOST" or "HOST/" has no repository: the parser wants one. */
    mrp_auto(mrp_free_str) char *text = mrp_strf("%s%s", from, mrp_ends(from, "/") ? "" : "/");
    int rc = text ? ref_parse(out, text, err) : nomem(err);
    if (!rc && out->kind != REF_REGISTRY)
        rc = mrp_fail(err, MRP_E_CONFIG, "`repositories` needs a registry as `from`");
    return rc;
}

static int find_repositories(struct names *n, const struct ref *from, struct mrp_error *err)
{
    struct hub *hub = n->sync->copier->hub;
    struct host *host = NULL;
    mrp_auto(mrp_free_str) char *prefix =
        *from->repo ? mrp_strf("%s/", from->repo) : mrp_strdup("");
    int rc = prefix ? hub_ref_host(&host, hub, from, err) : nomem(err);
    if (rc)
        return rc;
    n->prefix = prefix;
    rc = host->ecr ? ecr_repositories(host, keep_name, n, err)
                   : registry_catalog(host, keep_name, n, err);
    n->prefix = "";
    return rc;
}

static int add_pair(struct pair **list,
                    struct sync *s,
                    const struct ref *from,
                    const char *repo,
                    struct mrp_error *err)
{
    struct source source = {.name = mrp_strdup("")};
    struct ref *refs = NULL;
    size_t count = 0;
    struct pair *p = calloc(1, sizeof *p);
    int rc = p && source.name ? ref_copy(&source.ref, from, err) : nomem(err);
    if (!rc && repo) {
        free(source.ref.repo);
        source.ref.repo = mrp_strdup(repo);
        source.ref.prefix = false;
        rc = source.ref.repo ? 0 : nomem(err);
    }
    if (!rc)
        rc = destinations_for(&refs, &count, s->copier->hub, &source, &s->where, err);
    if (!rc && (!count || count > DESTINATIONS_MAX)) {
        rc = mrp_fail(err, MRP_E_CONFIG, "nothing says where the images go");
        mrp_hint(err, "set `to` or `to-regions`, or `regions: secondary:` in the spec");
    }
    if (!rc)
        rc = copier_end(&p->src, s->copier, &source.ref, false, err);
    for (size_t i = 0; !rc && i < count; i++)
        rc = copier_end(&p->ends[i], s->copier, &refs[i], true, err);
    if (!rc) {
        p->sync = s;
        p->count = count;
        p->next = *list;
        *list = p;
        p = NULL;
    }
    refs_free(refs, count);
    free(source.name);
    ref_done(&source.ref);
    free(p);
    return rc;
}

static int pair_task(void *arg, struct mrp_error *err)
{
    return plan_pair(arg, err);
}

static int plan_all(struct sync *s, struct pair *pairs, struct mrp_error *err)
{
    enum { LISTS_AT_ONCE = 16 };
    struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, s->copier->hub->http, LISTS_AT_ONCE, err);
    for (struct pair *p = pairs; !rc && p; p = p->next)
        rc = mrp_group_spawn(group, pair_task, p, err);
    return mrp_group_finish(&group, rc, err);
}

static int carry_out(struct sync *s, struct pair *pairs, struct mrp_error *err)
{
    int rc = s->mode == SYNC_VERIFY ? copier_compare(s->copier, err) : copier_run(s->copier, err);
    for (const struct job *job = s->copier->jobs; job; job = job->next) {
        bool changed = false;
        for (size_t i = 0; i < job->route->count; i++)
            changed = changed || job->dests[i].changed;
        if (changed)
            s->copied++;
        else
            s->unchanged++;
    }
    s->changed = s->changed || s->copied;
    if (s->failed.code)
        rc = hub_failure(s->copier->hub, rc, &s->failed, err);
    for (struct pair *p = pairs; s->remove && !rc && p; p = p->next)
        rc = plan_removal(p, err);
    for (struct pair *p = pairs; s->remove && !rc && p; p = p->next)
        for (size_t i = 0; !rc && i < p->count; i++)
            rc = remove_extra(p, i, err);
    return rc;
}

static void free_pairs(struct pair *list)
{
    while (list) {
        struct pair *next = list->next;
        listing_done(&list->here);
        for (size_t i = 0; i < list->count; i++) {
            listing_done(&list->there[i]);
            mrp_free_strv(&list->extra[i]);
        }
        free(list);
        list = next;
    }
}

/* Their tags would take turns there. */
static int check_names(const struct sync *s, size_t count, struct mrp_error *err)
{
    for (char *const *to = s->where.to; count > 1 && to && *to; to++) {
        mrp_auto(ref_done) struct ref ref = {0};
        int rc = ref_parse(&ref, *to, err);
        if (rc)
            return rc;
        if (ref.prefix)
            continue;
        mrp_fail(err, MRP_E_CONFIG, "%zu repositories match, and %s is one", count, *to);
        return mrp_hint(err, ref.kind == REF_REGISTRY
                                 ? "end `to` with a `/`: then each keeps its name behind it"
                                 : "a layout holds one repository: narrow `repositories`");
    }
    return 0;
}

/* Nothing to do because nothing is meant: often a slip in a glob. */
static void tell_nothing(const struct sync *s)
{
    struct mrp_stage *stage = s->copier->hub->stage;
    if (!s->repositories)
        mrp_log(stage, MRP_WARN,
                "no repository of %s matches `repositories`: `*` ends at a `/`, `**` does not",
                s->from);
    else if (!s->tags)
        mrp_log(stage, MRP_WARN, "no tag of %s is selected", s->from);
}

int sync_run(struct sync *s, struct mrp_error *err)
{
    struct names names = {.sync = s, .prefix = ""};
    mrp_auto(ref_done) struct ref from = {0};
    struct pair *pairs = NULL;
    const bool many = mrp_strv_len(s->repositories_like) > 0;
    int rc = sync_source(&from, s->from, many, err);
    if (!rc && many) {
        rc = find_repositories(&names, &from, err);
        if (!rc)
            rc = check_names(s, mrp_strv_len(names.list), err);
        for (char **name = names.list; !rc && name && *name; name++)
            rc = add_pair(&pairs, s, &from, *name, err);
    } else if (!rc) {
        rc = add_pair(&pairs, s, &from, NULL, err);
    }
    if (!rc)
        rc = plan_all(s, pairs, err);
    if (!rc && !s->failed.code)
        tell_nothing(s);
    if (!rc)
        rc = carry_out(s, pairs, err);
    free_pairs(pairs);
    mrp_free_strv(&names.list);
    return rc;
}
