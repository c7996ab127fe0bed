/** The phases of a buildspec: a machine driven by the loop, beside the stages that need nothing. */
#ifndef MRP_RUN_PHASES_H
#define MRP_RUN_PHASES_H

#include "session.h"

struct mrp_phases;

struct mrp_phases *mrp_phases_new(struct mrp_session *s, struct mrp_error *err);
void mrp_phases_free(struct mrp_phases **phases);
/** Begin (or, with `reason`, tell that they are skipped and count as succeeded). */
void mrp_phases_start(struct mrp_phases *phases, const char *reason);
/** End without having begun: the environment could not be made. */
void mrp_phases_give_up(struct mrp_phases *phases);
/** Stop the running command; the phase ends cancelled. */
void mrp_phases_stop(struct mrp_phases *phases);
bool mrp_phases_done(const struct mrp_phases *phases);
bool mrp_phases_ok(const struct mrp_phases *phases);
bool mrp_phases_reused(const struct mrp_phases *phases); /* taken from an earlier run */

#endif
