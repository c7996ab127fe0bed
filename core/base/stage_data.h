/* The stage as libmrpipe sees it: its facts, and where frames go. */
#ifndef MRP_BASE_STAGE_DATA_H
#define MRP_BASE_STAGE_DATA_H

#include <mrpipe/host.h>

struct mrp_stage {
    struct mrp_stage_init init;
    json_t *nothing; /* an empty object that stands for absent maps */
    json_t *held;    /* the newest progress frame that was not sent yet; NULL */
    int64_t sent_ms; /* when the last progress frame went out */
};

/** Send one frame and drop the reference; NULL (no memory while building it) sends nothing. */
void mrp_stage_send(struct mrp_stage *stage, json_t *frame);

/** Send the progress frame that is being held back, if there is one. */
void mrp_stage_flush(struct mrp_stage *stage);

#endif
