/* Packs out of and into a local repository: libgit2's packbuilder and indexer. */
#include "aside.h"
#include "libgit.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 128 << 10 };

struct out {
    struct mrp_end *end;
    struct mrp_hub *hub;
    struct mrp_buf piece; /* objects are small: many at once go to the hub */
    struct mrp_error *err;
};

static int out_flush(struct out *o)
{
    int rc = mrp_aside_hub_put(o->end, o->hub, mrp_buf_str(&o->piece), o->piece.len, o->err);
    mrp_buf_reset(&o->piece);
    return rc;
}

static int out_piece(void *data, size_t len, void *arg)
{
    struct out *o = arg;
    if (o->piece.len + len <= PIECE)
        return mrp_buf_add(&o->piece, data, len) ? GIT_EUSER : 0;
    if (out_flush(o))
        return GIT_EUSER;
    return len <= PIECE ? mrp_buf_add(&o->piece, data, len)
                        : mrp_aside_hub_put(o->end, o->hub, data, len, o->err);
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
    struct out out = {.end = end, .hub = hub, .piece = MRP_BUF_INIT(PIECE), .err = &why};
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
    if (!rc)
        rc = out_flush(&out);
    mrp_buf_done(&out.piece);
    if (rc && why.code) {
        *err = why;
        code = why.code;
    } else if (rc) {
        code = mrp_git2_fail(rc, "pack the objects of", end->text, err);
    }
    git_revwalk_free(walk);
    git_packbuilder_free(pb);
    return code ? code : mrp_aside_hub_close(end, hub, err);
}

/* A pack that nobody sees yet: in a folder that git clears away should we be stopped. */
struct incoming {
    char *objects; /* the repository's, with a slash at the end */
    char *dir;
    char *pack; /* without ".pack", once it is written */
    git_odb *odb;
    git_indexer *indexer;
    pthread_t freeing; /* the indexer, when `freed_aside` */
    bool freed_aside;
};

static void incoming_done(struct incoming *in)
{
    struct mrp_error ignored;
    if (in->freed_aside)
        pthread_join(in->freeing, NULL);
    git_indexer_free(in->indexer);
    git_odb_free(in->odb);
    if (in->dir)
        mrp_remove_tree(in->dir, &ignored);
    free(in->objects);
    free(in->dir);
    free(in->pack);
}

static void *free_indexer(void *arg)
{
    git_indexer_free(arg);
    return NULL;
}

/* It is made of some pieces for each object, which takes a twentieth of all the time to give back:
 * that goes on beside the look through the pack. */
static void free_aside(struct incoming *in)
{
    in->freed_aside = pthread_create(&in->freeing, NULL, free_indexer, in->indexer) == 0;
    if (in->freed_aside)
        in->indexer = NULL;
}

static int
incoming_open(struct incoming *in, git_repository *repo, struct mrp_end *end, struct mrp_error *err)
{
    git_buf path = {0};
    git_indexer_options options;
    git_indexer_options_init(&options, GIT_INDEXER_OPTIONS_VERSION);
    if (git_repository_item_path(&path, repo, GIT_REPOSITORY_ITEM_OBJECTS) == 0)
        in->objects = mrp_strdup(path.ptr);
    git_buf_dispose(&path);
    in->dir = in->objects ? mrp_strf("%stmp_objdir-incoming-XXXXXX", in->objects) : NULL;
    if (!in->dir)
        return mrp_fail(err, MRP_E_NOMEM, "write a pack into %s", end->text);
    if (!mkdtemp(in->dir)) {
        mrp_fail_errno(err, "write into %s", end->text);
        mrp_free_str(&in->dir);
        return err->code;
    }
    mrp_auto(mrp_free_str) char *dir = mrp_strf("%s/pack", in->dir);
    if (!dir || mkdir(dir, 0755))
        return mrp_fail_errno(err, "write into %s", end->text);
    int rc = git_repository_odb(&in->odb, repo);
    if (!rc)
        rc = git_indexer_new(&in->indexer, dir, 0, in->odb, &options);
    return rc ? mrp_git2_fail(rc, "write a pack into", end->text, err) : MRP_OK;
}

static int incoming_fill(struct incoming *in,
                         struct mrp_end *end,
                         struct mrp_hub_reader *reader,
                         struct mrp_push *push,
                         struct mrp_error *err)
{
    git_indexer_progress stats = {0};
    mrp_auto(mrp_free_str) char *piece = malloc(PIECE);
    if (!piece)
        return mrp_fail(err, MRP_E_NOMEM, "index a pack");
    int rc;
    for (size_t len = 1; len;) {
        int code = mrp_aside_hub_take(end, reader, piece, PIECE, &len, err);
        if (code)
            return code;
        rc = len ? git_indexer_append(in->indexer, piece, len, &stats) : 0;
        if (rc)
            return mrp_git2_fail(rc, "index the pack for", end->text, err);
        push->sent_bytes += len;
    }
    rc = git_indexer_commit(in->indexer, &stats);
    if (rc)
        return mrp_git2_fail(rc, "index the pack for", end->text, err);
    in->pack = mrp_strf("%s/pack/pack-%s", in->dir, git_indexer_name(in->indexer));
    free_aside(in);
    /* Deeper looks than ours read it through the object database. */
    rc = in->pack ? git_odb_add_disk_alternate(in->odb, in->dir) : -1;
    return rc ? mrp_git2_fail(rc, "read the new pack of", end->text, err) : MRP_OK;
}

static int publish_one(const struct incoming *in, const char *tail)
{
    mrp_auto(mrp_free_str) char *from = mrp_strf("%s.%s", in->pack, tail);
    mrp_auto(mrp_free_str) char *to =
        mrp_strf("%spack/%s.%s", in->objects, mrp_basename(in->pack), tail);
    mrp_auto(mrp_close_fd) int fd = from ? open(from, O_RDONLY | O_CLOEXEC) : -1;
    return fd >= 0 && to && fsync(fd) == 0 ? rename(from, to) : -1;
}

/* Make the pack part of the repository; its index goes last. */
static int publish(const struct incoming *in, struct mrp_end *end, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *dir = mrp_strf("%spack", in->objects);
    if (!dir || (mkdir(dir, 0755) && errno != EEXIST) || publish_one(in, "pack") ||
        publish_one(in, "idx"))
        return mrp_fail_errno(err, "put a pack into %s", end->text);
    git_odb_refresh(in->odb);
    return MRP_OK;
}

int mrp_local_store(struct mrp_end *end,
                    git_repository *repo,
                    struct mrp_hub_reader *reader,
                    struct mrp_push *push,
                    struct mrp_error *err)
{
    mrp_auto(incoming_done) struct incoming in = {0};
    int rc = reader ? mrp_aside_hub_start(end, reader, err) : MRP_OK;
    bool pack = !rc && reader && mrp_hub_objects(reader->hub);
    if (pack)
        rc = incoming_open(&in, repo, end, err);
    if (!rc && pack)
        rc = incoming_fill(&in, end, reader, push, err);
    if (!rc) {
        rc = mrp_local_connected(end, repo, push, in.pack, err);
        push->unpack_failed = rc == MRP_E_REMOTE; /* asked for once more, whole */
    }
    return rc || !pack ? rc : publish(&in, end, err);
}
