/* Small parts that phases and stages share: the tail of an output, exit codes, the rerun line. */
#include "session.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

void mrp_tail_add(struct mrp_tail_lines *tail, const char *text, size_t len)
{
    size_t at = tail->next++ % MRP_TAIL_LINES;
    free(tail->lines[at]);
    tail->lines[at] = mrp_strndup(text, len < 2000 ? len : 2000);
}

json_t *mrp_tail_json(const struct mrp_tail_lines *tail)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < MRP_TAIL_LINES; i++) {
        const char *line = tail->lines[(tail->next + i) % MRP_TAIL_LINES];
        if (line)
            json_array_append_new(list, mrp_clean_string(line, strlen(line)));
    }
    return list;
}

void mrp_tail_done(struct mrp_tail_lines *tail)
{
    for (size_t i = 0; i < MRP_TAIL_LINES; i++)
        free(tail->lines[i]);
    *tail = (struct mrp_tail_lines){0};
}

int mrp_exit_of(enum mrp_code code)
{
    switch (code) {
    case MRP_E_AUTH:
        return MRP_EXIT_AUTH;
    case MRP_E_NET:
    case MRP_E_REMOTE:
        return MRP_EXIT_NET;
    case MRP_E_TIMEOUT:
        return MRP_EXIT_TIMEOUT;
    case MRP_E_ARTIFACT:
        return MRP_EXIT_ARTIFACT;
    default:
        return MRP_EXIT_FAILED;
    }
}

int mrp_session_mask_keys(struct mrp_session *s)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_SECURITY_TOKEN",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "CODEBUILD_AUTH_TOKEN"};
    for (size_t i = 0; i < MRP_COUNT(names); i++) {
        const char *value = mrp_env_get(s->env, names[i]);
        if (value && mrp_masker_add(s->masker, value, strlen(value)))
            return MRP_E_NOMEM;
    }
    return 0;
}

void mrp_session_fail(struct mrp_session *s, const char *by, int exit_code)
{
    if (!s->broken_by)
        s->broken_by = by;
    if (!s->exit_code)
        s->exit_code = exit_code;
}

char *mrp_rerun_line(const struct mrp_session *s, const char *stage)
{
    const char *line = s->options->command_line;
    if (!line)
        return NULL;
    if (s->plan.count == 1 && !s->spec->has_phases) /* `mrpipe do`: there is nothing before it */
        return mrp_strdup(line);
    bool plain =
        strspn(stage, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
        strlen(stage);
    const char *quote = plain ? "" : "'";
    return mrp_strf("%s --from %s%s%s", line, quote, stage, quote);
}
