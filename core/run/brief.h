/** The work of a worker as bytes, for a worker that was not forked by the runner. */
#ifndef MRP_RUN_BRIEF_H
#define MRP_RUN_BRIEF_H

#include "worker.h"

/** Write it to a socket. 0, or -1 with nothing to rely on at the other end. May block up to 2 s. */
int mrp_brief_send(int fd, const struct mrp_work *work) MRP_NODISCARD;
/** Read all of it; 0 or -1. What it points to is owned by it: mrp_brief_done. */
int mrp_brief_read(struct mrp_work *out, int fd) MRP_NODISCARD;
void mrp_brief_done(struct mrp_work *work);

#endif
