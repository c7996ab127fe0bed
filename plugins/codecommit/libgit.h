/* libgit2, started when the first end needs it. */
#ifndef CODECOMMIT_LIBGIT_H
#define CODECOMMIT_LIBGIT_H

#include "end.h"

#include <git2.h>

/** Once per session; ended by mrp_git2_stop. */
int mrp_git2_start(struct mrp_session *session, struct mrp_error *err);
void mrp_git2_stop(struct mrp_session *session);
/** An error of libgit2 in words: "WHAT: <its message>". */
int mrp_git2_fail(int git_code, const char *what, const char *on, struct mrp_error *err);
/** Open without looking in parent folders. MRP_E_NOTFOUND if nothing is there. */
int mrp_git2_open(git_repository **out, struct mrp_end *end, struct mrp_error *err);

void mrp_git2_free_repository(git_repository **r);

/* local_refs.c */
int mrp_local_list(struct mrp_end *end,
                   struct mrp_refs *out,
                   enum mrp_service service,
                   struct mrp_error *err);
/** Each update gets its state; with `atomic` all or none. */
int mrp_local_update(struct mrp_end *end,
                     git_repository *repo,
                     struct mrp_push *push,
                     struct mrp_error *err);
/* local_pack.c */
int mrp_local_pull(struct mrp_end *end,
                   const struct mrp_pull *pull,
                   struct mrp_hub *hub,
                   struct mrp_error *err);
/** Index what the hub gives, aside; into the object database once it is known to be whole with all
 * that the refs of `push` will need. `reader` NULL: no pack, the check alone. */
int mrp_local_store(struct mrp_end *end,
                    git_repository *repo,
                    struct mrp_hub_reader *reader,
                    struct mrp_push *push,
                    struct mrp_error *err);
/* connect.c */
/** MRP_E_REMOTE unless all is there that the new refs of `push` reach. `pack`: path, without its
 * ".pack", of what came for them and is not yet among the objects; NULL: nothing came. */
int mrp_local_connected(struct mrp_end *end,
                        git_repository *repo,
                        const struct mrp_push *push,
                        const char *pack,
                        struct mrp_error *err);

#endif
