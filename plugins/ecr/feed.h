/* Reads one source blob into a ring, once, through cuts of the connection. */
#ifndef ECR_FEED_H
#define ECR_FEED_H

#include "end.h"
#include "ring.h"

struct feed {
    struct hub *hub;
    struct end *src;
    const struct desc *blob;
    bool hash; /* check the digest here too: a destination said that it is wrong */
    struct tally *tally;
};

/** Fill the ring from its present head to the end. 0 also when no reader is left. Whoever reads is
 * told on failure (ring_fail). */
int feed_run(const struct feed *feed, struct ring *ring, struct mrp_error *err) MRP_NODISCARD;

#endif
