/** What a run leaves so that the next one can take it up: state.json and outputs.json. */
#ifndef MRP_RUN_STATE_H
#define MRP_RUN_STATE_H

#include "session.h"

/** Load state.json of an earlier run ("last" or an id) into s->old. */
int mrp_state_load(struct mrp_session *s, const char *id, struct mrp_error *err);
/** Write state.json and outputs.json as things stand. */
void mrp_state_save(struct mrp_session *s);
/** The phases have ended: remember how, and their variables (none that holds a secret). */
void mrp_state_phases(struct mrp_session *s, bool ok);
/** Why the phases need not run again, or NULL; then s->env has their variables. Owned. */
char *mrp_state_reuse_phases(struct mrp_session *s);
/** Why a node need not run again, or NULL; then it has its outputs and artifacts. Owned. */
char *mrp_state_reuse(struct mrp_session *s, struct mrp_node *node);
/** Take over the outputs of a node that is not selected. */
void mrp_state_borrow(struct mrp_session *s, struct mrp_node *node);
/** SHA-256 of a JSON value, hex; owned. */
char *mrp_fingerprint(const json_t *value);

#endif
