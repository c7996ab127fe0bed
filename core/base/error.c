/* The error object: filled once where the fault is found, widened by callers, printed by the
 * runner. */
#include <mrpipe/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    enum mrp_code code;
    const char *name;
} names[] = {
    {MRP_OK, "ok"},
    {MRP_E_CONFIG, "config"},
    {MRP_E_AUTH, "auth"},
    {MRP_E_NOTFOUND, "not-found"},
    {MRP_E_REMOTE, "remote"},
    {MRP_E_NET, "net"},
    {MRP_E_IO, "io"},
    {MRP_E_NOMEM, "no-memory"},
    {MRP_E_BUG, "bug"},
    {MRP_E_TIMEOUT, "timeout"},
    {MRP_E_CANCELLED, "cancelled"},
    {MRP_E_CONFLICT, "conflict"},
    {MRP_E_ARTIFACT, "artifact"},
};

enum mrp_code mrp_error_set(struct mrp_error *err,
                            enum mrp_code code,
                            const char *file,
                            int line,
                            const char *fmt,
                            ...)
{
    if (!err)
        return code;
    /* The arguments may point into err itself, so the text is built aside. */
    char msg[sizeof err->msg];
    va_list args;
    va_start(args, fmt);
    vsnprintf(msg, sizeof msg, fmt, args);
    va_end(args);
    *err = (struct mrp_error){.code = code, .file = file, .line = line};
    memcpy(err->msg, msg, sizeof msg);
    return code;
}

enum mrp_code
mrp_error_errno(struct mrp_error *err, const char *file, int line, const char *fmt, ...)
{
    int saved = errno;
    if (!err)
        return MRP_E_IO;
    char msg[sizeof err->msg];
    va_list args;
    va_start(args, fmt);
    vsnprintf(msg, sizeof msg, fmt, args);
    va_end(args);
    char why[128];
    const char *text = strerror_r(saved, why, sizeof why);
    *err = (struct mrp_error){.code = MRP_E_IO, .upstream = saved, .file = file, .line = line};
    snprintf(err->msg, sizeof err->msg, "%.350s: %.120s", msg, text);
    errno = saved;
    return MRP_E_IO;
}

enum mrp_code mrp_hint(struct mrp_error *err, const char *fmt, ...)
{
    if (!err)
        return MRP_E_BUG;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->hint, sizeof err->hint, fmt, args);
    va_end(args);
    return err->code;
}

enum mrp_code mrp_wrap(struct mrp_error *err, const char *fmt, ...)
{
    if (!err)
        return MRP_E_BUG;
    char before[sizeof err->msg], old[sizeof err->msg];
    va_list args;
    va_start(args, fmt);
    vsnprintf(before, sizeof before, fmt, args);
    va_end(args);
    memcpy(old, err->msg, sizeof old);
    old[sizeof old - 1] = '\0';
    size_t n = strnlen(before, sizeof before - 1);
    if (n > sizeof err->msg - 4)
        n = sizeof err->msg - 4;
    memcpy(err->msg, before, n);
    memcpy(err->msg + n, ": ", 3);
    n += 2;
    size_t room = sizeof err->msg - 1 - n;
    size_t len = strlen(old);
    if (len > room)
        len = room;
    memcpy(err->msg + n, old, len);
    err->msg[n + len] = '\0';
    return err->code;
}

const char *mrp_code_name(enum mrp_code code)
{
    for (size_t i = 0; i < MRP_COUNT(names); i++)
        if (names[i].code == code)
            return names[i].name;
    return "unknown";
}

enum mrp_code mrp_code_from_name(const char *name)
{
    for (size_t i = 0; name && i < MRP_COUNT(names); i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].code;
    return MRP_E_BUG;
}
