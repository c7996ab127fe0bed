/* The registry protocol for lists: tags and repositories, page by page. */
#include "registry.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { PAGE = 1000, PAGES_MAX = 10000, PAGE_BYTES = 16 << 20 };

/* The target of `<...>; rel="next"`, or NULL. */
static char *next_link(const char *link)
{
    const char *open = link ? strchr(link, '<') : NULL;
    const char *close = open ? strchr(open, '>') : NULL;
    if (!close || !strstr(close, "next"))
        return NULL;
    return mrp_strndup(open + 1, (size_t)(close - open - 1));
}

static int walk_names(const json_t *list, name_fn each, void *arg, struct mrp_error *err)
{
    size_t i;
    json_t *name;
    json_array_foreach(list, i, name)
    {
        int rc = json_is_string(name) ? each(arg, json_string_value(name), err) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

static int pages(struct host *host,
                 const char *repo,
                 const char *first,
                 const char *member,
                 const char *what,
                 name_fn each,
                 void *arg,
                 struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s%s", host->base, first);
    for (int n = 0; n < PAGES_MAX; n++) {
        if (!url)
            return mrp_fail(err, MRP_E_NOMEM, "%s", what);
        /* The first page goes by path, so that a host that turns out to speak TLS is found. */
        const struct call c = {.api = API_LIST,
                               .method = "GET",
                               .url = n ? url : NULL,
                               .path = first,
                               .repo = repo,
                               .max_body = PAGE_BYTES,
                               .what = what};
        mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
        int rc = host_do(&resp, host, &c, err);
        if (rc)
            return rc;
        if (resp.status != 200)
            return host_error(&resp, host, what, err);
        mrp_auto(mrp_free_json) json_t *j = NULL;
        if ((rc = mrp_json_parse(&j, mrp_buf_str(&resp.body), resp.body.len, what, err)) ||
            (rc = walk_names(mrp_json_arr(j, member), each, arg, err)))
            return rc;
        mrp_auto(mrp_free_str) char *next = next_link(mrp_headers_get(&resp.headers, "Link"));
        if (!next)
            return 0;
        bool own = false;
        char *to = NULL;
        if ((rc = host_location(&to, &own, host, resp.url ? resp.url : url, next, err)))
            return rc;
        bool stuck = !own || !strcmp(to, url);
        free(url);
        url = to;
        if (stuck)
            return mrp_fail(err, MRP_E_REMOTE, "%s: the next page is on another host or the same",
                            what);
    }
    return mrp_fail(err, MRP_E_REMOTE, "%s: more than %d pages", what, PAGES_MAX);
}

struct tag_walk {
    name_fn each;
    void *arg;
};

static int checked_tag(void *arg, const char *name, struct mrp_error *err)
{
    const struct tag_walk *walk = arg;
    return tag_valid(name, strlen(name)) ? walk->each(walk->arg, name, err) : 0;
}

static int checked_repo(void *arg, const char *name, struct mrp_error *err)
{
    const struct tag_walk *walk = arg;
    return repo_valid(name, strlen(name)) ? walk->each(walk->arg, name, err) : 0;
}

int registry_tags(struct repo *repo, name_fn each, void *arg, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = mrp_strf("/v2/%s/tags/list?n=%d", repo->name, PAGE);
    mrp_auto(mrp_free_str) char *what = mrp_strf("tags of %s/%s", repo->host->name, repo->name);
    if (!path || !what)
        return mrp_fail(err, MRP_E_NOMEM, "tags");
    struct tag_walk walk = {each, arg};
    return pages(repo->host, repo->name, path, "tags", what, checked_tag, &walk, err);
}

int registry_catalog(struct host *host, name_fn each, void *arg, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = mrp_strf("/v2/_catalog?n=%d", PAGE);
    mrp_auto(mrp_free_str) char *what = mrp_strf("repositories of %s", host->name);
    if (!path || !what)
        return mrp_fail(err, MRP_E_NOMEM, "repositories");
    struct tag_walk walk = {each, arg};
    return pages(host, NULL, path, "repositories", what, checked_repo, &walk, err);
}
