/* The ref advertisement of upload-pack and receive-pack (protocol v0 and v1). */
#ifndef CODECOMMIT_ADVERT_H
#define CODECOMMIT_ADVERT_H

#include "pkt.h"
#include "refs.h"

enum mrp_service { MRP_UPLOAD_PACK, MRP_RECEIVE_PACK };
const char *mrp_service_name(enum mrp_service s); /* "git-upload-pack" */

struct mrp_advert {
    struct mrp_pkt_reader pkt;
    struct mrp_refs *refs; /* filled */
    enum mrp_service service;
    enum {
        MRP_ADVERT_SERVICE,
        MRP_ADVERT_SERVICE_END,
        MRP_ADVERT_FIRST,
        MRP_ADVERT_REFS,
        MRP_ADVERT_END
    } state;
};

/** `http`: the answer begins with a "# service=" line. Free with mrp_advert_done. */
void mrp_advert_init(struct mrp_advert *a, struct mrp_refs *refs, enum mrp_service s, bool http);
/** 0; MRP_E_REMOTE with the server's own words for "ERR", else what is malformed. SHA-256 and
 * protocol 2 are refused here. */
int mrp_advert_feed(struct mrp_advert *a, const char *data, size_t len, struct mrp_error *err);
/** At the end of the answer: an advertisement without its last flush is cut, never "no refs". */
int mrp_advert_finish(struct mrp_advert *a, struct mrp_error *err);
void mrp_advert_done(struct mrp_advert *a);

#endif
