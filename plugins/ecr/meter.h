/* How far one image is: shown while it is copied, and told when it is there. */
#ifndef ECR_METER_H
#define ECR_METER_H

#include <stddef.h>
#include <stdint.h>

struct hub;

struct meter {
    char *name; /* "HOST/core:1.4"; owned by the job */
    uint64_t done_bytes;
    uint64_t total_bytes;
    uint64_t done_blobs;
    uint64_t total_blobs;
    int64_t began_ms; /* 0: nothing had to be moved so far */
};

/** So much more has to be moved; or less, when it turns out to be there. */
void meter_expect(struct meter *m, struct hub *hub, int64_t bytes, int64_t blobs);
/** So much was moved; negative when it has to be moved again. The runner is told. */
void meter_move(struct meter *m, struct hub *hub, int64_t bytes, int64_t blobs);
/** Nothing more will be moved: the event `image-copied`, and a line if it took its time. Nothing is
 * told without a digest: it failed. */
void meter_end(const struct meter *m, struct hub *hub, const char *digest);
/** "core:1.4: 3.1 MiB of 15.3 MiB, 3 of 12 blobs, 4.0 MiB/s, 3 s left" at that time; borrowed text
 * in buf. */
const char *meter_text(char *buf, size_t len, const struct meter *m, int64_t now_ms);

#endif
