/* Artifact patterns: parsing, brace expansion and matching by sets of positions. */
#include "pattern.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

static bool is_deep(const char *part)
{
    return strcmp(part, "**") == 0;
}

/* The end of a brace group that starts at s (its '}'), or NULL when it is not closed. */
static const char *group_end(const char *s)
{
    int depth = 0;
    for (; *s; s++) {
        if (*s == '\\' && s[1])
            s++;
        else if (*s == '{')
            depth++;
        else if (*s == '}' && --depth == 0)
            return s;
    }
    return NULL;
}

static const char *group_start(const char *s)
{
    for (; *s; s++) {
        if (*s == '\\' && s[1])
            s++;
        else if (*s == '{')
            return group_end(s) ? s : NULL;
    }
    return NULL;
}

static int add_plain(struct mrp_patterns *p, const char *text, size_t origin, struct mrp_error *err)
{
    struct mrp_pattern pat = {.origin = origin};
    mrp_auto(mrp_free_strv) char **parts = NULL;
    const char *s = text;

    while (*s) {
        size_t n = strcspn(s, "/");
        bool dot = n == 0 || (n == 1 && s[0] == '.');
        if (n == 2 && s[0] == '.' && s[1] == '.') {
            mrp_fail(err, MRP_E_CONFIG, "artifact path %s leaves the base directory", text);
            return mrp_hint(err, "set `base-directory` to the folder that holds the files");
        }
        /* `**` after `**` says nothing new */
        bool repeat =
            n == 2 && s[0] == '*' && s[1] == '*' && pat.count > 0 && is_deep(parts[pat.count - 1]);
        if (!dot && !repeat) {
            if (mrp_strv_addn(&parts, s, n))
                return mrp_fail(err, MRP_E_NOMEM, "artifact path %s", text);
            pat.count++;
        }
        s += n;
        s += strspn(s, "/");
    }
    if (pat.count == 0)
        return mrp_fail(err, MRP_E_CONFIG, "artifact path `%s` names nothing", text);
    if (pat.count > MRP_PATTERN_PARTS)
        return mrp_fail(err, MRP_E_CONFIG, "artifact path %s has over %d parts", text,
                        MRP_PATTERN_PARTS);
    if (p->count >= MRP_PATTERN_EXPANSIONS)
        return mrp_fail(err, MRP_E_CONFIG, "artifact path %s: over %d patterns", text,
                        MRP_PATTERN_EXPANSIONS);

    struct mrp_pattern *list = realloc(p->list, (p->count + 1) * sizeof *list);
    if (!list)
        return mrp_fail(err, MRP_E_NOMEM, "artifact path %s", text);
    pat.parts = mrp_take_strv(&parts);
    p->list = list;
    p->list[p->count++] = pat;
    return MRP_OK;
}

static int
expand(struct mrp_patterns *p, const char *text, size_t origin, int depth, struct mrp_error *err)
{
    const char *open = group_start(text);
    if (!open)
        return add_plain(p, text, origin, err);
    if (depth > 16)
        return mrp_fail(err, MRP_E_CONFIG, "artifact path has over 16 brace groups");

    const char *close = group_end(open);
    const char *from = open + 1;
    int level = 0;
    for (const char *s = from; s <= close; s++) {
        if (*s == '\\' && s[1]) {
            s++;
            continue;
        }
        if (*s == '{')
            level++;
        if (s != close && *s == '}')
            level--;
        if (s != close && !(*s == ',' && level == 0))
            continue;
        mrp_auto(mrp_free_str) char *one =
            mrp_strf("%.*s%.*s%s", (int)(open - text), text, (int)(s - from), from, close + 1);
        if (!one)
            return mrp_fail(err, MRP_E_NOMEM, "artifact path %s", text);
        int rc = expand(p, one, origin, depth + 1, err);
        if (rc)
            return rc;
        from = s + 1;
    }
    return MRP_OK;
}

int mrp_patterns_add(struct mrp_patterns *p, const char *text, size_t origin, struct mrp_error *err)
{
    if (strlen(text) > 4096)
        return mrp_fail(err, MRP_E_CONFIG, "artifact path is over 4096 bytes: %.60s...", text);
    if (text[0] == '/')
        return mrp_fail(err, MRP_E_CONFIG, "artifact path %s lies outside the base directory",
                        text);
    return expand(p, text, origin, 0, err);
}

void mrp_patterns_done(struct mrp_patterns *p)
{
    for (size_t i = 0; i < p->count; i++)
        mrp_free_strv(&p->list[i].parts);
    free(p->list);
    *p = (struct mrp_patterns){0};
}

/* A position at `**` also stands behind it: it may cover no folder at all. */
static uint64_t closure(const struct mrp_pattern *p, uint64_t state)
{
    for (size_t i = 0; i < p->count; i++)
        if ((state >> i & 1) && is_deep(p->parts[i]))
            state |= UINT64_C(1) << (i + 1);
    return state;
}

uint64_t mrp_pattern_start(const struct mrp_pattern *p)
{
    return closure(p, 1);
}

uint64_t mrp_pattern_step(const struct mrp_pattern *p, uint64_t state, const char *name)
{
    uint64_t next = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (!(state >> i & 1))
            continue;
        if (is_deep(p->parts[i]))
            next |= UINT64_C(1) << i;
        else if (mrp_glob_match(p->parts[i], name, false))
            next |= UINT64_C(1) << (i + 1);
    }
    return closure(p, next);
}

bool mrp_pattern_accepts(const struct mrp_pattern *p, uint64_t state)
{
    return state >> p->count & 1;
}

bool mrp_pattern_alive(const struct mrp_pattern *p, uint64_t state)
{
    return (state & ((UINT64_C(1) << p->count) - 1)) != 0;
}

char *mrp_pattern_literal(const struct mrp_pattern *p, uint64_t state)
{
    uint64_t open = state & ((UINT64_C(1) << p->count) - 1);
    if (open == 0 || (open & (open - 1)) != 0)
        return NULL;
    size_t i = 0;
    while (!(open >> i & 1))
        i++;
    const char *part = p->parts[i];
    if (strpbrk(part, "*?[{"))
        return NULL;
    mrp_auto(mrp_free_str) char *plain = mrp_strdup(part);
    if (!plain)
        return NULL;
    char *to = plain;
    for (const char *s = part; *s; s++) {
        if (*s == '\\' && s[1])
            s++;
        *to++ = *s;
    }
    *to = '\0';
    return mrp_take_str(&plain);
}

static bool match_one(const struct mrp_pattern *p, char *const *names)
{
    uint64_t state = mrp_pattern_start(p);
    for (; *names && state; names++)
        state = mrp_pattern_step(p, state, *names);
    return mrp_pattern_accepts(p, state);
}

bool mrp_patterns_match(const struct mrp_patterns *p, const char *path)
{
    if (p->count == 0)
        return false;
    mrp_auto(mrp_free_strv) char **names = NULL;
    for (const char *s = path; *s;) {
        size_t n = strcspn(s, "/");
        if (n > 0 && mrp_strv_addn(&names, s, n))
            return false;
        s += n;
        s += strspn(s, "/");
    }
    if (!names)
        return false;
    for (size_t i = 0; i < p->count; i++)
        if (match_one(&p->list[i], names))
            return true;
    return false;
}
