/* Reading a spec file: size limit, text check, table of lines. */
#include "source.h"

#include "problem.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes of the line end at p, 0 if there is none. The same set as libyaml's, so that marks fit. */
static size_t line_end(const char *p, const char *end)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t left = (size_t)(end - p);
    if (*p == '\n')
        return 1;
    if (*p == '\r')
        return left > 1 && p[1] == '\n' ? 2 : 1;
    if (left > 1 && u[0] == 0xC2 && u[1] == 0x85)
        return 2;
    if (left > 2 && u[0] == 0xE2 && u[1] == 0x80 && (u[2] == 0xA8 || u[2] == 0xA9))
        return 3;
    return 0;
}

static int index_lines(struct mrp_source *src)
{
    size_t cap = 64;
    src->lines = malloc(cap * sizeof *src->lines);
    src->shown = malloc(src->len + 1);
    if (!src->lines || !src->shown)
        return MRP_E_NOMEM;
    memcpy(src->shown, src->text, src->len + 1);
    src->lines[src->count++] = 0;
    const char *end = src->text + src->len;
    for (const char *p = src->text; p < end;) {
        size_t n = line_end(p, end);
        if (!n) {
            p++;
            continue;
        }
        memset(src->shown + (p - src->text), 0, n);
        p += n;
        if (src->count == cap) {
            cap *= 2;
            size_t *more = realloc(src->lines, cap * sizeof *more);
            if (!more)
                return MRP_E_NOMEM;
            src->lines = more;
        }
        src->lines[src->count++] = (size_t)(p - src->text);
    }
    return 0;
}

static int too_big(const char *path, struct mrp_error *err)
{
    mrp_fail(err, MRP_E_CONFIG, "%s: larger than 1 MiB, the limit for a spec", path);
    return mrp_hint(err, "is this the right file? move long commands into scripts");
}

int mrp_source_new(struct mrp_source **out,
                   const char *path,
                   const char *text,
                   size_t len,
                   struct mrp_error *err)
{
    if (len > MRP_SOURCE_MAX)
        return too_big(path, err);
    if (len >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) {
        text += 3;
        len -= 3;
    }
    mrp_auto(mrp_source_free) struct mrp_source *src = calloc(1, sizeof *src);
    if (!src)
        return mrp_fail(err, MRP_E_NOMEM, "read %s", path);
    src->path = mrp_strdup(path);
    src->text = malloc(len + 1);
    src->len = len;
    if (!src->path || !src->text)
        return mrp_fail(err, MRP_E_NOMEM, "read %s", path);
    if (len)
        memcpy(src->text, text, len);
    src->text[len] = '\0';
    if (index_lines(src))
        return mrp_fail(err, MRP_E_NOMEM, "read %s", path);
    *out = src;
    src = NULL;
    return 0;
}

static int read_fd(struct mrp_buf *buf, int fd, const char *path, struct mrp_error *err)
{
    for (;;) {
        char *to = mrp_buf_reserve(buf, 16384);
        if (!to)
            return too_big(path, err);
        ssize_t n = read(fd, to, 16384);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mrp_fail_errno(err, "read %s", path);
        if (n == 0)
            return 0;
        buf->len += (size_t)n;
        if (buf->len > MRP_SOURCE_MAX)
            return too_big(path, err);
    }
}

int mrp_source_read(struct mrp_source **out, const char *path, struct mrp_error *err)
{
    bool standard_input = !strcmp(path, "-");
    mrp_auto(mrp_close_fd) int opened = -1;
    int fd = STDIN_FILENO;
    if (!standard_input) {
        opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (opened < 0) {
            mrp_fail_errno(err, "open %s", path);
            if (errno == ENOENT)
                mrp_hint(err,
                         "name the file, as in `mrpipe run buildspec.yml`; it is looked for in "
                         "the current folder");
            return MRP_E_IO;
        }
        fd = opened;
    }
    struct stat st;
    if (fstat(fd, &st))
        return mrp_fail_errno(err, "read %s", path);
    if (S_ISDIR(st.st_mode))
        return mrp_fail(err, MRP_E_IO, "%s is a folder, not a file", path);
    if (S_ISREG(st.st_mode) && st.st_size > (off_t)MRP_SOURCE_MAX + 3)
        return too_big(path, err);
    mrp_auto(mrp_buf_done) struct mrp_buf buf = MRP_BUF_INIT(MRP_SOURCE_MAX + 32768);
    int rc = read_fd(&buf, fd, path, err);
    if (rc)
        return rc;
    return mrp_source_new(out, standard_input ? "(standard input)" : path, mrp_buf_str(&buf),
                          buf.len, err);
}

