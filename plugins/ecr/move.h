/* One blob from its source to all the destinations that lack it. */
#ifndef ECR_MOVE_H
#define ECR_MOVE_H

#include "end.h"
#include "ring.h"

struct target {
    struct end *end;
    const char *mount_from; /* repository of the same host that has the blob, or NULL */
    struct tally *tally;
    /* results */
    bool present; /* was there, or was mounted */
    int rc;
    struct mrp_error err;
    /* inside */
    bool settled;
    bool denied; /* the digest was refused once */
    struct upload upload;
    struct reader reader;
    uint64_t sent; /* in this attempt */
    struct move *move;
};

/**
 * Find out which targets lack the blob and bring it to them, reading the source once. `early`: it
 * is probably missing, so it is read while the targets are asked: a round trip less.
 * @return 0 when every target has its outcome in `rc` and `err`; else the source's failure
 */
int move_blob(struct hub *hub,
              struct end *src,
              const struct desc *blob,
              struct target *targets,
              size_t count,
              bool early,
              struct tally *src_tally,
              struct mrp_error *err) MRP_NODISCARD;

#endif
