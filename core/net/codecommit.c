/* CodeCommit's git password: one signature over a fixed pseudo-request. */
#include "sigv4.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <string.h>

int mrp_codecommit_password(char **user,
                            char **password,
                            const struct mrp_credentials *c,
                            const char *region,
                            const char *host,
                            const char *path,
                            int64_t wall_ms,
                            struct mrp_error *err)
{
    char stamp[32];
    char date8[9];
    mrp_amz_date(stamp, sizeof stamp, wall_ms);
    stamp[strcspn(stamp, "Z")] = '\0'; /* the text to sign has no Z, the password has */
    mrp_copy(date8, sizeof date8, stamp);
    size_t host_len = strcspn(host, ":");
    mrp_auto(mrp_free_str) char *canonical =
        mrp_strf("GIT\n%s\n\nhost:%.*s\n\nhost\n", path, (int)host_len, host);
    if (!canonical)
        return mrp_fail(err, MRP_E_NOMEM, "sign for %s", host);
    char digest[MRP_SHA256_HEX];
    mrp_sha256_hex(digest, canonical, strlen(canonical));
    mrp_auto(mrp_free_str) char *text = mrp_strf(
        "AWS4-HMAC-SHA256\n%s\n%s/%s/codecommit/aws4_request\n%s", stamp, date8, region, digest);
    if (!text)
        return mrp_fail(err, MRP_E_NOMEM, "sign for %s", host);
    char signature[MRP_SHA256_HEX];
    sigv4_signature(signature, c->secret_key, date8, region, "codecommit", text);
    mrp_auto(mrp_free_str) char *name = c->session_token
                                            ? mrp_strf("%s%%%s", c->access_key, c->session_token)
                                            : mrp_strdup(c->access_key);
    mrp_auto(mrp_free_str) char *secret = mrp_strf("%sZ%s", stamp, signature);
    if (!name || !secret)
        return mrp_fail(err, MRP_E_NOMEM, "sign for %s", host);
    *user = mrp_take_str(&name);
    *password = mrp_take_str(&secret);
    return 0;
}
