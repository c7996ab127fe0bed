/* Before refs move: is everything there that their new values reach? As git checks after a fetch.
 */
#include "libgit.h"
#include "links.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <git2/sys/odb_backend.h>
#include <string.h>

/* What to look through, in the repository's own objects; grows while it is looked through. */
struct walk {
    struct mrp_end *end;
    git_repository *repo;
    git_odb *odb;
    struct mrp_links seen;
    size_t next;
    bool strict; /* look at the kind of blobs too, not only that they are there */
    struct mrp_error *err;
};

static void walk_done(struct walk *w)
{
    git_odb_free(w->odb);
    mrp_links_done(&w->seen);
}

static void free_walk(git_revwalk **w)
{
    git_revwalk_free(*w);
    *w = NULL;
}

static void free_object(git_odb_object **o)
{
    git_odb_object_free(*o);
    *o = NULL;
}

static int missing(const struct walk *w, const unsigned char *id)
{
    char hex[MRP_OID_HEX + 1];
    struct mrp_oid oid;
    memcpy(oid.b, id, MRP_OID_BYTES);
    mrp_fail(w->err, MRP_E_REMOTE, "%s: the pack is incomplete: object %s did not come along",
             w->end->text, mrp_oid_hex(hex, &oid));
    return mrp_hint(w->err, "is the source sound? look with git fsck there");
}

static int on_link(void *arg, const unsigned char *id, enum mrp_kind kind)
{
    struct walk *w = arg;
    struct mrp_oid oid;
    memcpy(oid.b, id, MRP_OID_BYTES);
    return mrp_links_add(&w->seen, &oid, kind, w->err);
}

/* A tree's link must be a tree: what is found under its id decides. */
static int read_links(struct walk *w, const git_oid *id, enum mrp_kind kind)
{
    mrp_auto(free_object) git_odb_object *o = NULL;
    if (git_odb_read(&o, w->odb, id))
        return missing(w, id->id);
    enum mrp_kind found = (enum mrp_kind)git_odb_object_type(o);
    if (kind != MRP_KIND_ANY && found != kind)
        return missing(w, id->id);
    if (found == MRP_KIND_COMMIT && kind == MRP_KIND_ANY)
        return MRP_OK; /* the history's turn comes */
    int rc = mrp_object_links(found, git_odb_object_data(o), git_odb_object_size(o),
                              (struct mrp_view){0}, on_link, w);
    return rc == -1 ? missing(w, id->id) : rc;
}

static bool has_blob(const struct walk *w, const git_oid *id)
{
    size_t size;
    git_object_t type;
    if (!w->strict)
        return git_odb_exists_ext(w->odb, id, GIT_ODB_LOOKUP_NO_REFRESH) == 1;
    return git_odb_read_header(&size, &type, w->odb, id) == 0 && type == GIT_OBJECT_BLOB;
}

/* Trees, tags and blobs, to their end. */
static int walk_objects(struct walk *w)
{
    int rc = MRP_OK;
    for (; w->next < w->seen.count && !rc; w->next++) {
        const struct mrp_link link = w->seen.list[w->next];
        git_oid id;
        git_oid_fromraw(&id, link.id.b);
        if (link.kind == MRP_KIND_COMMIT)
            continue;
        if (link.kind != MRP_KIND_BLOB)
            rc = read_links(w, &id, link.kind);
        else if (!has_blob(w, &id))
            rc = missing(w, link.id.b);
    }
    return rc;
}

/* What the repository's refs reach is whole already. */
static void hide_known(git_revwalk *revs, const struct mrp_push *push)
{
    git_oid id;
    for (size_t i = 0; i < push->refs->count; i++) {
        git_oid_fromraw(&id, push->refs->list[i].id.b);
        git_revwalk_hide(revs, &id); /* fails for tags of blobs: nothing is lost */
    }
    for (size_t i = 0; i < push->first; i++) {
        const struct mrp_update *u = &push->plan->list[i];
        git_oid_fromraw(&id, u->now.b);
        if (u->state == MRP_UPDATE_DONE && !mrp_oid_is_zero(&u->now))
            git_revwalk_hide(revs, &id);
    }
}

