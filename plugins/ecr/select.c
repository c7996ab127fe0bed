/* Filters the tags of a repository. */
#include "select.h"

#include <mrpipe/text.h>

#include <regex.h>
#include <stdlib.h>
#include <string.h>

static int compile(regex_t *re, const char *text, struct mrp_error *err)
{
    if (strlen(text) > 500)
        return mrp_fail(err, MRP_E_CONFIG, "the regular expression is longer than 500 characters");
    int rc = regcomp(re, text, REG_EXTENDED | REG_NOSUB);
    if (!rc)
        return 0;
    char why[100];
    regerror(rc, re, why, sizeof why);
    return mrp_fail(err, MRP_E_CONFIG, "`%.100s` is no regular expression: %s", text, why);
}

int selection_check(const struct selection *how, struct mrp_error *err)
{
    int rc = how->semver ? range_check(how->semver, err) : 0;
    if (!rc && how->regex) {
        regex_t re;
        rc = compile(&re, how->regex, err);
        if (!rc)
            regfree(&re);
    }
    return rc;
}

static bool any_glob(char *const *globs, const char *name)
{
    for (; globs && *globs; globs++)
        if (mrp_glob_match(*globs, name, false))
            return true;
    return false;
}

static bool wanted(const struct tag *tag, const struct selection *how, const regex_t *re)
{
    struct version v;
    if (how->globs && *how->globs && !any_glob(how->globs, tag->name))
        return false;
    if (any_glob(how->exclude, tag->name))
        return false;
    if (re && regexec(re, tag->name, 0, NULL, 0))
        return false;
    if (how->semver &&
        (!version_parse(&v, tag->name, strlen(tag->name)) || !range_match(how->semver, &v)))
        return false;
    return !how->pushed_after_ms || tag->pushed_ms >= how->pushed_after_ms;
}

/* Newest first: by date where it is known, then by version, then by name. */
static int newest_first(const void *a, const void *b)
{
    const struct tag *x = a;
    const struct tag *y = b;
    struct version v;
    struct version w;
    if (x->pushed_ms != y->pushed_ms)
        return x->pushed_ms < y->pushed_ms ? 1 : -1;
    bool p = version_parse(&v, x->name, strlen(x->name));
    bool q = version_parse(&w, y->name, strlen(y->name));
    int c = p && q ? version_compare(&w, &v) : q - p;
    return c ? c : strverscmp(y->name, x->name);
}

static int by_version(const void *a, const void *b)
{
    struct tag x = *(const struct tag *)a;
    struct tag y = *(const struct tag *)b;
    x.pushed_ms = y.pushed_ms = 0;
    return newest_first(&x, &y);
}

int selection_apply(struct tag *tags,
                    size_t *count,
                    const struct selection *how,
                    struct mrp_error *err)
{
    regex_t re;
    int rc = how->regex ? compile(&re, how->regex, err) : 0;
    if (rc)
        return rc;
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (wanted(&tags[i], how, how->regex ? &re : NULL)) {
            tags[kept++] = tags[i];
        } else {
            free(tags[i].name);
            free(tags[i].digest);
        }
    }
    if (how->regex)
        regfree(&re);
    if (kept)
        qsort(tags, kept, sizeof *tags, how->semver ? by_version : newest_first);
    while (how->newest > 0 && kept > (size_t)how->newest) {
        kept--;
        free(tags[kept].name);
        free(tags[kept].digest);
    }
    *count = kept;
    return 0;
}
