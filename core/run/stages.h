/** The scheduler: which stage may start, with which inputs, and what its end means for the rest. */
#ifndef MRP_RUN_STAGES_H
#define MRP_RUN_STAGES_H

#include "session.h"

/** Start and finish what can be; sets the loop's timer for retries. */
void mrp_stages_step(struct mrp_session *s);
/** The run is being stopped: running workers are asked to end, the others are cancelled. */
void mrp_stages_stop(struct mrp_session *s);
bool mrp_stages_done(const struct mrp_session *s);

#endif
