/* The work of a worker as bytes: one table of its fields serves the writer and the reader. */
#include "brief.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { SEND_SECONDS = 2 };
#define BRIEF_MAX ((size_t)64 << 20)
#define ABSENT UINT32_MAX

enum kind { TEXT, TEXTS, JSON };

/* Numbers stand in the head; the rest are texts, lists of texts and JSON, any of which may be NULL.
 */
static const struct {
    enum kind kind;
    size_t offset;
} fields[] = {
    {TEXT, offsetof(struct mrp_work, path)},
    {TEXT, offsetof(struct mrp_work, sha256)},
    {TEXT, offsetof(struct mrp_work, action)},
    {JSON, offsetof(struct mrp_work, with)},
    {TEXT, offsetof(struct mrp_work, stage.id)},
    {TEXT, offsetof(struct mrp_work, stage.run_id)},
    {TEXT, offsetof(struct mrp_work, stage.region)},
    {TEXT, offsetof(struct mrp_work, stage.primary)},
    {TEXTS, offsetof(struct mrp_work, stage.secondaries)},
    {TEXT, offsetof(struct mrp_work, stage.workdir)},
    {TEXT, offsetof(struct mrp_work, stage.rundir)},
    {TEXT, offsetof(struct mrp_work, stage.role_arn)},
    {TEXT, offsetof(struct mrp_work, stage.debug)},
    {TEXTS, offsetof(struct mrp_work, stage.env)},
    {JSON, offsetof(struct mrp_work, stage.endpoints)},
    {JSON, offsetof(struct mrp_work, stage.artifacts)},
};

_Static_assert(sizeof(struct mrp_stage_init) == 17 * sizeof(void *),
               "a new fact of a stage must stand in the table, unless the worker sets it");

struct head {
    uint64_t size; /* of what follows */
    int32_t mode;
    int32_t dry_run;
};

/* ---- writing ---- */

static void add_number(struct mrp_buf *out, size_t n)
{
    uint32_t number = (uint32_t)n;
    mrp_buf_add(out, &number, sizeof number);
}

/* With its NUL, so that the reader can point into what it has read. */
static void add_text(struct mrp_buf *out, const char *text)
{
    size_t n = text ? strlen(text) : ABSENT;
    add_number(out, n);
    if (text)
        mrp_buf_add(out, text, n + 1);
}

static void add_texts(struct mrp_buf *out, char *const *list)
{
    add_number(out, list ? mrp_strv_len(list) : ABSENT);
    for (; list && *list; list++)
        add_text(out, *list);
}

/* False: it cannot be told in JSON text. */
static bool add_json(struct mrp_buf *out, const json_t *json)
{
    mrp_auto(mrp_free_str) char *text =
        json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    add_text(out, text);
    return text || !json;
}

static bool pack(struct mrp_buf *out, const struct mrp_work *work)
{
    bool good = true;
    for (size_t i = 0; i < MRP_COUNT(fields); i++) {
        const char *field = (const char *)work + fields[i].offset;
        if (fields[i].kind == TEXT)
            add_text(out, *(const char *const *)field);
        else if (fields[i].kind == TEXTS)
            add_texts(out, *(char *const *const *)field);
        else
            good = add_json(out, *(const json_t *const *)field) && good;
    }
    return good && !out->failed;
}

static int send_all(int fd, const void *data, size_t len)
{
    for (const char *p = data; len;) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int mrp_brief_send(int fd, const struct mrp_work *work)
{
    struct head head = {.mode = work->mode, .dry_run = work->stage.dry_run};
    struct mrp_buf text = MRP_BUF_INIT(BRIEF_MAX);
    struct timeval most = {.tv_sec = SEND_SECONDS};
    mrp_buf_add(&text, &head, sizeof head);
    int rc = -1;
    if (pack(&text, work)) {
        head.size = text.len - sizeof head;
        memcpy(text.data, &head, sizeof head);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
        rc = send_all(fd, text.data, text.len);
    }
    if (text.data) /* it holds what only this worker may know */
        explicit_bzero(text.data, text.len);
    mrp_buf_done(&text);
    return rc;
}

/* ---- reading ---- */

static int read_all(int fd, void *data, size_t len)
{
    for (char *p = data; len;) {
        ssize_t n = recv(fd, p, len, MSG_WAITALL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* 0 or -1; *out ABSENT stands for NULL. */
static int take_number(uint32_t *out, struct mrp_view *rest)
{
    if (rest->n < sizeof *out)
        return -1;
    memcpy(out, rest->p, sizeof *out);
    *rest = (struct mrp_view){rest->p + sizeof *out, rest->n - sizeof *out};
    return 0;
}

static int take_text(const char **out, struct mrp_view *rest)
{
    uint32_t n;
    *out = NULL;
    if (take_number(&n, rest))
        return -1;
    if (n == ABSENT)
        return 0;
    if (rest->n <= n || rest->p[n] != '\0')
        return -1;
    *out = rest->p;
    *rest = (struct mrp_view){rest->p + n + 1, rest->n - n - 1};
    return 0;
}

static int take_texts(char *const **out, struct mrp_view *rest)
{
    uint32_t n;
    *out = NULL;
    if (take_number(&n, rest))
        return -1;
    if (n == ABSENT)
        return 0;
    if (n > rest->n / sizeof n) /* each has at least its length */
        return -1;
    const char **list = calloc((size_t)n + 1, sizeof *list);
    if (!list)
        return -1;
    *out = (char *const *)(uintptr_t)list;
    for (uint32_t i = 0; i < n; i++)
        if (take_text(&list[i], rest) || !list[i])
            return -1;
    return 0;
}

static int take_json(const json_t **out, struct mrp_view *rest)
{
    const char *text;
    *out = NULL;
    if (take_text(&text, rest))
        return -1;
    if (text && !(*out = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)))
        return -1;
    return 0;
}

static int unpack(struct mrp_work *out, struct mrp_view rest)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < MRP_COUNT(fields); i++) {
        char *field = (char *)out + fields[i].offset;
        if (fields[i].kind == TEXT)
            rc = take_text((const char **)(void *)field, &rest);
        else if (fields[i].kind == TEXTS)
            rc = take_texts((char *const **)(void *)field, &rest);
        else
            rc = take_json((const json_t **)(void *)field, &rest);
    }
    return rc || rest.n ? -1 : 0;
}

int mrp_brief_read(struct mrp_work *out, int fd)
{
    struct head head;
    *out = (struct mrp_work){0};
    if (read_all(fd, &head, sizeof head) || head.size > BRIEF_MAX)
        return -1;
    char *text = malloc(head.size + 1);
    if (!text || read_all(fd, text, head.size)) {
        free(text);
        return -1;
    }
    out->mode = (enum mrp_mode)head.mode;
    out->stage.dry_run = head.dry_run != 0;
    out->brief = text;
    if (unpack(out, (struct mrp_view){text, head.size}) == 0)
        return 0;
    mrp_brief_done(out);
    return -1;
}

void mrp_brief_done(struct mrp_work *work)
{
    for (size_t i = 0; i < MRP_COUNT(fields); i++) {
        void *field = (char *)work + fields[i].offset;
        if (fields[i].kind == TEXTS)
            free(*(void **)field);
        else if (fields[i].kind == JSON)
            json_decref(*(json_t **)field);
    }
    free(work->brief);
    *work = (struct mrp_work){0};
}
