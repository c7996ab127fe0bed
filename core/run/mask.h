/** The masker: no secret leaves the run, whole, split over reads, or in an encoded form. */
#ifndef MRP_RUN_MASK_H
#define MRP_RUN_MASK_H

#include <mrpipe/buf.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define MRP_MASK "***"

struct mrp_masker;

struct mrp_masker *mrp_masker_new(void); /* NULL: no memory */
void mrp_masker_free(struct mrp_masker **masker);

/** Learn a secret with its lines and its encoded forms; under 4 bytes it is ignored. 0 or
 * MRP_E_NOMEM. */
int mrp_masker_add(struct mrp_masker *masker, const char *secret, size_t len);

/** The state of one stream of bytes: what may be the beginning of a secret is held back. */
struct mrp_mask_stream {
    struct mrp_buf held;
    size_t until; /* bytes at the front of `held` that are part of a secret already shown as *** */
};
#define MRP_MASK_HELD_MAX ((size_t)4 << 20)

void mrp_mask_init(struct mrp_mask_stream *stream);
void mrp_mask_done(struct mrp_mask_stream *stream);
/** Append the masked form of `data` to `out`; with `flush` nothing is held back. 0 or MRP_E_NOMEM.
 */
int mrp_mask_feed(struct mrp_mask_stream *stream,
                  const struct mrp_masker *masker,
                  const char *data,
                  size_t len,
                  bool flush,
                  struct mrp_buf *out);

/** Mask one whole text. Owned; NULL: nothing to mask (or no memory: then *failed, if given). */
char *mrp_mask_text(const struct mrp_masker *masker, const char *text, size_t len, bool *failed);
/** Mask all strings and keys of a JSON value in place; returns the value that takes its place
 * (another one if `value` itself is a string with a secret). */
json_t *mrp_mask_json(const struct mrp_masker *masker, json_t *value);

#endif
