/* A repository in a folder, read and written with libgit2. */
#include "aside.h"
#include "libgit.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <string.h>

static int local_push(struct mrp_end *end,
                      struct mrp_push *push,
                      struct mrp_hub_reader *reader,
                      struct mrp_error *err)
{
    mrp_auto(mrp_git2_free_repository) git_repository *repo = NULL;
    int rc = mrp_git2_open(&repo, end, err);
    if (!rc && !git_repository_is_bare(repo)) {
        mrp_fail(err, MRP_E_CONFIG, "%s is a working copy, not a bare repository", end->text);
        rc = mrp_hint(err, "mirror into a bare repository (git init --bare)");
    }
    if (!rc)
        rc = mrp_local_store(end, repo, reader, push, err);
    return rc ? rc : mrp_local_update(end, repo, push, err);
}

static int local_create(struct mrp_end *end, struct mrp_error *err)
{
    int rc = mrp_git2_start(end->session, err);
    if (rc)
        return rc;
    mrp_auto(mrp_git2_free_repository) git_repository *repo = NULL;
    git_repository_init_options options;
    git_repository_init_options_init(&options, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
    options.flags =
        GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_NO_REINIT | GIT_REPOSITORY_INIT_MKPATH;
    if (mrp_exists(end->path)) {
        mrp_fail(err, MRP_E_CONFIG, "%s is there but is no git repository", end->text);
        return mrp_hint(err, "name a folder that does not exist yet");
    }
    rc = git_repository_init_ext(&repo, end->path, &options);
    return rc ? mrp_git2_fail(rc, "create", end->text, err) : MRP_OK;
}

static int local_head(struct mrp_end *end, const char *ref, bool *changed, struct mrp_error *err)
{
    mrp_auto(mrp_git2_free_repository) git_repository *repo = NULL;
    git_reference *head = NULL;
    int rc = mrp_git2_open(&repo, end, err);
    if (rc)
        return rc;
    const char *now = NULL;
    if (git_reference_lookup(&head, repo, "HEAD") == 0)
        now = git_reference_symbolic_target(head);
    *changed = !mrp_streq(now, ref);
    git_reference_free(head);
    rc = *changed ? git_repository_set_head(repo, ref) : 0;
    return rc ? mrp_git2_fail(rc, "set HEAD of", end->text, err) : MRP_OK;
}

static int local_contains(struct mrp_end *end,
                          bool *yes,
                          const struct mrp_oid *now,
                          const struct mrp_oid *old,
                          struct mrp_error *err)
{
    mrp_auto(mrp_git2_free_repository) git_repository *repo = NULL;
    git_oid a, b;
    int rc = mrp_git2_open(&repo, end, err);
    if (rc)
        return rc;
    git_oid_fromraw(&a, now->b);
    git_oid_fromraw(&b, old->b);
    rc = git_graph_descendant_of(repo, &a, &b);
    *yes = rc == 1;
    if (rc < 0 && rc != GIT_ENOTFOUND)
        return mrp_git2_fail(rc, "walk the history of", end->text, err);
    return MRP_OK;
}

static const struct mrp_end_ops blocking = {.name = "local",
                                            .list = mrp_local_list,
                                            .pull = mrp_local_pull,
                                            .push = local_push,
                                            .create = local_create,
                                            .set_head = local_head,
                                            .contains = local_contains};

const struct mrp_end_ops mrp_end_local = {.name = "local",
                                          .list = mrp_aside_list,
                                          .pull = mrp_aside_pull,
                                          .push = mrp_aside_push,
                                          .create = mrp_aside_create,
                                          .set_head = mrp_aside_set_head,
                                          .contains = mrp_aside_contains,
                                          .blocking = &blocking};
