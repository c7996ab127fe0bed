/* The report of a run that is over, from its events.jsonl. */
#include "view.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES (4u << 20)

/* A last line without its end was being written when the run was killed: not an error. */
int mrp_ui_replay(const char *events_path, const struct mrp_sink *sink, struct mrp_error *err)
{
    mrp_auto(mrp_close_file) FILE *f = fopen(events_path, "re");
    if (!f)
        return mrp_fail_errno(err, "open %s", events_path);
    mrp_auto(mrp_free_str) char *line = NULL;
    size_t cap = 0;
    ssize_t n = 0;
    for (int number = 1; (n = getline(&line, &cap, f)) > 0; number++) {
        if ((size_t)n > LINE_MAX_BYTES)
            return mrp_fail(err, MRP_E_CONFIG, "%s:%d: line is too long", events_path, number);
        if (line[n - 1] != '\n')
            break;
        mrp_auto(mrp_free_json) json_t *event = NULL;
        if (mrp_json_parse(&event, line, (size_t)n - 1, events_path, err))
            return mrp_fail(err, MRP_E_CONFIG, "%s:%d is not an event of a run", events_path,
                            number);
        sink->event(sink->arg, event);
    }
    if (ferror(f))
        return mrp_fail_errno(err, "read %s", events_path);
    return MRP_OK;
}

static void gather(void *arg, const json_t *event)
{
    mrp_ui_model_event(arg, event, 0);
}

char *mrp_ui_report(const char *events_path, bool color)
{
    struct mrp_ui_model model = {0};
    struct mrp_sink sink = {.event = gather, .arg = &model};
    struct mrp_buf out = MRP_BUF_INIT(16u << 20);
    struct mrp_error err = {0};
    char *text = NULL;
    mrp_ui_locale();
    if (mrp_ui_replay(events_path, &sink, &err) == 0) {
        mrp_buf_addf(&out, "%srun %s of ", mrp_ui_sgr(color, MRP_UI_BOLD),
                     model.run ? model.run : "?");
        mrp_ui_clean(&out, model.spec ? model.spec : "?");
        mrp_buf_addf(&out, "%s\n\n", mrp_ui_sgr(color, MRP_UI_RESET));
        mrp_ui_summary(&out, &model, color, NULL);
        text = mrp_buf_take(&out);
    }
    mrp_buf_done(&out);
    mrp_ui_model_done(&model);
    return text;
}
