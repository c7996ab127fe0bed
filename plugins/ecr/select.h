/* Which tags of a repository are meant: globs, a regular expression, a version range, the newest.
 */
#ifndef ECR_SELECT_H
#define ECR_SELECT_H

#include <mrpipe/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct version {
    uint64_t number[3];
    int parts;       /* how many were written */
    const char *pre; /* borrowed from the text; "" if none */
    size_t pre_len;
};
/** "1.4.2", "v1.4", "1.4.2-rc.1+build". False: no version. */
bool version_parse(struct version *out, const char *text, size_t len);
/** By semver 2.0, 11: negative, 0, positive. */
int version_compare(const struct version *a, const struct version *b);
/** "^1.2", "~1.4.1", ">=1.2 <2", "1.x", "1.2 - 1.4", parts joined by "||". Pre-releases match only
 * where the range names one of the same version. */
bool range_match(const char *range, const struct version *v);
/** 0, or MRP_E_CONFIG with the part that is wrong. */
int range_check(const char *range, struct mrp_error *err);

struct selection {
    char *const *globs; /* any of these; NULL: all */
    char *const *exclude;
    const char *regex; /* POSIX extended, over the whole tag */
    const char *semver;
    int64_t newest;          /* 0: all */
    int64_t pushed_after_ms; /* 0: any */
};
int selection_check(const struct selection *how, struct mrp_error *err);

struct tag {
    char *name;
    char *digest; /* NULL: not known */
    int64_t pushed_ms;
};
/** Keep those that are meant, in place; the others are freed. 0 or a negative code. */
int selection_apply(struct tag *tags,
                    size_t *count,
                    const struct selection *how,
                    struct mrp_error *err);

#endif
