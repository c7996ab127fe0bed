/* Making a stage, and sending its frames to the runner. */
#include "stage_data.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

struct mrp_stage *mrp_stage_new(const struct mrp_stage_init *init)
{
    struct mrp_stage *stage = calloc(1, sizeof *stage);
    if (!stage)
        return NULL;
    stage->init = *init;
    stage->nothing = json_object();
    if (!stage->nothing) {
        free(stage);
        return NULL;
    }
    return stage;
}

void mrp_stage_free(struct mrp_stage *stage)
{
    if (!stage)
        return;
    mrp_stage_flush(stage);
    json_decref(stage->nothing);
    free(stage);
}

void mrp_stage_send(struct mrp_stage *stage, json_t *frame)
{
    mrp_auto(mrp_free_json) json_t *owned = frame;
    mrp_auto(mrp_free_str) char *text = owned ? mrp_json_text(owned) : NULL;
    if (text && stage->init.emit)
        stage->init.emit(stage->init.arg, text, strlen(text));
}

void mrp_stage_flush(struct mrp_stage *stage)
{
    if (stage->held)
        mrp_stage_send(stage, mrp_take_json(&stage->held));
}
