/* The registry protocol for lists, page by page: tags, repositories, referrers. */
#include "registry.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { PAGE = 1000, PAGES_MAX = 10000, PAGE_BYTES = 16 << 20, NAMES_MAX = 1000000 };

/* The target of `<...>; rel="next"`, or NULL. */
static char *next_link(const char *link)
{
    const char *open = link ? strchr(link, '<') : NULL;
    const char *close = open ? strchr(open, '>') : NULL;
    if (!close || !strstr(close, "next"))
        return NULL;
    return mrp_strndup(open + 1, (size_t)(close - open - 1));
}

typedef int (*page_fn)(void *arg, const json_t *page, struct mrp_error *err);

/* What is asked for: the first page and what its pages are given to. */
struct walk {
    struct host *host;
    const char *repo; /* for the scope; NULL: the catalog */
    const char *first;
    const char *accept;
    const char *what;
    size_t max_body;
    struct tally *tally;
    page_fn each;
    void *arg;
};

/* One page; *next (owned) is the URL of the one behind it, NULL at the end. */
static int
read_page(char **next, const struct walk *w, const char *url, bool begin, struct mrp_error *err)
{
    /* The first page goes by path, so that a host that turns out to speak TLS is found. */
    const struct call c = {.api = API_LIST,
                           .method = "GET",
                           .url = begin ? NULL : url,
                           .path = w->first,
                           .repo = w->repo,
                           .accept = w->accept,
                           .max_body = w->max_body,
                           .what = w->what,
                           .tally = w->tally};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    int rc = host_do(&resp, w->host, &c, err);
    if (rc)
        return rc;
    if (resp.status != 200)
        return host_error(&resp, w->host, w->what, err);
    mrp_auto(mrp_free_json) json_t *j = NULL;
    if ((rc = mrp_json_parse(&j, mrp_buf_str(&resp.body), resp.body.len, w->what, err)) ||
        (rc = w->each(w->arg, j, err)))
        return rc;
    mrp_auto(mrp_free_str) char *link = next_link(mrp_headers_get(&resp.headers, "Link"));
    bool own = false;
    if (!link)
        return 0;
    rc = host_location(next, &own, w->host, resp.url ? resp.url : url, link, err);
    if (!rc && (!own || !strcmp(*next, url)))
        return mrp_fail(err, MRP_E_REMOTE, "%s: the next page is on another host or the same",
                        w->what);
    return rc;
}

static int pages(const struct walk *w, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s%s", w->host->base, w->first);
    for (int n = 0; url && n < PAGES_MAX; n++) {
        mrp_auto(mrp_free_str) char *next = NULL;
        int rc = read_page(&next, w, url, !n, err);
        if (rc || !next)
            return rc;
        free(url);
        url = mrp_take_str(&next);
    }
    return url ? mrp_fail(err, MRP_E_REMOTE, "%s: more than %d pages", w->what, PAGES_MAX)
               : mrp_fail(err, MRP_E_NOMEM, "%s", w->what);
}

struct names {
    const char *member; /* of a page */
    const char *what;
    bool (*valid)(const char *text, size_t len);
    name_fn each;
    void *arg;
    size_t count;
};

