/* Takes tags away, and knows what else goes with them. */
#include "registry.h"
#include "table.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 32 };

/* Where the registry deletes only images: what the tags name that go, and what those need that
 * stay.
 */
struct census {
    struct repo *repo;
    char **going; /* sorted, borrowed */
    size_t count; /* of them */
    char **all;
    struct table images; /* `present`: needed by a tag that stays */
};

struct one {
    struct census *census;
    const char *tag;
    char digest[DIGEST_SIZE]; /* of a tag that goes; "" if it is not there */
};

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "delete tags");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool goes(const struct census *c, const char *tag)
{
    return bsearch(&tag, c->going, c->count, sizeof *c->going, by_text) != NULL;
}

static int keep(struct census *c, const char *digest, bool index, int depth, struct mrp_error *err)
{
    struct item *item = table_at(&c->images, digest);
    if (!item)
        return nomem(err);
    bool seen = item->present;
    item->present = 1;
    if (seen || !index)
        return 0;
    mrp_auto(manifest_free) struct manifest *m = NULL;
    int rc = registry_get(&m, c->repo, digest, digest, NULL, err);
    for (size_t i = 0; !rc && m->index && i < m->count; i++) {
        const char *type = m->items[i].media_type;
        bool nested = mrp_streq(type, MEDIA_OCI_INDEX) || mrp_streq(type, MEDIA_DOCKER_LIST);
        rc = keep(c, m->items[i].digest, nested && depth < MANIFEST_DEPTH_MAX, depth + 1, err);
    }
    return rc;
}

static int look_task(void *arg, struct mrp_error *err)
{
    struct one *one = arg;
    struct found found;
    int rc = registry_head(&found, one->census->repo, one->tag, NULL, err);
    if (rc || !found.exists)
        return rc;
    if (!goes(one->census, one->tag))
        return keep(one->census, found.digest, found.index, 0, err);
    mrp_copy(one->digest, sizeof one->digest, found.digest);
    return 0;
}

static int
each(struct repo *repo, struct one *list, size_t count, mrp_task_fn fn, struct mrp_error *err)
{
    struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, repo->host->hub->http, AT_ONCE, err);
    if (!rc)
        mrp_group_stop_on_error(group);
    for (size_t i = 0; !rc && i < count; i++)
        rc = mrp_group_spawn(group, fn, &list[i], err);
    return mrp_group_finish(&group, rc, err);
}

static int refuse(const struct one *one, struct mrp_error *err)
{
    const struct repo *repo = one->census->repo;
    mrp_fail(err, MRP_E_CONFLICT,
             "%s/%s:%s cannot be removed alone: this registry deletes images, not tags, and other "
             "tags need %s",
             repo->host->name, repo->name, one->tag, one->digest);
    return mrp_hint(err, "remove it with the registry's own means");
}

/* Several tags may name one image: it is deleted once, the others find it gone. */
static int delete_image(void *arg, struct mrp_error *err)
{
    const struct one *one = arg;
    return one->digest[0] ? registry_delete(one->census->repo, one->digest, err) : 0;
}

static int untag_by_image(struct census *c, struct mrp_error *err)
{
    size_t count = 0;
    int rc = registry_all_tags(&c->all, &count, c->repo, err);
    struct one *list = calloc(count + 1, sizeof *list);
    if (!list)
        return nomem(err);
    for (size_t i = 0; i < count; i++)
        list[i] = (struct one){.census = c, .tag = c->all[i]};
    if (!rc)
        rc = each(c->repo, list, count, look_task, err);
    for (size_t i = 0; !rc && i < count; i++) {
        const struct item *item = list[i].digest[0] ? table_at(&c->images, list[i].digest) : NULL;
        if (item && item->present)
            rc = refuse(&list[i], err);
    }
    if (!rc)
        rc = each(c->repo, list, count, delete_image, err);
    free(list);
    return rc;
}

static int delete_tag(void *arg, struct mrp_error *err)
{
    const struct one *one = arg;
    return registry_delete(one->census->repo, one->tag, err);
}

static int untag(struct census *c, struct mrp_error *err)
{
    struct one *list = calloc(c->count, sizeof *list);
    if (!list)
        return nomem(err);
    for (size_t i = 0; i < c->count; i++)
        list[i] = (struct one){.census = c, .tag = c->going[i]};
    /* The first tells whether this registry can do it. */
    int rc = delete_tag(&list[0], err);
    bool able = !rc || (err->upstream != 400 && err->upstream != 405);
    if (!rc)
        rc = each(c->repo, list + 1, c->count - 1, delete_tag, err);
    free(list);
    return able ? rc : untag_by_image(c, err);
}

int registry_untag(struct repo *repo, char *const *tags, struct mrp_error *err)
{
    struct census c = {.repo = repo, .count = mrp_strv_len(tags)};
    if (!c.count)
        return 0;
    c.going = calloc(c.count, sizeof *c.going);
    if (!c.going)
        return nomem(err);
    memcpy(c.going, tags, c.count * sizeof *c.going);
    qsort(c.going, c.count, sizeof *c.going, by_text);
    int rc = untag(&c, err);
    free(c.going);
    mrp_free_strv(&c.all);
    table_done(&c.images);
    return rc;
}
