/* The code and the words of an error answer, whatever dialect the remote speaks. */
#include "call.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Copies printable text, runs of blanks and control bytes become one blank. */
static void clean(char *out, size_t size, const char *text, size_t n)
{
    size_t to = 0;
    bool blank = false;
    for (size_t i = 0; i < n && to + 2 < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= 0x20 || c == 0x7f) {
            blank = to > 0;
            continue;
        }
        if (blank)
            out[to++] = ' ';
        blank = false;
        out[to++] = (char)c;
    }
    out[to] = '\0';
    while (to > 0 && ((unsigned char)out[to - 1] & 0xc0) == 0x80 && !mrp_is_text(out, to))
        out[--to] = '\0'; /* a cut or wrong sequence */
    if (!mrp_is_text(out, to))
        for (size_t i = 0; i < to; i++)
            if ((unsigned char)out[i] >= 0x80)
                out[i] = '?';
}

static void clean_str(char *out, size_t size, const char *text)
{
    if (text)
        clean(out, size, text, strlen(text));
}

/* "com.amazonaws.ecr#RepositoryNotFoundException:http://..." -> the name alone. */
static void short_code(char *out, size_t size, const char *text)
{
    const char *hash = text ? strrchr(text, '#') : NULL;
    const char *from = hash ? hash + 1 : text;
    if (from)
        clean(out, size, from, strcspn(from, ":"));
}

static const char *first_str(const json_t *j, const char *const *names)
{
    for (; *names; names++) {
        const char *s = mrp_json_str(j, *names);
        if (s && *s)
            return s;
    }
    return NULL;
}

static bool
read_json(char *code, size_t code_size, char *words, size_t size, const char *text, size_t n)
{
    static const char *const codes[] = {"__type", "code", "Code", NULL};
    static const char *const texts[] = {"message",           "Message", "errorMessage",
                                        "error_description", "error",   NULL};
    struct mrp_error ignored = {0};
    mrp_auto(mrp_free_json) json_t *j = NULL;
    if (mrp_json_parse(&j, text, n, "error answer", &ignored) != 0 || !json_is_object(j))
        return false;
    const json_t *errors = mrp_json_arr(j, "errors"); /* a registry's */
    const json_t *from = errors && json_array_size(errors) ? json_array_get(errors, 0) : j;
    if (!code[0])
        short_code(code, code_size, first_str(from, codes));
    clean_str(words, size, first_str(from, texts));
    json_t *detail = json_object_get(from, "detail");
    if (errors && detail && !json_is_null(detail)) {
        mrp_auto(mrp_free_str) char *more =
            json_is_string(detail) ? mrp_strdup(json_string_value(detail)) : mrp_json_text(detail);
        mrp_auto(mrp_free_str) char *both = more && *more ? mrp_strf("%s (%s)", words, more) : NULL;
        clean_str(words, size, both);
    }
    return true;
}

/* The text of the first <name> element; enough for the small error documents. */
static void element(char *out, size_t size, const char *text, const char *name)
{
    mrp_auto(mrp_free_str) char *open = mrp_strf("<%s>", name);
    const char *from = open ? strstr(text, open) : NULL;
    if (!from)
        return;
    from += strlen(open);
    size_t n = strcspn(from, "<");
    clean(out, size, from, n);
    static const struct {
        const char *entity;
        char c;
    } entities[] = {
        {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&amp;", '&'}};
    for (size_t i = 0; i < MRP_COUNT(entities); i++) {
        for (char *p = strstr(out, entities[i].entity); p; p = strstr(p + 1, entities[i].entity)) {
            *p = entities[i].c;
            size_t len = strlen(entities[i].entity);
            memmove(p + 1, p + len, strlen(p + len) + 1);
        }
    }
}

void api_error_read(char *code,
                    size_t code_size,
                    char *words,
                    size_t words_size,
                    const struct mrp_http_response *resp)
{
    code[0] = words[0] = '\0';
    const char *text = mrp_buf_str(&resp->body);
    size_t n = resp->body.len;
    short_code(code, code_size, mrp_headers_get(&resp->headers, "x-amzn-errortype"));
    size_t lead = strspn(text, " \t\r\n");
    const char *type = mrp_headers_get(&resp->headers, "Content-Type");
    if (text[lead] == '{' && read_json(code, code_size, words, words_size, text, n))
        return;
    if (text[lead] == '<' && !(type && strstr(type, "html"))) {
        if (!code[0])
            element(code, code_size, text, "Code");
        element(words, words_size, text, "Message");
        if (code[0] || words[0])
            return;
    }
    if (text[lead] == '<') { /* a page for people: its title says it */
        element(words, words_size, text, "title");
        return;
    }
    clean(words, words_size < 200 ? words_size : 200, text, n);
}
