/* Calls that block (libgit2's) in threads of their own, so that the loop goes on with other
 * repositories. What belongs to the loop is done there: the thread asks and waits. */
#ifndef CODECOMMIT_ASIDE_H
#define CODECOMMIT_ASIDE_H

#include "end.h"

/* ---- for the loop: operations of an end, done by end->ops->blocking in a thread ---- */
int mrp_aside_list(struct mrp_end *end,
                   struct mrp_refs *out,
                   enum mrp_service service,
                   struct mrp_error *err);
int mrp_aside_pull(struct mrp_end *end,
                   const struct mrp_pull *pull,
                   struct mrp_hub *hub,
                   struct mrp_error *err);
int mrp_aside_push(struct mrp_end *end,
                   struct mrp_push *push,
                   struct mrp_hub_reader *reader,
                   struct mrp_error *err);
int mrp_aside_create(struct mrp_end *end, struct mrp_error *err);
int mrp_aside_set_head(struct mrp_end *end, const char *ref, bool *changed, struct mrp_error *err);
int mrp_aside_contains(struct mrp_end *end,
                       bool *yes,
                       const struct mrp_oid *now,
                       const struct mrp_oid *old,
                       struct mrp_error *err);
void mrp_aside_close(struct mrp_end *end);

/* ---- for the thread; `end->aside` is its call ---- */
/** Have the loop do fn(arg), which may park. */
int mrp_aside_ask(struct mrp_aside *aside,
                  int (*fn)(void *arg, struct mrp_error *err),
                  void *arg,
                  struct mrp_error *err);
/** Around each call that may block for ever, and turned round in every callback of it: between the
 * two only the connection may be touched. The second does not return once the loop has given up. */
void mrp_aside_blocks(struct mrp_aside *aside);
void mrp_aside_heard(struct mrp_aside *aside);
/** mrp_hub_wait_start, mrp_hub_put and mrp_hub_close from a thread. */
int mrp_aside_hub_start(struct mrp_end *end, struct mrp_hub_reader *reader, struct mrp_error *err);
int mrp_aside_hub_put(struct mrp_end *end,
                      struct mrp_hub *hub,
                      const char *data,
                      size_t len,
                      struct mrp_error *err);
int mrp_aside_hub_close(struct mrp_end *end, struct mrp_hub *hub, struct mrp_error *err);
/** Up to `cap` of the next bytes; *len 0 at the end. */
int mrp_aside_hub_take(struct mrp_end *end,
                       struct mrp_hub_reader *reader,
                       char *buf,
                       size_t cap,
                       size_t *len,
                       struct mrp_error *err);

#endif
