/* The registry protocol for blobs: existence, upload sessions, the streaming PUT. */
#include "registry.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { PROBE_BYTES = 8 << 20 };

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "registry request");
}

static char *what_text(const char *verb, const struct repo *repo, const char *digest)
{
    return mrp_strf("%s %s at %s/%s", verb, digest, repo->host->name, repo->name);
}

void upload_done(struct upload *u)
{
    free(u->url);
    memset(u, 0, sizeof *u);
}

int registry_has_blob(bool *out,
                      struct repo *repo,
                      const char *digest,
                      struct tally *tally,
                      struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = mrp_strf("/v2/%s/blobs/%s", repo->name, digest);
    mrp_auto(mrp_free_str) char *what = what_text("blob", repo, digest);
    if (!path || !what)
        return nomem(err);
    const struct call c = {.api = API_READ,
                           .method = "HEAD",
                           .path = path,
                           .repo = repo->name,
                           .flags = MRP_HTTP_NO_REDIRECT,
                           .what = what,
                           .tally = tally};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    int rc = host_do(&resp, repo->host, &c, err);
    if (rc)
        return rc;
    if (resp.status >= 400 && resp.status != 404)
        return host_error(&resp, repo->host, what, err);
    *out = resp.status != 404;
    return 0;
}

static int post(struct upload *out,
                struct repo *repo,
                const char *digest,
                const char *from,
                struct tally *tally,
                struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path =
        from ? mrp_strf("/v2/%s/blobs/uploads/?mount=%s&from=%s", repo->name, digest, from)
             : mrp_strf("/v2/%s/blobs/uploads/", repo->name);
    mrp_auto(mrp_free_str) char *what = what_text("upload of", repo, digest);
    if (!path || !what)
        return nomem(err);
    bool other = from && strcmp(from, repo->name) != 0;
    /* A session that nobody uses does no harm, so a lost answer may be asked for again. */
    const struct call c = {.api = API_POST,
                           .method = "POST",
                           .path = path,
                           .repo = repo->name,
                           .from = other ? from : NULL,
                           .push = true,
                           .flags = MRP_HTTP_IDEMPOTENT | MRP_HTTP_NO_REDIRECT,
                           .what = what,
                           .tally = tally};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    int rc = host_do(&resp, repo->host, &c, err);
    if (rc)
        return rc;
    if (resp.status == 201) {
        repo->host->mount_works = true;
        out->present = true;
        out->mounted = other;
        return 0;
    }
    if (resp.status == 202 && other)
        repo->host->no_mounts = true;
    const char *location = mrp_headers_get(&resp.headers, "Location");
    if (resp.status < 200 || resp.status > 299)
        return host_error(&resp, repo->host, what, err);
    if (!location)
        return mrp_fail(err, MRP_E_REMOTE, "%s: the registry gave no Location", what);
    mrp_auto(mrp_free_str) char *url = mrp_strf("%s%s", repo->host->base, path);
    return url ? host_location(&out->url, &out->own, repo->host, url, location, err) : nomem(err);
}

int registry_upload(struct upload *out,
                    struct repo *repo,
                    const char *digest,
                    int64_t size,
                    const char *from,
                    struct tally *tally,
                    struct mrp_error *err)
{
    struct host *h = repo->host;
    if (h->head_first && !repo->fresh) {
        int rc = registry_has_blob(&out->present, repo, digest, tally, err);
        if (rc || out->present)
            return rc;
    }
    /* Mounting from the repository itself answers 201 if the blob is there: one request is the
     * question and, if not, the session. ECR is asked for a hundred at once before. */
    const char *mount = from;
    if (!mount && !h->ecr && !repo->fresh && !h->head_first)
        mount = repo->name;
    int rc = post(out, repo, digest, mount, tally, err);
    if (rc || out->present || h->mount_works || h->ecr || repo->fresh || from || h->probed ||
        size < PROBE_BYTES)
        return rc;
    /* Not every registry does that: find out before sending many bytes for nothing, once. */
    h->probed = true;
    rc = registry_has_blob(&out->present, repo, digest, tally, err);
    h->head_first = out->present;
    return rc;
}

int registry_put_blob(struct repo *repo,
                      const struct upload *u,
                      const char *digest,
                      const struct mrp_http_source *source,
                      struct mrp_http_call **handle,
                      struct tally *tally,
                      struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *url =
        mrp_strf("%s%sdigest=%s", u->url, strchr(u->url, '?') ? "&" : "?", digest);
    mrp_auto(mrp_free_str) char *what = what_text("put blob", repo, digest);
    if (!url || !what)
        return nomem(err);
    /* A session is spent after a failed PUT: the caller begins anew, the engine must not repeat. */
    const struct call c = {.api = API_PUT,
                           .method = "PUT",
                           .url = url,
                           .repo = repo->name,
                           .push = true,
                           .bare = !u->own,
                           .type = "application/octet-stream",
                           .source = source,
                           .handle = handle,
                           .flags = MRP_HTTP_NO_RETRY | MRP_HTTP_NO_REDIRECT,
                           .what = what,
                           .tally = tally};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    int rc = host_do(&resp, repo->host, &c, err);
    if (rc)
        return rc;
    if (resp.status < 200 || resp.status > 299)
        return host_error(&resp, repo->host, what, err);
    const char *got = mrp_headers_get(&resp.headers, "Docker-Content-Digest");
    if (got && digest_valid(got) && strcmp(got, digest) != 0)
        return mrp_fail(err, MRP_E_REMOTE, "%s: the registry stored %s", what, got);
    if (tally)
        tally->bytes += (uint64_t)source->length;
    return 0;
}

bool registry_may_retry(int rc, const struct mrp_error *err)
{
    if (rc == MRP_E_NET || rc == MRP_E_TIMEOUT)
        return true;
    if (rc != MRP_E_REMOTE && rc != MRP_E_NOTFOUND && rc != MRP_E_AUTH)
        return false;
    if (!strcmp(err->api, "BLOB_UPLOAD_UNKNOWN") || !strcmp(err->api, "BLOB_UPLOAD_INVALID") ||
        !strcmp(err->api, "DIGEST_INVALID"))
        return true;
    /* An ECR token that got too old: it was forgotten, the next session has a new one. */
    if (err->upstream == 403 && strstr(err->msg, "expired"))
        return true;
    return err->upstream == 401 || err->upstream == 408 || err->upstream == 416 ||
           err->upstream == 429 || err->upstream >= 500;
}