static int names_page(void *arg, const json_t *page, struct mrp_error *err)
{
    struct names *names = arg;
    size_t i;
    json_t *one;
    json_array_foreach(mrp_json_arr(page, names->member), i, one)
    {
        const char *name = json_string_value(one);
        if (++names->count > NAMES_MAX)
            return mrp_fail(err, MRP_E_REMOTE, "%s: more than %d names", names->what, NAMES_MAX);
        int rc = name && names->valid(name, strlen(name)) ? names->each(names->arg, name, err) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

int registry_tags(struct repo *repo, name_fn each, void *arg, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = mrp_strf("/v2/%s/tags/list?n=%d", repo->name, PAGE);
    mrp_auto(mrp_free_str) char *what = mrp_strf("tags of %s/%s", repo->host->name, repo->name);
    if (!path || !what)
        return mrp_fail(err, MRP_E_NOMEM, "tags");
    struct names names = {"tags", what, tag_valid, each, arg, 0};
    const struct walk w = {.host = repo->host,
                           .repo = repo->name,
                           .first = path,
                           .what = what,
                           .max_body = PAGE_BYTES,
                           .each = names_page,
                           .arg = &names};
    return pages(&w, err);
}

/* There may be so many that mrp_strv_add, which counts them each time, would take long. */
struct tag_list {
    char **list;
    size_t count;
    size_t room;
};

static int keep_tag(void *arg, const char *name, struct mrp_error *err)
{
    struct tag_list *tags = arg;
    if (tags->count + 1 >= tags->room) {
        size_t room = tags->room ? 2 * tags->room : 64;
        char **list = realloc(tags->list, room * sizeof *list);
        if (!list)
            return mrp_fail(err, MRP_E_NOMEM, "tags");
        tags->list = list;
        tags->room = room;
    }
    char *copy = mrp_strdup(name);
    tags->list[tags->count] = copy;
    tags->count += copy ? 1 : 0;
    tags->list[tags->count] = NULL;
    return copy ? 0 : mrp_fail(err, MRP_E_NOMEM, "tags");
}

int registry_all_tags(char ***out, size_t *count, struct repo *repo, struct mrp_error *err)
{
    struct tag_list tags = {0};
    int rc = registry_tags(repo, keep_tag, &tags, err);
    if (rc) {
        mrp_free_strv(&tags.list);
        return rc;
    }
    *out = tags.list;
    *count = tags.count;
    return 0;
}

int registry_catalog(struct host *host, name_fn each, void *arg, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = mrp_strf("/v2/_catalog?n=%d", PAGE);
    mrp_auto(mrp_free_str) char *what = mrp_strf("repositories of %s", host->name);
    if (!path || !what)
        return mrp_fail(err, MRP_E_NOMEM, "repositories");
    struct names names = {"repositories", what, repo_valid, each, arg, 0};
    const struct walk w = {.host = host,
                           .first = path,
                           .what = what,
                           .max_body = PAGE_BYTES,
                           .each = names_page,
                           .arg = &names};
    return pages(&w, err);
}

struct referrers {
    json_t *list;
    const char *what;
};

static int referrers_page(void *arg, const json_t *page, struct mrp_error *err)
{
    const struct referrers *all = arg;
    json_t *more = mrp_json_arr(page, "manifests");
    if (json_array_size(all->list) + json_array_size(more) > MANIFEST_ITEMS_MAX)
        return mrp_fail(err, MRP_E_REMOTE, "%s: more than %d", all->what, MANIFEST_ITEMS_MAX);
    return more && json_array_extend(all->list, more) ? mrp_fail(err, MRP_E_NOMEM, "referrers") : 0;
}

static int referrers_walk(json_t *list,
                          struct repo *repo,
                          const char *digest,
                          struct tally *tally,
                          const char *what,
                          struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = mrp_strf("/v2/%s/referrers/%s", repo->name, digest);
    if (!path)
        return mrp_fail(err, MRP_E_NOMEM, "referrers");
    struct referrers all = {list, what};
    const struct walk w = {.host = repo->host,
                           .repo = repo->name,
                           .first = path,
                           .accept = MEDIA_OCI_INDEX,
                           .what = what,
                           .max_body = MANIFEST_MAX,
                           .tally = tally,
                           .each = referrers_page,
                           .arg = &all};
    return pages(&w, err);
}

static int referrers_once(struct manifest **out,
                          struct repo *repo,
                          const char *digest,
                          struct tally *tally,
                          struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *what =
        mrp_strf("referrers of %s/%s@%s", repo->host->name, repo->name, digest);
    json_t *list = json_array();
    mrp_auto(mrp_free_json) json_t *index = json_pack(
        "{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_INDEX, "manifests", list);
    if (!what || !index)
        return mrp_fail(err, MRP_E_NOMEM, "referrers");
    int rc = referrers_walk(list, repo, digest, tally, what, err);
    if (rc && !strcmp(err->api, "NAME_UNKNOWN")) {
        *err = (struct mrp_error){0}; /* nothing refers to what is not there */
        return 0;
    }
    if (rc && (err->upstream == 404 || err->upstream == 405 || err->upstream == 400 ||
               err->upstream == 501)) {
        repo->host->referrers = 0;
        *err = (struct mrp_error){0};
        return 0;
    }
    if (rc)
        return rc;
    repo->host->referrers = 1;
    mrp_auto(mrp_free_str) char *text = mrp_json_text(index);
    return text ? manifest_new(out, text, strlen(text), MEDIA_OCI_INDEX, NULL, what, err)
                : mrp_fail(err, MRP_E_NOMEM, "referrers");
}

int registry_referrers(struct manifest **out,
                       struct repo *repo,
                       const char *digest,
                       struct tally *tally,
                       struct mrp_error *err)
{
    struct host *h = repo->host;
    *out = NULL;
    /* One task finds out whether the API is there; it is asked for each image only if it is. */
    while (h->referrers < 0 && h->referrers_asked) {
        int rc = mrp_waitq_wait(&h->referrers_turn, h->hub->http, err);
        if (rc)
            return rc;
    }
    if (h->referrers == 0)
        return 0;
    bool first = h->referrers < 0;
    h->referrers_asked = true;
    int rc = referrers_once(out, repo, digest, tally, err);
    if (first) {
        h->referrers_asked = false;
        mrp_waitq_wake(&h->referrers_turn, h->hub->http);
    }
    return rc;
}
