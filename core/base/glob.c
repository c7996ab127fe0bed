/* Globs over whole names, with a bound on the work a hostile pattern can cause. */
#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { MAX_PATTERN = 4096, MAX_TEXT = 65536, MAX_BRACES = 256 };

/* One element of a pattern that matches exactly one character: its length in the pattern; *hit
 * tells whether c fits. */
static size_t match_one(const char *p, char c, bool path, bool *hit)
{
    if (*p == '\\' && p[1]) {
        *hit = p[1] == c;
        return 2;
    }
    if (*p == '?') {
        *hit = !(path && c == '/');
        return 1;
    }
    if (*p != '[') {
        *hit = *p == c;
        return 1;
    }
    size_t i = 1;
    bool negate = p[i] == '!' || p[i] == '^', in = false;
    i += negate;
    for (size_t first = i; p[i] && (p[i] != ']' || i == first); i++) {
        if (p[i] == '\\' && p[i + 1])
            i++;
        char low = p[i], high = low;
        if (p[i + 1] == '-' && p[i + 2] && p[i + 2] != ']') {
            high = p[i + 2];
            i += 2;
        }
        in = in || (c >= low && c <= high);
    }
    if (p[i] != ']') { /* not closed: a plain bracket */
        *hit = c == '[';
        return 1;
    }
    *hit = in != negate && !(path && c == '/');
    return i + 1;
}

/* Dynamic programming over the pattern's elements: `now[i]` says that text[0..i) is matched so far.
 */
static bool match(const char *p, const char *text, size_t n, bool path, bool *now, bool *next)
{
    memset(now, 0, n + 1);
    now[0] = true;
    while (*p) {
        memset(next, 0, n + 1);
        if (*p == '*') {
            bool deep = p[1] == '*' || !path;
            size_t stars = strspn(p, "*");
            /* A `**` followed by a slash also stands for no folder at all. */
            bool folder = path && stars > 1 && p[stars] == '/';
            bool on = false;
            for (size_t i = 0; i <= n; i++) {
                if (i > 0 && !deep && text[i - 1] == '/')
                    on = false;
                on = on || now[i];
                next[i] = on;
            }
            if (folder) {
                /* After `**` + '/': positions that follow a slash, and those where it matches
                 * nothing. */
                for (size_t i = n + 1; i-- > 0;)
                    next[i] = now[i] || (i > 0 && text[i - 1] == '/' && next[i - 1]);
                stars++;
            }
            p += stars;
        } else {
            size_t used = 1;
            bool hit = false;
            if (n == 0)
                used = match_one(p, '\0', path, &hit);
            for (size_t i = 0; i < n; i++) {
                used = match_one(p, text[i], path, &hit);
                next[i + 1] = now[i] && hit;
            }
            p += used;
        }
        bool *swap = now;
        now = next;
        next = swap;
    }
    return now[n];
}

/* The end of the brace group that begins at p ('{'), or NULL; commas at depth one are counted. */
static const char *brace_end(const char *p, size_t *commas)
{
    int depth = 0;
    *commas = 0;
    for (; *p; p++) {
        if (*p == '\\' && p[1])
            p++;
        else if (*p == '{')
            depth++;
        else if (*p == ',' && depth == 1)
            ++*commas;
        else if (*p == '}' && --depth == 0)
            return p;
    }
    return NULL;
}

static const char *first_brace(const char *p, const char **end)
{
    for (; *p; p++) {
        size_t commas;
        if (*p == '\\' && p[1]) {
            p++;
            continue;
        }
        if (*p == '{' && (*end = brace_end(p, &commas)) != NULL && commas)
            return p;
    }
    return NULL;
}

struct job {
    const char *text;
    size_t n;
    bool path;
    bool *now, *next;
    int budget;
};

static bool expand(struct job *job, const char *pattern)
{
    const char *end, *open = first_brace(pattern, &end);
    if (job->budget-- <= 0)
        return false;
    if (!open)
        return match(pattern, job->text, job->n, job->path, job->now, job->next);
    const char *from = open + 1;
    int depth = 0;
    for (const char *p = from; p <= end; p++) {
        if (*p == '\\' && p[1]) {
            p++;
            continue;
        }
        depth += (*p == '{') - (*p == '}' && p < end);
        if (depth || (*p != ',' && p != end))
            continue;
        mrp_auto(mrp_free_str) char *one =
            mrp_strf("%.*s%.*s%s", (int)(open - pattern), pattern, (int)(p - from), from, end + 1);
        if (!one)
            return false;
        if (expand(job, one))
            return true;
        from = p + 1;
    }
    return false;
}

static void free_flags(bool **flags)
{
    free(*flags);
}

bool mrp_glob_match(const char *pattern, const char *text, bool path)
{
    size_t n = strlen(text);
    if (strlen(pattern) > MAX_PATTERN || n > MAX_TEXT)
        return false;
    bool small[2][512];
    mrp_auto(free_flags) bool *large = NULL;
    struct job job = {.text = text, .n = n, .path = path, .budget = MAX_BRACES};
    job.now = small[0];
    job.next = small[1];
    if (n + 1 > MRP_COUNT(small[0])) {
        large = malloc(2 * (n + 1) * sizeof(bool));
        if (!large)
            return false;
        job.now = large;
        job.next = job.now + n + 1;
    }
    return expand(&job, pattern);
}
