/* Events as hints of what to mirror: EventBridge's CodeCommit events and repository triggers. */
#include "mirror.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { EVENT_MAX = 4 << 20, EVENTS_MAX = 10000 };

static int
add(char ***names, char **region, const char *name, const char *where, struct mrp_error *err)
{
    if (!name || !mrp_is_repository_name(name) || !where || !mrp_aws_is_region(where))
        return mrp_fail(err, MRP_E_CONFIG, "the event names no CodeCommit repository and region");
    if (*region && !mrp_streq(*region, where))
        return mrp_fail(err, MRP_E_CONFIG, "the events come from two regions, %s and %s", *region,
                        where);
    if (!*region)
        *region = mrp_strdup(where);
    if (!*region || (!mrp_strv_has(*names, name) && mrp_strv_add(names, name)))
        return mrp_fail(err, MRP_E_NOMEM, "keep the event");
    return MRP_OK;
}

/* arn:aws:codecommit:REGION:ACCOUNT:NAME */
static const char *arn_name(const char *arn)
{
    const char *last = arn ? strrchr(arn, ':') : NULL;
    return last ? last + 1 : NULL;
}

static int one(char ***names, char **region, const json_t *event, struct mrp_error *err)
{
    if (mrp_json_str(event, "eventSourceARN"))
        return add(names, region, arn_name(mrp_json_str(event, "eventSourceARN")),
                   mrp_json_str(event, "awsRegion"), err);
    const char *source = mrp_json_str(event, "source");
    if (!mrp_streq(source, "aws.codecommit")) {
        mrp_fail(err, MRP_E_CONFIG, "the event's source is \"%.60s\", not aws.codecommit",
                 source ? source : "");
        return mrp_hint(err, "an EventBridge event of CodeCommit, or that of a repository trigger");
    }
    const char *name = mrp_json_str(mrp_json_obj(event, "detail"), "repositoryName");
    if (!name)
        name = arn_name(json_string_value(json_array_get(mrp_json_arr(event, "resources"), 0)));
    return add(names, region, name, mrp_json_str(event, "region"), err);
}

int mrp_event_parse(char ***names,
                    char **region,
                    const char *text,
                    size_t len,
                    struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *root = NULL;
    int rc = mrp_json_parse(&root, text, len, "the event", err);
    if (rc) {
        err->code = MRP_E_CONFIG;
        return MRP_E_CONFIG;
    }
    const json_t *list = json_is_array(root) ? root : mrp_json_arr(root, "Records");
    if (!list)
        return one(names, region, root, err);
    if (json_array_size(list) > EVENTS_MAX)
        return mrp_fail(err, MRP_E_CONFIG, "more than %d events at once", EVENTS_MAX);
    for (size_t i = 0; i < json_array_size(list) && !rc; i++)
        rc = one(names, region, json_array_get(list, i), err);
    return rc;
}

static int read_stdin(struct mrp_buf *out, struct mrp_error *err)
{
    for (;;) {
        char *room = mrp_buf_reserve(out, 64 << 10);
        if (!room)
            return mrp_fail(err, MRP_E_CONFIG, "the event on standard input is over 4 MiB");
        ssize_t n = read(0, room, 64 << 10);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mrp_fail_errno(err, "read the event from standard input");
        if (n == 0)
            return MRP_OK;
        out->len += (size_t)n;
        out->data[out->len] = '\0';
    }
}

int mrp_event_read(char ***names,
                   char **region,
                   struct mrp_stage *stage,
                   const char *path,
                   struct mrp_error *err)
{
    if (mrp_streq(path, "-")) {
        struct mrp_buf text = MRP_BUF_INIT(EVENT_MAX + (64 << 10));
        int rc = read_stdin(&text, err);
        if (!rc && !text.len) {
            mrp_fail(err, MRP_E_CONFIG, "standard input holds no event");
            rc = mrp_hint(err, "give a file, or the event's text itself: event: ${{ env.EVENT }}");
        } else if (!rc) {
            rc = mrp_event_parse(names, region, mrp_buf_str(&text), text.len, err);
        }
        mrp_buf_done(&text);
        return rc;
    }
    if (path[0] == '{' || path[0] == '[')
        return mrp_event_parse(names, region, path, strlen(path), err);
    mrp_auto(mrp_free_str) char *full = NULL;
    mrp_auto(mrp_free_str) char *text = NULL;
    size_t len = 0;
    int rc = mrp_stage_path(&full, stage, path, err);
    if (!rc)
        rc = mrp_file_read(&text, &len, full, EVENT_MAX, err);
    return rc ? rc : mrp_event_parse(names, region, text, len, err);
}
