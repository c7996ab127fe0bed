/* Signing a request of the HTTP engine, try by try. */
#ifndef MRP_NET_AWS_SIGN_H
#define MRP_NET_AWS_SIGN_H

#include "client.h"

#include <mrpipe/digest.h>

struct aws_signing {
    struct mrp_aws *aws;
    const struct mrp_credentials *credentials;
    const char *service;
    const char *region;
    const char *method;
    const char *url;
    char payload[MRP_SHA256_HEX];
    bool s3; /* and send x-amz-content-sha256 */
};

/** An mrp_http_request's `prepare`; arg is a struct aws_signing. */
int aws_sign(void *arg, struct mrp_headers *headers, struct mrp_error *err);
/** Take the service's clock from the Date of an answer. */
void aws_learn_skew(struct mrp_aws *aws, const struct mrp_http_response *resp);
/** The region that signs for a global service. */
const char *aws_global_region(const struct aws_service *service, const char *region);
/** Ask anew at the next use, unless they were renewed meanwhile. */
void aws_forget_credentials(struct mrp_aws *aws, const struct mrp_credentials *used);

#endif
