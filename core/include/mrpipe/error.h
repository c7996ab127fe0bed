/**
 * Errors: one type, on the caller's stack, no memory to free.
 *
 * Every function that can fail returns 0 or a negative mrp_code and fills the
 * `struct mrp_error *err` that is its last argument. Library code never prints
 * an error: it returns it, and the runner prints it once.
 */
#ifndef MRPIPE_ERROR_H
#define MRPIPE_ERROR_H

#include <mrpipe/attrs.h>

/** What the runner does next depends on these; details live in the text. */
enum mrp_code {
    MRP_OK = 0,
    MRP_E_CONFIG = -1,   /* the spec or an option is wrong; never retried       */
    MRP_E_AUTH = -2,     /* credentials missing, expired or refused             */
    MRP_E_NOTFOUND = -3, /* a named thing does not exist; some callers expect it */
    MRP_E_REMOTE = -4,   /* the peer answered with an error; see upstream       */
    MRP_E_NET = -5,      /* no answer: DNS, TCP, TLS, reset; was retried        */
    MRP_E_IO = -6,       /* local file system; upstream holds errno             */
    MRP_E_NOMEM = -7,
    MRP_E_BUG = -8,        /* a promise between our own parts was broken          */
    MRP_E_TIMEOUT = -9,    /* a deadline passed                                   */
    MRP_E_CANCELLED = -10, /* the run is ending; not a fault                     */
    MRP_E_CONFLICT = -11,  /* the remote state forbids it (immutable tag, moved ref) */
    MRP_E_ARTIFACT = -12   /* artifacts could not be made or found                */
};

struct mrp_error {
    enum mrp_code code;
    long upstream;    /* errno, HTTP status or library code; 0 if none */
    const char *file; /* static string, from __FILE__ */
    int line;
    char msg[480];  /* what failed, with the value that failed first; "" if no error */
    char hint[240]; /* what the user can do next; "" if unknown */
    char api[64];   /* the remote's error code ("ThrottlingException"), "" if none */
};

/** Fill err (which may be NULL) and return code, so it can stand after `return`. */
#define mrp_fail(err, code, ...) mrp_error_set((err), (code), __FILE__, __LINE__, __VA_ARGS__)
/** The same with MRP_E_IO and ": strerror(errno)" appended; upstream = errno. */
#define mrp_fail_errno(err, ...) mrp_error_errno((err), __FILE__, __LINE__, __VA_ARGS__)

MRP_EXPORT enum mrp_code mrp_error_set(struct mrp_error *err,
                                       enum mrp_code code,
                                       const char *file,
                                       int line,
                                       const char *fmt,
                                       ...) MRP_PRINTF(5, 6);
MRP_EXPORT enum mrp_code
mrp_error_errno(struct mrp_error *err, const char *file, int line, const char *fmt, ...)
    MRP_PRINTF(4, 5);

/** Set the hint of an error that is already filled; returns err->code. */
MRP_EXPORT enum mrp_code mrp_hint(struct mrp_error *err, const char *fmt, ...) MRP_PRINTF(2, 3);

/** Put "TEXT: " before the message: mrp_wrap(err, "push %s", ref); returns err->code. */
MRP_EXPORT enum mrp_code mrp_wrap(struct mrp_error *err, const char *fmt, ...) MRP_PRINTF(2, 3);

/** The lower-case name of a code ("config", "auth", ...); static string. */
MRP_EXPORT const char *mrp_code_name(enum mrp_code code);

/** The code of a name, or MRP_E_BUG if there is none. */
MRP_EXPORT enum mrp_code mrp_code_from_name(const char *name);

#endif
