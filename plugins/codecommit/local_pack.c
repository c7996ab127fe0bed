/* Packs out of and into a local repository: libgit2's packbuilder and indexer. */
#include "libgit.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <string.h>

struct out {
    struct mrp_hub *hub;
    struct mrp_error *err;
};

static int out_piece(void *data, size_t len, void *arg)
{
    struct out *o = arg;
    return mrp_hub_put(o->hub, data, len, o->err) ? GIT_EUSER : 0;
}

/* Tags on the way are packed; a commit goes to the walk, anything else is packed whole. */
static int
want_object(git_packbuilder *pb, git_revwalk *walk, git_repository *repo, const git_oid *id)
{
    git_object *o = NULL;
    int rc = git_object_lookup(&o, repo, id, GIT_OBJECT_ANY);
    for (int depth = 0; !rc && git_object_type(o) == GIT_OBJECT_TAG && depth < 1000; depth++) {
        git_object *next = NULL;
        rc = git_packbuilder_insert(pb, git_object_id(o), NULL);
        if (!rc)
            rc = git_tag_target(&next, (git_tag *)o);
        git_object_free(o);
        o = next;
    }
    if (!rc) {
        switch (git_object_type(o)) {
        case GIT_OBJECT_COMMIT:
            rc = git_revwalk_push(walk, git_object_id(o));
            break;
        case GIT_OBJECT_TREE:
            rc = git_packbuilder_insert_tree(pb, git_object_id(o));
            break;
        default:
            rc = git_packbuilder_insert(pb, git_object_id(o), NULL);
        }
    }
    git_object_free(o);
    return rc;
}

static void hide_object(git_revwalk *walk, git_repository *repo, const git_oid *id)
{
    git_object *o = NULL, *commit = NULL;
    if (git_object_lookup(&o, repo, id, GIT_OBJECT_ANY) == 0 &&
        git_object_peel(&commit, o, GIT_OBJECT_COMMIT) == 0)
        git_revwalk_hide(walk, git_object_id(commit));
    git_object_free(commit);
    git_object_free(o);
}

static int
fill(git_packbuilder *pb, git_revwalk *walk, git_repository *repo, const struct mrp_pull *pull)
{
    git_oid id;
    int rc = 0;
    for (size_t i = 0; i < pull->wants->count && !rc; i++) {
        git_oid_fromraw(&id, pull->wants->list[i].b);
        rc = want_object(pb, walk, repo, &id);
    }
    for (size_t i = 0; i < pull->haves->count && !rc; i++) {
        git_oid_fromraw(&id, pull->haves->list[i].b);
        hide_object(walk, repo, &id);
    }
    return rc ? rc : git_packbuilder_insert_walk(pb, walk);
}

int mrp_local_pull(struct mrp_end *end,
                   const struct mrp_pull *pull,
                   struct mrp_hub *hub,
                   struct mrp_error *err)
{
    mrp_auto(mrp_git2_free_repository) git_repository *repo = NULL;
    git_packbuilder *pb = NULL;
    git_revwalk *walk = NULL;
    struct mrp_error why = {0};
    struct out out = {hub, &why};
    int code = mrp_git2_open(&repo, end, err);
    if (code)
        return code;
    int rc = git_packbuilder_new(&pb, repo);
    if (!rc)
        rc = git_revwalk_new(&walk, repo);
    if (!rc) {
        git_packbuilder_set_threads(pb, 0);
        rc = fill(pb, walk, repo, pull);
    }
    if (!rc)
        rc = git_packbuilder_foreach(pb, out_piece, &out);
    if (rc && why.code) {
        *err = why;
        code = why.code;
    } else if (rc) {
        code = mrp_git2_fail(rc, "pack the objects of", end->text, err);
    }
    git_revwalk_free(walk);
    git_packbuilder_free(pb);
    return code ? code : mrp_hub_close(hub, err);
}

static int append_all(struct mrp_end *end,
                      git_odb_writepack *pack,
                      struct mrp_hub_reader *reader,
                      uint64_t *bytes,
                      struct mrp_error *err)
{
    git_indexer_progress stats = {0};
    for (;;) {
        const char *data;
        size_t len;
        int rc = mrp_hub_peek(&data, &len, reader, err);
        if (rc)
            return rc;
        if (!len)
            break;
        rc = pack->append(pack, data, len, &stats);
        if (rc)
            return mrp_git2_fail(rc, "index the pack for", end->text, err);
        mrp_hub_took(reader, len);
        *bytes += len;
    }
    int rc = pack->commit(pack, &stats);
    return rc ? mrp_git2_fail(rc, "index the pack for", end->text, err) : MRP_OK;
}

int mrp_local_store(struct mrp_end *end,
                    git_repository *repo,
                    struct mrp_hub_reader *reader,
                    uint64_t *bytes,
                    struct mrp_error *err)
{
    git_odb *odb = NULL;
    git_odb_writepack *pack = NULL;
    int code = mrp_hub_wait_start(reader, err);
    if (code || mrp_hub_objects(reader->hub) == 0)
        return code;
    int rc = git_repository_odb(&odb, repo);
    if (!rc)
        rc = git_odb_write_pack(&pack, odb, NULL, NULL);
    code = rc ? mrp_git2_fail(rc, "write a pack into", end->text, err)
              : append_all(end, pack, reader, bytes, err);
    if (pack)
        pack->free(pack);
    git_odb_free(odb);
    return code;
}