/* All commits on the way, and with each its tree; true in *any if there was one to begin with. */
static int walk_history(struct walk *w, const struct mrp_push *push)
{
    mrp_auto(free_walk) git_revwalk *revs = NULL;
    git_oid id;
    bool any = false;
    if (git_revwalk_new(&revs, w->repo))
        return mrp_git2_fail(-1, "walk the history of", w->end->text, w->err);
    for (size_t i = 0; i < w->seen.count; i++) {
        const struct mrp_link *link = &w->seen.list[i];
        git_oid_fromraw(&id, link->id.b);
        size_t size;
        git_object_t type = GIT_OBJECT_COMMIT;
        if (link->kind == MRP_KIND_ANY && git_odb_read_header(&size, &type, w->odb, &id))
            return missing(w, id.id);
        if ((link->kind != MRP_KIND_ANY && link->kind != MRP_KIND_COMMIT) ||
            type != GIT_OBJECT_COMMIT)
            continue;
        if (git_revwalk_push(revs, &id))
            return missing(w, id.id);
        any = true;
    }
    if (!any)
        return MRP_OK;
    hide_known(revs, push);
    int rc = 0, code = MRP_OK;
    while (!code && (rc = git_revwalk_next(&id, revs)) == 0)
        code = read_links(w, &id, MRP_KIND_COMMIT);
    if (!code && rc != GIT_ITEROVER) {
        mrp_git2_fail(rc, "the pack is incomplete, walk the history of", w->end->text, w->err);
        w->err->code = MRP_E_REMOTE;
        code = MRP_E_REMOTE;
    }
    return code;
}

/* Everything that `start` reaches and that no ref reached before. */
static int walk_from(const struct mrp_links *start,
                     struct mrp_end *end,
                     git_repository *repo,
                     const struct mrp_push *push,
                     bool strict,
                     struct mrp_error *err)
{
    mrp_auto(walk_done) struct walk w = {.end = end, .repo = repo, .strict = strict, .err = err};
    if (!start->count)
        return MRP_OK;
    if (git_repository_odb(&w.odb, repo))
        return mrp_git2_fail(-1, "open the objects of", end->text, err);
    int rc = MRP_OK;
    for (size_t i = 0; i < start->count && !rc; i++)
        rc = mrp_links_add(&w.seen, &start->list[i].id, start->list[i].kind, err);
    if (!rc)
        rc = walk_objects(&w);
    if (!rc)
        rc = walk_history(&w, push);
    return rc ? rc : walk_objects(&w);
}

/* What is new: neither an old ref nor the tip of a batch before. */
static int new_tips(struct mrp_oids *out,
                    struct mrp_oids *known,
                    const struct mrp_push *push,
                    struct mrp_error *err)
{
    int rc = mrp_refs_all_oids(known, push->refs, err);
    for (size_t i = 0; i < push->first && !rc; i++)
        if (push->plan->list[i].state == MRP_UPDATE_DONE)
            rc = mrp_oids_add(known, &push->plan->list[i].now, err);
    mrp_oids_sort(known);
    for (size_t i = push->first; i < push->end && !rc; i++) {
        const struct mrp_oid *now = &push->plan->list[i].now;
        if (!mrp_oid_is_zero(now) && !mrp_oids_has(known, now))
            rc = mrp_oids_add(out, now, err);
    }
    return rc;
}

/* Links to what is not known to be whole. */
static int unknown_links(struct mrp_links *out,
                         const struct mrp_links *links,
                         const struct mrp_oids *known,
                         struct mrp_error *err)
{
    int rc = MRP_OK;
    for (size_t i = 0; i < links->count && !rc; i++)
        if (!mrp_oids_has(known, &links->list[i].id))
            rc = mrp_links_add(out, &links->list[i].id, links->list[i].kind, err);
    return rc;
}

int mrp_local_connected(struct mrp_end *end,
                        git_repository *repo,
                        const struct mrp_push *push,
                        const char *pack,
                        struct mrp_error *err)
{
    mrp_auto(mrp_oids_done) struct mrp_oids tips = {0};
    mrp_auto(mrp_oids_done) struct mrp_oids known = {0};
    mrp_auto(mrp_links_done) struct mrp_links outside = {0};
    mrp_auto(mrp_links_done) struct mrp_links start = {0};
    mrp_auto(mrp_links_done) struct mrp_links exact = {0};
    int rc = new_tips(&tips, &known, push, err);
    for (size_t i = 0; i < tips.count && !rc; i++)
        rc = mrp_links_add(&exact, &tips.list[i], MRP_KIND_ANY, err);
    if (!rc && !pack)
        return walk_from(&exact, end, repo, push, true, err);
    if (!rc)
        rc = mrp_pack_links(&outside, &tips, pack, err);
    if (!rc)
        rc = unknown_links(&start, &outside, &known, err);
    if (!rc)
        rc = walk_from(&start, end, repo, push, false, err);
    if (rc != MRP_E_REMOTE)
        return rc;
    /* The pack may hold more than the refs need; only what they reach must be whole. */
    *err = (struct mrp_error){0};
    return walk_from(&exact, end, repo, push, true, err);
}
