/* The parts of AWS Signature Version 4 that have more than one user. */
#ifndef MRP_NET_SIGV4_H
#define MRP_NET_SIGV4_H

#include <mrpipe/aws.h>
#include <mrpipe/buf.h>
#include <mrpipe/digest.h>

/** The canonical request (owned) and the list of signed headers ("host;x-amz-date", owned). */
int sigv4_canonical(char **canonical,
                    char **signed_headers,
                    const struct mrp_headers *headers,
                    bool s3,
                    const char *method,
                    const char *url,
                    const char *payload_sha256);

/** HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request") over `text`. */
void sigv4_signature(char out[MRP_SHA256_HEX],
                     const char *secret,
                     const char *date8,
                     const char *region,
                     const char *service,
                     const char *text);

#endif
