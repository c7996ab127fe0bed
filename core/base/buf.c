/* The growing buffer: every append checks the limit, a failure empties it for good. */
#include <mrpipe/buf.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mrp_buf_init(struct mrp_buf *buf, size_t max_bytes)
{
    *buf = (struct mrp_buf){.max = max_bytes};
}

void mrp_buf_done(struct mrp_buf *buf)
{
    free(buf->data);
    *buf = (struct mrp_buf){.max = buf->max};
}

static int fail(struct mrp_buf *buf)
{
    mrp_buf_done(buf);
    buf->failed = true;
    return MRP_E_NOMEM;
}

char *mrp_buf_reserve(struct mrp_buf *buf, size_t len)
{
    if (buf->failed)
        return NULL;
    if (len > buf->max || buf->len > buf->max - len) {
        fail(buf);
        return NULL;
    }
    size_t need = buf->len + len + 1;
    if (need > buf->cap) {
        size_t cap = buf->cap ? buf->cap : 64;
        while (cap < need)
            cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        char *grown = realloc(buf->data, cap);
        if (!grown) {
            fail(buf);
            return NULL;
        }
        buf->data = grown;
        buf->cap = cap;
    }
    return buf->data + buf->len;
}

int mrp_buf_add(struct mrp_buf *buf, const void *data, size_t len)
{
    char *to = mrp_buf_reserve(buf, len);
    if (!to)
        return MRP_E_NOMEM;
    if (len)
        memcpy(to, data, len);
    to[len] = '\0';
    buf->len += len;
    return MRP_OK;
}

int mrp_buf_adds(struct mrp_buf *buf, const char *str)
{
    return mrp_buf_add(buf, str, strlen(str));
}

int mrp_buf_addc(struct mrp_buf *buf, char c)
{
    return mrp_buf_add(buf, &c, 1);
}

int mrp_buf_addv(struct mrp_buf *buf, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int need = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (need < 0)
        return fail(buf);
    char *to = mrp_buf_reserve(buf, (size_t)need);
    if (!to)
        return MRP_E_NOMEM;
    vsnprintf(to, (size_t)need + 1, fmt, args);
    buf->len += (size_t)need;
    return MRP_OK;
}

int mrp_buf_addf(struct mrp_buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int rc = mrp_buf_addv(buf, fmt, args);
    va_end(args);
    return rc;
}

void mrp_buf_drop(struct mrp_buf *buf, size_t len)
{
    if (len > buf->len)
        len = buf->len;
    if (!len)
        return;
    memmove(buf->data, buf->data + len, buf->len - len + 1);
    buf->len -= len;
}

void mrp_buf_reset(struct mrp_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

char *mrp_buf_take(struct mrp_buf *buf)
{
    if (buf->failed)
        return NULL;
    char *data = buf->data;
    if (!data) {
        data = calloc(1, 1);
        if (!data)
            return NULL;
    }
    *buf = (struct mrp_buf){.max = buf->max};
    return data;
}

const char *mrp_buf_str(const struct mrp_buf *buf)
{
    return buf->data ? buf->data : "";
}

int mrp_buf_check(const struct mrp_buf *buf, const char *what, struct mrp_error *err)
{
    if (buf->failed)
        return mrp_fail(err, MRP_E_NOMEM, "%s: larger than %zu bytes or out of memory", what,
                        buf->max);
    return MRP_OK;
}
