/* What a run knows of the blobs and manifests of one route, by digest: one bit per destination. */
#ifndef ECR_TABLE_H
#define ECR_TABLE_H

#include "manifest.h"

#include <mrpipe/http.h>

#include <stdbool.h>
#include <stdint.h>

#define DESTINATIONS_MAX 64

struct item {
    struct item *next;
    uint64_t present; /* destinations that have it */
    uint64_t absent;  /* destinations that were asked and lack it */
    uint64_t busy;    /* destinations that some task is bringing it to */
    struct mrp_waitq change;
    struct manifest *manifest; /* read before; NULL */
    struct item *next_kept;    /* read after it */
    bool reading;              /* some task is reading it */
    void *note;
    char key[];
};

struct table {
    struct item **buckets;
    size_t size;
    size_t count;
};

/** The item of that key, made on first use; NULL: no memory. Items never move. */
struct item *table_at(struct table *t, const char *key);
void table_done(struct table *t);

#endif
