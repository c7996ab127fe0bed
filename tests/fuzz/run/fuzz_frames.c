/* Frames of a hostile worker. */
#include "frames.h"

#include <mrpipe/json.h>

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_output(void *arg, const char *name, const json_t *value)
{
    (void)arg, (void)name, (void)value;
}
static void on_text(void *arg, const char *masked)
{
    (void)arg, (void)masked;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrp_masker *masker = mrp_masker_new();
    struct mrp_journal journal;
    mrp_journal_init(&journal, masker, NULL, 0);
    struct mrp_frames f = {.journal = &journal,
                           .masker = masker,
                           .id = "x",
                           .on_output = on_output,
                           .on_text = on_text};
    if (masker && mrp_frames_init(&f) == 0) {
        const char *p = (const char *)data, *end = p + size, *line;
        while (p < end && (line = memchr(p, '\n', (size_t)(end - p)))) {
            mrp_frames_take(&f, p, (size_t)(line - p));
            p = line + 1;
        }
        mrp_frames_take(&f, p, (size_t)(end - p));
        if (f.result) {
            struct mrp_error err;
            mrp_error_from_json(&err, mrp_json_obj(f.result, "error"));
        }
        mrp_frames_done(&f);
    }
    mrp_journal_done(&journal);
    mrp_masker_free(&masker);
    return 0;
}
