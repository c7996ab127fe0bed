/* The manifest operations of an end of a copy, whatever it is. */
#include "end.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdio.h>
#include <string.h>

int end_head(struct found *out,
             struct end *end,
             const char *ref,
             struct tally *tally,
             struct mrp_error *err)
{
    if (end->repo)
        return registry_head(out, end->repo, ref, tally, err);
    *out = (struct found){0};
    out->exists = layout_find(out->digest, end->layout, ref);
    return 0;
}

int end_get(struct manifest **out,
            struct end *end,
            const char *ref,
            const char *digest,
            struct tally *tally,
            struct mrp_error *err)
{
    if (end->repo)
        return registry_get(out, end->repo, ref, digest, tally, err);
    char found[DIGEST_SIZE];
    if (!layout_find(found, end->layout, digest ? digest : ref))
        return layout_lacks(end->layout, digest ? digest : ref, err);
    return layout_get(out, end->layout, found, err);
}

int end_put(struct end *end,
            const char *ref,
            const struct manifest *m,
            bool root,
            bool *subject_done,
            struct tally *tally,
            struct mrp_error *err)
{
    if (end->repo)
        return registry_put(end->repo, ref, m, subject_done, tally, err);
    if (subject_done)
        *subject_done = false;
    return layout_put(end->layout, m, digest_valid(ref) || !*ref ? NULL : ref, root, err);
}

const char *end_show(char *buf, size_t len, const struct end *end)
{
    if (end->repo)
        snprintf(buf, len, "%s/%s", end->repo->host->name, end->repo->name);
    else
        snprintf(buf, len, "%s", end->layout->shown);
    return buf;
}

char *end_ref(const struct end *end, const char *ref)
{
    char name[600];
    end_show(name, sizeof name, end);
    return mrp_strf("%s%s%s", name, !*ref ? "" : digest_valid(ref) ? "@" : ":", ref);
}

bool end_same(const struct end *a, const struct end *b)
{
    return a->repo == b->repo && a->layout == b->layout;
}
