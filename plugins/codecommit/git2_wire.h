/* A connection made by libgit2 (ssh, or its HTTP) that carries our own pkt-lines. */
#ifndef CODECOMMIT_GIT2_WIRE_H
#define CODECOMMIT_GIT2_WIRE_H

#include "libgit.h"

struct mrp_git2_wire;

/** Connect, log in, and read the advertisement into `refs` (zeroed). */
int mrp_git2_wire_open(struct mrp_git2_wire **out,
                       struct mrp_end *end,
                       enum mrp_service service,
                       struct mrp_refs *refs,
                       struct mrp_error *err);
/** It is used by another call from now on; `wire` may be NULL. */
void mrp_git2_wire_adopt(struct mrp_git2_wire *wire, struct mrp_aside *aside);
enum mrp_service mrp_git2_wire_service(const struct mrp_git2_wire *wire);
/** Begin the request that follows the advertisement; once for each connection. */
int mrp_git2_wire_begin(struct mrp_git2_wire *wire, struct mrp_error *err);
int mrp_git2_wire_write(struct mrp_git2_wire *wire,
                        const char *data,
                        size_t len,
                        struct mrp_error *err);
/** *len 0 at the end of the answer. */
int mrp_git2_wire_read(struct mrp_git2_wire *wire,
                       char *buf,
                       size_t cap,
                       size_t *len,
                       struct mrp_error *err);
/** Without a read after the last write the other side sees a broken request. */
void mrp_git2_wire_free(struct mrp_git2_wire **wire);

#endif
