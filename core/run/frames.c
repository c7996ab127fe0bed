/* What a worker says: each frame is checked, then becomes an event, an output, a secret or a count.
 */
#include "frames.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

enum { COUNTS_MAX = 100 };

int mrp_frames_init(struct mrp_frames *frames)
{
    frames->counts = json_object();
    frames->result = NULL;
    frames->garbage = NULL;
    return frames->counts ? 0 : MRP_E_NOMEM;
}

void mrp_frames_done(struct mrp_frames *frames)
{
    json_decref(frames->counts);
    json_decref(frames->result);
    free(frames->garbage);
    frames->counts = frames->result = NULL;
    frames->garbage = NULL;
}

json_t *mrp_frames_event(const struct mrp_frames *frames, const char *type)
{
    json_t *e = mrp_event_new(type);
    mrp_json_puts(e, "stage", frames->id);
    return e;
}

void mrp_frames_send(const struct mrp_frames *frames, json_t *event)
{
    if (frames->quiet)
        json_decref(event);
    else
        mrp_journal_send(frames->journal, event);
}

/* Text of a frame, masked, for the log and the tail. */
static void tell_text(struct mrp_frames *f, const char *text)
{
    bool failed;
    mrp_auto(mrp_free_str) char *masked = mrp_mask_text(f->masker, text, strlen(text), &failed);
    f->on_text(f->text_arg, masked ? masked : failed ? MRP_MASK : text);
}

static bool take_log(struct mrp_frames *f, const json_t *j)
{
    const char *level = mrp_json_str(j, "level"), *text = mrp_json_str(j, "text");
    size_t n = 0;
    while (n < MRP_COUNT(mrp_level_names) && !mrp_streq(level, mrp_level_names[n]))
        n++;
    if (n == MRP_COUNT(mrp_level_names) || !text)
        return false;
    if (f->quiet) {
        /* No stage to speak for; what it warns of is for the user all the same. */
        mrp_note(f->journal, (enum mrp_level)n, "%s: %s", f->id, text);
    } else {
        json_t *e = mrp_frames_event(f, "log");
        mrp_json_puts(e, "level", level);
        mrp_json_puts(e, "text", text);
        mrp_frames_send(f, e);
    }
    tell_text(f, text);
    return true;
}

static bool take_change(struct mrp_frames *f, const json_t *j)
{
    const char *text = mrp_json_str(j, "text");
    if (!text)
        return false;
    json_t *e = mrp_frames_event(f, "change");
    mrp_json_puts(e, "text", text);
    mrp_frames_send(f, e);
    tell_text(f, text);
    return true;
}

static bool take_fact(struct mrp_frames *f, const json_t *j)
{
    const char *name = mrp_json_str(j, "name");
    if (!name)
        return false;
    json_t *fields = mrp_json_obj(j, "fields"), *e = mrp_frames_event(f, "fact");
    mrp_json_puts(e, "name", name);
    mrp_json_put(e, "fields", fields ? json_deep_copy(fields) : json_object());
    mrp_frames_send(f, e);
    return true;
}

static bool take_progress(struct mrp_frames *f, const json_t *j)
{
    json_t *e = json_deep_copy(j);
    json_object_del(e, "type");
    mrp_json_puts(e, "event", "progress");
    mrp_json_puts(e, "stage", f->id);
    mrp_frames_send(f, e);
    return true;
}

static bool take_count(struct mrp_frames *f, const json_t *j)
{
    const char *name = mrp_json_str(j, "name");
    if (!name || (!json_object_get(f->counts, name) && json_object_size(f->counts) >= COUNTS_MAX))
        return false;
    int64_t sum = 0;
    if (__builtin_add_overflow(mrp_json_int(f->counts, name, 0), mrp_json_int(j, "delta", 0), &sum))
        return false;
    mrp_json_puti(f->counts, name, sum);
    return true;
}

static bool take_secret(struct mrp_frames *f, const json_t *j)
{
    const char *value = mrp_json_str(j, "value");
    if (!value)
        return false;
    if (mrp_masker_add(f->masker, value, strlen(value)) && !f->garbage)
        f->garbage = mrp_strdup("more secrets than can be masked");
    return true;
}

static bool take_output(struct mrp_frames *f, const json_t *j)
{
    const char *name = mrp_json_str(j, "name");
    json_t *value = json_object_get(j, "value");
    if (!name || !value)
        return false;
    f->on_output(f->arg, name, value);
    json_t *e = mrp_frames_event(f, "output-set");
    mrp_json_puts(e, "name", name);
    mrp_json_put(e, "value", json_deep_copy(value));
    mrp_frames_send(f, e);
    return true;
}

static bool take_artifact(struct mrp_frames *f, const json_t *j)
{
    const char *path = mrp_json_str(j, "path");
    if (!path)
        return false;
    if (f->on_artifact)
        f->on_artifact(f->arg, path);
    json_t *e = mrp_frames_event(f, "artifact");
    mrp_json_puts(e, "path", path);
    mrp_frames_send(f, e);
    return true;
}

static bool take_result(struct mrp_frames *f, const json_t *j)
{
    const char *result = mrp_json_str(j, "result");
    if (f->result || (!mrp_streq(result, "changed") && !mrp_streq(result, "unchanged") &&
                      !(mrp_streq(result, "failed") && mrp_json_obj(j, "error"))))
        return false;
    f->result = json_deep_copy(j);
    return true;
}

static const struct {
    const char *type;
    bool (*take)(struct mrp_frames *f, const json_t *frame);
} frame_types[] = {
    {"log", take_log},           {"change", take_change},     {"event", take_fact},
    {"progress", take_progress}, {"count", take_count},       {"secret", take_secret},
    {"output", take_output},     {"artifact", take_artifact}, {"result", take_result},
};

bool mrp_frames_take(struct mrp_frames *frames, const char *json, size_t len)
{
    mrp_auto(mrp_free_json) json_t *frame = NULL;
    bool good = false;
    if (frames->garbage)
        return false;
    if (!frames->result && mrp_json_parse(&frame, json, len, "a frame", NULL) == 0) {
        const char *type = mrp_json_str(frame, "type");
        for (size_t i = 0; !good && i < MRP_COUNT(frame_types); i++)
            good = mrp_streq(type, frame_types[i].type) && frame_types[i].take(frames, frame);
    }
    if (good)
        return true;
    mrp_auto(mrp_free_json) json_t *text = mrp_clean_string(json, len < 60 ? len : 60);
    if (!frames->garbage)
        frames->garbage = mrp_strf("`%s`", text ? json_string_value(text) : "");
    return false;
}