void mrp_source_free(struct mrp_source **src)
{
    if (!src || !*src)
        return;
    free((*src)->path);
    free((*src)->text);
    free((*src)->shown);
    free((*src)->lines);
    mrp_free_strv(&(*src)->words);
    free(*src);
    *src = NULL;
}

const char *mrp_source_line(const struct mrp_source *src, int line)
{
    if (!src || line < 1 || (size_t)line > src->count)
        return NULL;
    return src->shown + src->lines[line - 1];
}

const char *mrp_source_word(const struct mrp_source *src, int line)
{
    if (!src || line < 1 || (size_t)line > mrp_strv_len(src->words) || !src->words[line - 1][0])
        return NULL;
    return src->words[line - 1];
}

void mrp_source_problem(const struct mrp_source *src,
                        struct mrp_diags *diags,
                        bool warning,
                        struct mrp_mark mark,
                        int width,
                        const char *hint,
                        const char *message)
{
    const char *word = mrp_source_word(src, mark.line);
    if (src->words) /* nobody has seen this text */
        mrp_diag_add(diags, warning, word ? word : src->path, (struct mrp_mark){0}, 1, NULL, hint,
                     "%s", message);
    else
        mrp_diag_add(diags, warning, src->path, mark, width, mrp_source_line(src, mark.line), hint,
                     "%s", message);
}

/* Length of the UTF-8 character at p, 0 if it is none (overlong, surrogate, cut off). */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || left < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
        (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F))
        return 0;
    return n;
}

static struct mrp_mark mark_at(const struct mrp_source *src, size_t offset)
{
    size_t line = 0;
    while (line + 1 < src->count && src->lines[line + 1] <= offset)
        line++;
    int col = 1;
    for (size_t i = src->lines[line]; i < offset; i++)
        col += (src->text[i] & 0xC0) != 0x80;
    return (struct mrp_mark){(int)line + 1, col};
}

int mrp_source_check(const struct mrp_source *src, struct mrp_diags *diags)
{
    const unsigned char *p = (const unsigned char *)src->text;
    if (src->len >= 2 && ((p[0] == 0xFF && p[1] == 0xFE) || (p[0] == 0xFE && p[1] == 0xFF))) {
        mrp_diag_add(diags, false, src->path, (struct mrp_mark){0}, 1, NULL,
                     "save the file as UTF-8", "the file is UTF-16 text");
        return MRP_E_CONFIG;
    }
    for (size_t i = 0; i < src->len;) {
        size_t n = utf8_len(p + i, src->len - i);
        bool control =
            n == 1 && (p[i] < 0x20 || p[i] == 0x7F) && !strchr("\t\r\n", p[i] ? p[i] : 1);
        if (n && !control) {
            i += n;
            continue;
        }
        struct mrp_mark at = mark_at(src, i);
        if (!p[i])
            mrp_diag_add(diags, false, src->path, at, 1, NULL, "is this the right file?",
                         "not a text file: it holds a NUL byte");
        else if (control)
            mrp_diag_add(diags, false, src->path, at, 1, mrp_source_line(src, at.line),
                         "inside double quotes YAML writes it as \\xNN", "control character 0x%02x",
                         p[i]);
        else
            mrp_diag_add(diags, false, src->path, at, 1, NULL, "save the file as UTF-8",
                         "not UTF-8 text: byte 0x%02x", p[i]);
        return MRP_E_CONFIG;
    }
    return 0;
}
