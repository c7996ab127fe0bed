/* The start and end of libgit2, its errors, and opening a repository. */
#include "libgit.h"

#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <string.h>

int mrp_git2_start(struct mrp_session *session, struct mrp_error *err)
{
    if (session->git2_started)
        return MRP_OK;
    int rc = git_libgit2_init();
    if (rc < 0)
        return mrp_git2_fail(rc, "start libgit2", NULL, err);
    session->git2_started = true;
    return MRP_OK;
}

void mrp_git2_stop(struct mrp_session *session)
{
    if (session->git2_started && !session->git2_left_behind)
        git_libgit2_shutdown();
    session->git2_started = false;
}

int mrp_git2_fail(int git_code, const char *what, const char *on, struct mrp_error *err)
{
    /* The message may be an older call's, so the code decides. */
    const git_error *last = git_error_last();
    enum mrp_code code = git_code == GIT_ENOTFOUND                               ? MRP_E_NOTFOUND
                         : git_code == GIT_EAUTH || git_code == GIT_ECERTIFICATE ? MRP_E_AUTH
                         : git_code == GIT_ELOCKED || git_code == GIT_EMODIFIED  ? MRP_E_CONFLICT
                         : last && last->klass == GIT_ERROR_NET                  ? MRP_E_NET
                         : last && last->klass == GIT_ERROR_SSH                  ? MRP_E_NET
                                                                                 : MRP_E_IO;
    mrp_fail(err, code, "%s%s%s: %.300s", what, on ? " " : "", on ? on : "",
             last && last->message ? last->message : "libgit2 gives no reason");
    err->upstream = git_code;
    return code;
}

void mrp_git2_free_repository(git_repository **r)
{
    git_repository_free(*r);
    *r = NULL;
}

int mrp_git2_open(git_repository **out, struct mrp_end *end, struct mrp_error *err)
{
    int rc = mrp_git2_start(end->session, err);
    if (rc)
        return rc;
    if (!mrp_exists(end->path))
        return mrp_fail(err, MRP_E_NOTFOUND, "there is no repository at %s", end->text);
    rc = git_repository_open_ext(out, end->path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
    if (rc == 0)
        return MRP_OK;
    const git_error *last = git_error_last();
    if (last && last->message && strstr(last->message, "objectformat")) {
        mrp_fail(err, MRP_E_CONFIG, "%s uses SHA-256 object ids", end->text);
        return mrp_hint(err, "only SHA-1 repositories can be mirrored");
    }
    if (rc == GIT_EOWNER) {
        mrp_git2_fail(rc, "open", end->text, err);
        return mrp_hint(err, "another user owns it: git config --global --add safe.directory PATH");
    }
    return mrp_git2_fail(rc, "open", end->text, err);
}
