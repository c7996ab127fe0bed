/* AWS Signature Version 4: from the canonical request to the Authorization header. */
#include "sigv4.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <string.h>

void sigv4_signature(char out[MRP_SHA256_HEX],
                     const char *secret,
                     const char *date8,
                     const char *region,
                     const char *service,
                     const char *text)
{
    unsigned char key[MRP_SHA256_BYTES];
    char first[300];
    mrp_copy(first, 5, "AWS4");
    mrp_copy(first + 4, sizeof first - 4, secret);
    mrp_hmac_sha256(key, first, strlen(first), date8, strlen(date8));
    explicit_bzero(first, sizeof first);
    const char *const steps[] = {region, service, "aws4_request", text};
    for (size_t i = 0; i < MRP_COUNT(steps); i++) {
        unsigned char next[MRP_SHA256_BYTES];
        mrp_hmac_sha256(next, key, sizeof key, steps[i], strlen(steps[i]));
        memcpy(key, next, sizeof key);
    }
    mrp_auto(mrp_free_str) char *hex = mrp_hex(key, sizeof key);
    mrp_copy(out, MRP_SHA256_HEX, hex ? hex : "");
}

static int sign(struct mrp_headers *headers,
                const struct mrp_sigv4 *how,
                const char *canonical,
                const char *signed_headers,
                const char *date)
{
    char date8[9];
    mrp_copy(date8, sizeof date8, date);
    char digest[MRP_SHA256_HEX];
    mrp_sha256_hex(digest, canonical, strlen(canonical));
    mrp_auto(mrp_free_str) char *scope =
        mrp_strf("%s/%s/%s/aws4_request", date8, how->region, how->service);
    mrp_auto(mrp_free_str) char *text =
        scope ? mrp_strf("AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, digest) : NULL;
    if (!text)
        return MRP_E_NOMEM;
    char signature[MRP_SHA256_HEX];
    sigv4_signature(signature, how->credentials->secret_key, date8, how->region, how->service,
                    text);
    mrp_auto(mrp_free_str) char *value =
        mrp_strf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                 how->credentials->access_key, scope, signed_headers, signature);
    return value ? mrp_headers_set(headers, "Authorization", value) : MRP_E_NOMEM;
}

int mrp_sigv4_sign(struct mrp_headers *headers,
                   const struct mrp_sigv4 *how,
                   const char *method,
                   const char *url,
                   const char *payload_sha256,
                   char **canonical,
                   struct mrp_error *err)
{
    char date[32];
    mrp_amz_date(date, sizeof date, how->wall_ms);
    const char *token = how->credentials->session_token;
    int rc = mrp_headers_set(headers, "X-Amz-Date", date);
    if (rc == 0 && token && !how->token_after)
        rc = mrp_headers_set(headers, "X-Amz-Security-Token", token);
    mrp_auto(mrp_free_str) char *text = NULL;
    mrp_auto(mrp_free_str) char *names = NULL;
    if (rc == 0)
        rc = sigv4_canonical(&text, &names, headers, how->s3, method, url, payload_sha256);
    if (rc == 0)
        rc = sign(headers, how, text, names, date);
    if (rc == 0 && token && how->token_after)
        rc = mrp_headers_set(headers, "X-Amz-Security-Token", token);
    if (rc)
        return mrp_fail(err, (enum mrp_code)rc, "sign a request for %s", how->service);
    if (canonical)
        *canonical = mrp_take_str(&text);
    return 0;
}
