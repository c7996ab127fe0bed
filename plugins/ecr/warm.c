/* Opens connections while it is still being found out what they will carry: a handshake less to
 * wait for. */
#include "copy.h"

enum {
    DESCRIPTOR_BYTES = 160, /* the shortest usual form of one: rather too many connections */
    REQUESTS_PER_JOB = 2 /* blobs of the first manifests are asked for beside the last manifests */
};

static void warm_end(struct hub *hub, const struct end *end, size_t requests)
{
    size_t most = requests < hub->parallel ? requests : hub->parallel;
    if (end->repo && most > 1)
        mrp_http_warm(hub->http, end->repo->host->base, (unsigned)most);
}

void warm_jobs(const struct copier *c)
{
    if (c->how.dry)
        return; /* a listing may have told all */
    for (const struct route *r = c->routes; r; r = r->next) {
        warm_end(c->hub, &r->src, r->jobs * REQUESTS_PER_JOB);
        for (size_t i = 0; i < r->count; i++)
            warm_end(c->hub, &r->dst[i], r->jobs * REQUESTS_PER_JOB);
    }
}

void warm_blobs(const struct job *job, uint64_t mask)
{
    const struct route *r = job->route;
    size_t blobs = (size_t)job->manifest_bytes / DESCRIPTOR_BYTES;
    /* Most blobs of a new image under an old tag are there already. */
    for (size_t i = 0; i < r->count; i++)
        if (job->dests[i].had[0])
            return;
    warm_end(r->copier->hub, &r->src, blobs);
    for (size_t i = 0; i < r->count; i++)
        if (mask >> i & 1)
            warm_end(r->copier->hub, &r->dst[i], blobs);
}
