/* What git objects name: are all objects there that a pack's objects need? */
#ifndef CODECOMMIT_LINKS_H
#define CODECOMMIT_LINKS_H

#include "refs.h"

#include <mrpipe/text.h>

/** As in a pack. */
enum mrp_kind { MRP_KIND_ANY, MRP_KIND_COMMIT, MRP_KIND_TREE, MRP_KIND_BLOB, MRP_KIND_TAG };

struct mrp_link {
    struct mrp_oid id;
    enum mrp_kind kind;
};

/** Links in the order in which they were found, each once. */
struct mrp_links {
    struct mrp_link *list;
    size_t count, cap;
    uint32_t *slots; /* index + 1; 0: free */
    size_t slot_count;
};

/** MRP_E_REMOTE if it is there as another kind. */
int mrp_links_add(struct mrp_links *set,
                  const struct mrp_oid *id,
                  enum mrp_kind kind,
                  struct mrp_error *err);
void mrp_links_done(struct mrp_links *set);

/** Call `each` for all that an object names (submodules apart). -1 if the object is malformed, else
 * the first non-zero of `each`, else 0. `known`: a tree whose entries need not be told again. */
int mrp_object_links(enum mrp_kind kind,
                     const unsigned char *data,
                     size_t len,
                     struct mrp_view known,
                     int (*each)(void *arg, const unsigned char *id, enum mrp_kind kind),
                     void *arg);

/** Look through a pack with its index (PATH.pack, PATH.idx; complete, with correct hashes): what
 * its objects name and it does not hold goes to `outside`. Blobs are not read. MRP_E_REMOTE if an
 * object is used as what it is not. */
int mrp_pack_links(struct mrp_links *outside,
                   struct mrp_oids *tips,
                   const char *path,
                   struct mrp_error *err);
/** The same in memory. */
int mrp_pack_links_in(struct mrp_links *outside,
                      struct mrp_oids *tips,
                      struct mrp_view pack,
                      struct mrp_view idx,
                      struct mrp_error *err);

#endif
