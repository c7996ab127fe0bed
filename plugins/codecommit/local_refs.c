/* Refs of a local repository: the list, and updates under locks with their old value checked. */
#include "libgit.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PACKED_FROM = 16 }; /* as many new refs as one file are cheaper than as single files */

static void free_ref(git_reference **r)
{
    git_reference_free(*r);
    *r = NULL;
}

/* The id of a ref, through symbolic ones; false: it points to nothing. */
static bool ref_id(struct mrp_oid *out, git_repository *repo, const git_reference *ref)
{
    git_oid id;
    const git_oid *direct = git_reference_target(ref);
    if (!direct) {
        if (git_reference_name_to_id(&id, repo, git_reference_name(ref)))
            return false;
        direct = &id;
    }
    memcpy(out->b, direct->id, MRP_OID_BYTES);
    return true;
}

static int
read_refs(struct mrp_refs *out, git_repository *repo, struct mrp_end *end, struct mrp_error *err)
{
    git_reference_iterator *it = NULL;
    git_reference *ref = NULL;
    int rc = git_reference_iterator_new(&it, repo);
    if (rc)
        return mrp_git2_fail(rc, "list the refs of", end->text, err);
    int code = MRP_OK;
    while (!code && (rc = git_reference_next(&ref, it)) == 0) {
        struct mrp_oid id;
        const char *name = git_reference_name(ref);
        if (mrp_ref_name_ok(name, strlen(name)) && ref_id(&id, repo, ref))
            code = mrp_refs_add(out, name, strlen(name), &id, err);
        git_reference_free(ref);
        ref = NULL;
    }
    git_reference_iterator_free(it);
    if (!code && rc != GIT_ITEROVER)
        code = mrp_git2_fail(rc, "list the refs of", end->text, err);
    return code ? code : mrp_refs_finish(out, err);
}

int mrp_local_list(struct mrp_end *end,
                   struct mrp_refs *out,
                   enum mrp_service service,
                   struct mrp_error *err)
{
    mrp_auto(mrp_git2_free_repository) git_repository *repo = NULL;
    mrp_auto(free_ref) git_reference *head = NULL;
    (void)service;
    int rc = mrp_git2_open(&repo, end, err);
    if (!rc)
        rc = read_refs(out, repo, end, err);
    if (rc)
        return rc;
    out->shallow = git_repository_is_shallow(repo) == 1;
    out->caps = mrp_strdup(" report-status delete-refs ofs-delta atomic side-band-64k thin-pack");
    const char *target =
        git_reference_lookup(&head, repo, "HEAD") == 0 ? git_reference_symbolic_target(head) : NULL;
    if (target && mrp_refs_find(out, target))
        out->head = mrp_strdup(target);
    return out->caps ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "list the refs of %s", end->text);
}

/* ---- updates ---- */

static void refuse(struct mrp_update *u, const char *words)
{
    u->state = MRP_UPDATE_REFUSED;
    free(u->words);
    u->words = mrp_strdup(words);
}

static const char *last_words(void)
{
    const git_error *last = git_error_last();
    return last && last->message ? last->message : "libgit2 gives no reason";
}

/* Is the ref still what the plan saw? */
static bool unmoved(git_repository *repo, const struct mrp_update *u)
{
    git_oid id;
    if (git_reference_name_to_id(&id, repo, u->name))
        return mrp_oid_is_zero(&u->old);
    return memcmp(id.id, u->old.b, MRP_OID_BYTES) == 0;
}

static int put_one(git_transaction *tx, git_repository *repo, git_odb *odb, struct mrp_update *u)
{
    git_oid id;
    if (git_transaction_lock_ref(tx, u->name)) {
        refuse(u, last_words());
        return -1;
    }
    if (!unmoved(repo, u)) {
        refuse(u, "the ref moved meanwhile");
        return -1;
    }
    if (mrp_oid_is_zero(&u->now)) {
        if (git_transaction_remove(tx, u->name) == 0)
            return 0;
        refuse(u, last_words());
        return -1;
    }
    git_oid_fromraw(&id, u->now.b);
    if (!git_odb_exists(odb, &id)) {
        refuse(u, "its object did not come along");
        return -1;
    }
    if (git_transaction_set_target(tx, u->name, &id, NULL, "mirror") == 0)
        return 0;
    refuse(u, last_words());
    return -1;
}

