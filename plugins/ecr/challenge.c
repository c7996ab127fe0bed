/* Parses WWW-Authenticate lines (RFC 9110, 11.6.1) from hostile servers. */
#include "challenge.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEADER_MAX = 16384 };

void challenge_done(struct challenge *c)
{
    free(c->realm);
    free(c->service);
    free(c->scope);
    free(c->error);
    memset(c, 0, sizeof *c);
}

static bool is_token(char c)
{
    return c && (isalnum((unsigned char)c) || strchr("!#$%&'*+-.^_`|~", c));
}

static const char *blanks(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == ',')
        p++;
    return p;
}

static char *word(const char **p)
{
    const char *start = *p;
    while (is_token(**p))
        (*p)++;
    return *p == start ? NULL : mrp_strndup(start, (size_t)(*p - start));
}

/* A quoted string with its escapes, or a bare run of characters. */
static char *value(const char **p)
{
    if (**p != '"') {
        const char *start = *p;
        while (**p && !strchr(", \t", **p))
            (*p)++;
        return mrp_strndup(start, (size_t)(*p - start));
    }
    const char *s = ++*p;
    char *out = malloc(strlen(s) + 1);
    if (!out)
        return NULL;
    size_t n = 0;
    while (*s && *s != '"') {
        if (*s == '\\' && s[1])
            s++;
        if ((unsigned char)*s >= 32)
            out[n++] = *s;
        s++;
    }
    out[n] = '\0';
    *p = *s ? s + 1 : s;
    return out;
}

static void keep(struct challenge *c, const char *name, char **text)
{
    struct {
        const char *name;
        char **field;
    } const fields[] = {
        {"realm", &c->realm}, {"service", &c->service}, {"scope", &c->scope}, {"error", &c->error}};
    for (size_t i = 0; i < MRP_COUNT(fields); i++)
        if (!strcasecmp(name, fields[i].name) && !*fields[i].field)
            *fields[i].field = mrp_take_str(text);
}

static const char *parameters(struct challenge *c, const char *p, bool use)
{
    for (;;) {
        const char *mark = blanks(p);
        const char *at = mark;
        mrp_auto(mrp_free_str) char *name = word(&at);
        if (!name)
            return mark;
        while (*at == ' ' || *at == '\t')
            at++;
        if (*at != '=')
            return mark; /* the next scheme */
        at++;
        while (*at == ' ' || *at == '\t')
            at++;
        mrp_auto(mrp_free_str) char *text = value(&at);
        if (!text)
            return "";
        if (use)
            keep(c, name, &text);
        p = at;
    }
}

int challenge_read(struct challenge *c, const char *header)
{
    if (!header || strlen(header) > HEADER_MAX)
        return 0;
    const char *p = blanks(header);
    while (*p) {
        const char *start = p;
        mrp_auto(mrp_free_str) char *name = word(&p);
        if (!name)
            return 0;
        struct challenge one = {0};
        if (!strcasecmp(name, "bearer"))
            one.scheme = CHALLENGE_BEARER;
        else if (!strcasecmp(name, "basic"))
            one.scheme = CHALLENGE_BASIC;
        p = parameters(&one, p, one.scheme != CHALLENGE_NONE);
        if (one.scheme > c->scheme) {
            challenge_done(c);
            *c = one;
        } else {
            challenge_done(&one);
        }
        if (p <= start && *p)
            return 0;
    }
    return 0;
}
