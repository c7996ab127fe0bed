/* One pack on its way from the source to its destinations: a ring that holds back the last 20 bytes
 * until they are proved to be the SHA-1 of all before them. */
#ifndef CODECOMMIT_HUB_H
#define CODECOMMIT_HUB_H

#include <mrpipe/error.h>
#include <mrpipe/http.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mrp_hub;

struct mrp_hub_reader {
    struct mrp_hub *hub;
    uint64_t pos;
    bool left;                  /* takes no more: does not hold the others up */
    struct mrp_http_call *call; /* to be resumed when bytes come; NULL: waits on the hub's queue */
    bool paused;
};

/** Room for `readers`; all begin at byte 0. */
int mrp_hub_new(struct mrp_hub **out, struct mrp_http *http, size_t readers, struct mrp_error *err);
void mrp_hub_free(struct mrp_hub **hub);
/** Called with the size of each piece that comes in. */
void mrp_hub_on_bytes(struct mrp_hub *hub, void (*moved)(void *arg, size_t len), void *arg);
struct mrp_hub_reader *mrp_hub_reader(struct mrp_hub *hub, size_t index);

/* ---- the source's side ---- */
/** The call to resume when there is room again. */
void mrp_hub_set_source(struct mrp_hub *hub, struct mrp_http_call *call);
/** True if `len` more bytes fit now; else the source is noted as paused. */
bool mrp_hub_room(struct mrp_hub *hub, size_t len);
/** Add bytes for which mrp_hub_room said yes. MRP_E_REMOTE if it is no pack. */
int mrp_hub_add(struct mrp_hub *hub, const char *data, size_t len, struct mrp_error *err);
/** Add any number of bytes; parks while there is no room. MRP_E_CANCELLED when no reader is left.
 */
int mrp_hub_put(struct mrp_hub *hub, const char *data, size_t len, struct mrp_error *err);
/** The whole pack was added: check the trailer; only then do the readers get its last bytes. */
int mrp_hub_close(struct mrp_hub *hub, struct mrp_error *err);
/** The source failed: readers must abandon what they do. The first cause is kept. */
void mrp_hub_break(struct mrp_hub *hub, const struct mrp_error *cause);
/** The pack of no objects, for updates to what the destination has. */
int mrp_hub_add_empty(struct mrp_hub *hub, struct mrp_error *err);

/* ---- a destination's side ---- */
/** Park until enough is there to begin: a good part, or all, or the source failed (then its error).
 */
int mrp_hub_wait_start(struct mrp_hub_reader *r, struct mrp_error *err);
/** For a source callback: bytes, 0 at the end, MRP_HTTP_PAUSE, MRP_HTTP_ABORT. */
long mrp_hub_read(struct mrp_hub_reader *r, char *buf, size_t len);
/** Borrow the bytes that are there, parking until there are some; *len 0 at the end. Then
 * mrp_hub_took. */
int mrp_hub_peek(const char **data, size_t *len, struct mrp_hub_reader *r, struct mrp_error *err);
void mrp_hub_took(struct mrp_hub_reader *r, size_t len);
void mrp_hub_leave(struct mrp_hub_reader *r);

bool mrp_hub_complete(const struct mrp_hub *hub); /* all bytes are in and proved */
bool mrp_hub_broken(const struct mrp_hub *hub, struct mrp_error *cause);
bool mrp_hub_wanted(const struct mrp_hub *hub); /* a reader is left */
uint64_t mrp_hub_bytes(const struct mrp_hub *hub);
uint32_t mrp_hub_objects(const struct mrp_hub *hub);
uint64_t mrp_hub_lfs(const struct mrp_hub *hub); /* Git LFS pointers seen in passing */

#endif
