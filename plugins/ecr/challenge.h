/* WWW-Authenticate: what a registry wants to see. */
#ifndef ECR_CHALLENGE_H
#define ECR_CHALLENGE_H

#include <mrpipe/error.h>

#include <stdbool.h>

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
    enum challenge_scheme scheme;
    char *realm;
    char *service;
    char *scope;
    char *error;
};

/** Read one header line (it may hold several challenges) into `c`; Bearer wins over Basic, so it
 * may be called for several lines. Unknown schemes are passed over. 0 or MRP_E_NOMEM; malformed
 * text ends the reading without an error. challenge_done frees. */
int challenge_read(struct challenge *c, const char *header);
void challenge_done(struct challenge *c);

#endif
