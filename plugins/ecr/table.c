/* A chained hash table with stable items. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 256 };

static size_t hash(const char *key)
{
    uint64_t h = 14695981039346656037u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211u;
    return (size_t)(h ^ (h >> 32));
}

static int grow(struct table *t)
{
    size_t size = t->size ? t->size * 4 : FIRST_SIZE;
    struct item **buckets = calloc(size, sizeof *buckets);
    if (!buckets)
        return -1;
    for (size_t i = 0; i < t->size; i++) {
        while (t->buckets[i]) {
            struct item *one = t->buckets[i];
            t->buckets[i] = one->next;
            struct item **to = &buckets[hash(one->key) % size];
            one->next = *to;
            *to = one;
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->size = size;
    return 0;
}

struct item *table_at(struct table *t, const char *key)
{
    if (t->size) {
        for (struct item *at = t->buckets[hash(key) % t->size]; at; at = at->next)
            if (!strcmp(at->key, key))
                return at;
    }
    if (t->count >= t->size * 2 && grow(t))
        return NULL;
    size_t n = strlen(key) + 1;
    struct item *one = calloc(1, sizeof *one + n);
    if (!one)
        return NULL;
    memcpy(one->key, key, n);
    struct item **to = &t->buckets[hash(key) % t->size];
    one->next = *to;
    *to = one;
    t->count++;
    return one;
}

void table_done(struct table *t)
{
    for (size_t i = 0; i < t->size; i++) {
        while (t->buckets[i]) {
            struct item *one = t->buckets[i];
            t->buckets[i] = one->next;
            manifest_free(&one->manifest);
            free(one);
        }
    }
    free(t->buckets);
    *t = (struct table){0};
}