/* list[first, end) in one transaction. */
static int transact(struct mrp_end *end,
                    git_repository *repo,
                    struct mrp_push *push,
                    size_t first,
                    size_t stop,
                    struct mrp_error *err)
{
    git_transaction *tx = NULL;
    git_odb *odb = NULL;
    bool refused = false;
    if (first == stop)
        return MRP_OK;
    int rc = git_repository_odb(&odb, repo);
    if (!rc)
        rc = git_transaction_new(&tx, repo);
    for (size_t i = first; i < stop && !rc; i++)
        refused |= put_one(tx, repo, odb, &push->plan->list[i]) != 0;
    bool drop = push->atomic && refused;
    if (!rc && !drop)
        rc = git_transaction_commit(tx);
    if (rc)
        mrp_git2_fail(rc, "update the refs of", end->text, err);
    for (size_t i = first; i < stop; i++) {
        struct mrp_update *u = &push->plan->list[i];
        if (u->state == MRP_UPDATE_PENDING && drop)
            refuse(u, "another ref of the same atomic push was refused");
        else if (u->state == MRP_UPDATE_PENDING && !rc)
            u->state = MRP_UPDATE_DONE;
    }
    git_transaction_free(tx);
    git_odb_free(odb);
    return rc ? err->code : MRP_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct mrp_update *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Into a repository without refs: one sorted file, as git clone writes it. */
static int
write_packed(struct mrp_end *end, const char *dir, struct mrp_push *push, struct mrp_error *err)
{
    size_t count = push->end - push->first;
    mrp_auto(mrp_free_str) char *path = mrp_strf("%spacked-refs", dir);
    mrp_auto(mrp_free_str) char *lock = mrp_strf("%spacked-refs.lock", dir);
    const struct mrp_update **sorted = calloc(count, sizeof(*sorted));
    if (!path || !lock || !sorted) {
        free(sorted);
        return mrp_fail(err, MRP_E_NOMEM, "write the refs of %s", end->text);
    }
    for (size_t i = 0; i < count; i++)
        sorted[i] = &push->plan->list[push->first + i];
    qsort(sorted, count, sizeof(*sorted), by_name);
    int fd = open(lock, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    int rc = f ? MRP_OK : mrp_fail_errno(err, "lock %s", path);
    if (!f && fd >= 0) {
        close(fd);
        unlink(lock);
    }
    if (f) {
        fputs("# pack-refs with: sorted \n", f);
        char hex[MRP_OID_HEX + 1];
        for (size_t i = 0; i < count; i++)
            fprintf(f, "%s %s\n", mrp_oid_hex(hex, &sorted[i]->now), sorted[i]->name);
        bool bad = fflush(f) || ferror(f) || fsync(fd);
        bad |= fclose(f) != 0;
        if (bad || rename(lock, path)) {
            rc = mrp_fail_errno(err, "write %s", path);
            unlink(lock);
        }
    }
    free(sorted);
    return rc;
}

static bool may_pack(git_repository *repo, const struct mrp_push *push)
{
    mrp_auto(mrp_free_str) char *packed = mrp_strf("%spacked-refs", git_repository_path(repo));
    return push->refs->count == 0 && push->plan->deletes == 0 && push->first == 0 &&
           push->end - push->first >= PACKED_FROM && packed && !mrp_exists(packed);
}

int mrp_local_update(struct mrp_end *end,
                     git_repository *repo,
                     struct mrp_push *push,
                     struct mrp_error *err)
{
    if (may_pack(repo, push)) { /* all new tips are there: mrp_local_connected */
        int rc = write_packed(end, git_repository_path(repo), push, err);
        for (size_t i = push->first; i < push->end && !rc; i++)
            push->plan->list[i].state = MRP_UPDATE_DONE;
        return rc;
    }
    /* A file cannot become a folder while it is locked: deletes are over before creates begin. */
    size_t middle = push->plan->deletes > push->first ? push->plan->deletes : push->first;
    if (middle > push->end)
        middle = push->end;
    if (push->atomic && !push->plan->collides)
        return transact(end, repo, push, push->first, push->end, err);
    int rc = transact(end, repo, push, push->first, middle, err);
    return rc ? rc : transact(end, repo, push, middle, push->end, err);
}
