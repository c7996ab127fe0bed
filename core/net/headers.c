/* An owned list of HTTP header fields. */
#include <mrpipe/http.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool name_ok(const char *name)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return name && name[0] && name[strspn(name, token)] == '\0';
}

static bool value_ok(const char *value)
{
    return value && !strpbrk(value, "\r\n");
}

/* The list's capacity is not kept: it grows when the count is a power of two. */
static int grow(struct mrp_headers *h)
{
    if (h->count && (h->count & (h->count - 1)) != 0)
        return 0;
    size_t cap = h->count ? h->count * 2 : 1;
    struct mrp_http_header *list = reallocarray(h->list, cap, sizeof *list);
    if (!list)
        return MRP_E_NOMEM;
    h->list = list;
    return 0;
}

static void drop(struct mrp_http_header *field)
{
    free((char *)(uintptr_t)field->name);
    if (field->value)
        explicit_bzero((char *)(uintptr_t)field->value, strlen(field->value));
    free((char *)(uintptr_t)field->value);
}

int mrp_headers_add(struct mrp_headers *h, const char *name, const char *value)
{
    if (!name_ok(name) || !value_ok(value))
        return MRP_E_CONFIG;
    struct mrp_http_header field = {mrp_strdup(name), mrp_strdup(value)};
    if (!field.name || !field.value || grow(h) != 0) {
        drop(&field);
        return MRP_E_NOMEM;
    }
    h->list[h->count++] = field;
    return 0;
}

int mrp_headers_set(struct mrp_headers *h, const char *name, const char *value)
{
    if (!name_ok(name) || !value_ok(value))
        return MRP_E_CONFIG;
    size_t kept = 0;
    for (size_t i = 0; i < h->count; i++) {
        if (strcasecmp(h->list[i].name, name) == 0)
            drop(&h->list[i]);
        else
            h->list[kept++] = h->list[i];
    }
    if (kept != h->count) {
        /* keep the growth rule true: the memory is at least the next power of two */
        size_t cap = 1;
        while (cap < kept)
            cap *= 2;
        struct mrp_http_header *list = reallocarray(h->list, cap, sizeof *list);
        h->list = list ? list : h->list;
        h->count = kept;
    }
    return mrp_headers_add(h, name, value);
}

const char *mrp_headers_get(const struct mrp_headers *h, const char *name)
{
    for (size_t i = 0; i < h->count; i++)
        if (strcasecmp(h->list[i].name, name) == 0)
            return h->list[i].value;
    return NULL;
}

void mrp_headers_done(struct mrp_headers *h)
{
    for (size_t i = 0; i < h->count; i++)
        drop(&h->list[i]);
    free(h->list);
    *h = (struct mrp_headers){0};
}
