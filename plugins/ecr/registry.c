/* The registry protocol for manifests: HEAD, GET, PUT, DELETE. */
#include "registry.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char *what_text(const char *verb, const struct repo *repo, const char *ref)
{
    return mrp_strf("%s %s/%s%s%s", verb, repo->host->name, repo->name,
                    strchr(ref, ':') ? "@" : ":", ref);
}

static int manifest_call(struct mrp_http_response *resp,
                         struct repo *repo,
                         const char *method,
                         const char *ref,
                         const char *what,
                         const struct manifest *body,
                         struct tally *tally,
                         struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = mrp_strf("/v2/%s/manifests/%s", repo->name, ref);
    if (!path || !what)
        return mrp_fail(err, MRP_E_NOMEM, "registry request");
    const struct call c = {.api = body ? API_MANIFEST : API_READ,
                           .method = method,
                           .path = path,
                           .repo = repo->name,
                           .push = body || !strcmp(method, "DELETE"),
                           .accept = body ? NULL : manifest_accept,
                           .type = body ? body->media_type : NULL,
                           .body = body ? body->bytes : NULL,
                           .body_len = body ? body->len : 0,
                           .max_body = MANIFEST_MAX,
                           .flags = body ? MRP_HTTP_NO_REDIRECT : 0,
                           .what = what,
                           .tally = tally};
    return host_do(resp, repo->host, &c, err);
}

int registry_get(struct manifest **out,
                 struct repo *repo,
                 const char *ref,
                 const char *digest,
                 struct tally *tally,
                 struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *what = what_text("manifest", repo, ref);
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    int rc = manifest_call(&resp, repo, "GET", ref, what, NULL, tally, err);
    if (rc)
        return rc;
    if (resp.status != 200)
        return host_error(&resp, repo->host, what, err);
    return manifest_new(out, mrp_buf_str(&resp.body), resp.body.len,
                        mrp_headers_get(&resp.headers, "Content-Type"), digest, what, err);
}

/* Some registries leave the digest out of HEAD's answer: then only the bytes tell it. */
static int head_by_get(struct found *out,
                       struct repo *repo,
                       const char *ref,
                       struct tally *tally,
                       struct mrp_error *err)
{
    mrp_auto(manifest_free) struct manifest *m = NULL;
    int rc = registry_get(&m, repo, ref, NULL, tally, err);
    if (rc)
        return rc;
    out->exists = true;
    out->index = m->index;
    out->size = (int64_t)m->len;
    mrp_copy(out->digest, sizeof out->digest, m->digest);
    return 0;
}

int registry_head(struct found *out,
                  struct repo *repo,
                  const char *ref,
                  struct tally *tally,
                  struct mrp_error *err)
{
    *out = (struct found){0};
    mrp_auto(mrp_free_str) char *what = what_text("manifest", repo, ref);
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    int rc = manifest_call(&resp, repo, "HEAD", ref, what, NULL, tally, err);
    if (rc)
        return rc;
    if (resp.status == 404)
        return 0;
    if (resp.status != 200)
        return host_error(&resp, repo->host, what, err);
    const char *digest = mrp_headers_get(&resp.headers, "Docker-Content-Digest");
    if (!digest || !digest_valid(digest))
        return head_by_get(out, repo, ref, tally, err);
    const char *type = mrp_headers_get(&resp.headers, "Content-Type");
    out->exists = true;
    out->index = mrp_streq(type, MEDIA_OCI_INDEX) || mrp_streq(type, MEDIA_DOCKER_LIST);
    mrp_copy(out->digest, sizeof out->digest, digest);
    const char *length = mrp_headers_get(&resp.headers, "Content-Length");
    if (length && mrp_parse_int(&out->size, length, 0, MANIFEST_MAX))
        out->size = 0;
    return 0;
}

/* Immutable tags are told in several ways. */
static bool is_immutable(const struct mrp_http_response *resp, const struct mrp_error *err)
{
    const char *text = mrp_buf_str(&resp->body);
    return strcasestr(text, "immutable") || strstr(text, "ImageTagAlreadyExists") ||
           (!strcmp(err->api, "TAG_INVALID") && strcasestr(text, "already exists"));
}

static bool is_missing_part(const struct mrp_error *err)
{
    static const char *const codes[] = {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN",
                                        "LayersNotFoundException",
                                        "ReferencedImagesNotFoundException", "MANIFEST_UNKNOWN"};
    for (size_t i = 0; i < MRP_COUNT(codes); i++)
        if (!strcmp(err->api, codes[i]))
            return true;
    return false;
}

int registry_put(struct repo *repo,
                 const char *ref,
                 const struct manifest *m,
                 bool *subject_done,
                 struct tally *tally,
                 struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *name = what_text("put manifest", repo, ref);
    bool by_tag = strcmp(ref, m->digest) != 0;
    mrp_auto(mrp_free_str) char *what =
        name && by_tag ? mrp_strf("%s (%s)", name, m->digest) : mrp_take_str(&name);
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    int rc = manifest_call(&resp, repo, "PUT", ref, what, m, tally, err);
    if (rc)
        return rc;
    if (resp.status < 200 || resp.status > 299) {
        host_error(&resp, repo->host, what, err);
        if (is_immutable(&resp, err)) {
            err->code = MRP_E_CONFLICT;
            return mrp_hint(err, "the tag is immutable there and holds another image: use a new "
                                 "tag, or delete the old image");
        }
        if (is_missing_part(err))
            err->code = MRP_E_NOTFOUND;
        return err->code;
    }
    const char *got = mrp_headers_get(&resp.headers, "Docker-Content-Digest");
    if (got && strcmp(got, m->digest) != 0)
        return mrp_fail(err, MRP_E_REMOTE, "%s: the registry stored %.80s instead of %s", what, got,
                        m->digest);
    if (subject_done)
        *subject_done = mrp_headers_get(&resp.headers, "OCI-Subject") != NULL;
    return 0;
}

int registry_delete(struct repo *repo, const char *ref, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *what = what_text("delete", repo, ref);
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    int rc = manifest_call(&resp, repo, "DELETE", ref, what, NULL, NULL, err);
    if (rc)
        return rc;
    if (resp.status == 404 || (resp.status >= 200 && resp.status < 300))
        return 0;
    return host_error(&resp, repo->host, what, err);
}
