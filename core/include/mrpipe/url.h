/** URLs by RFC 3986, as far as HTTP needs them (libmrpipe-net). */
#ifndef MRPIPE_URL_H
#define MRPIPE_URL_H

#include <mrpipe/error.h>

#include <stdbool.h>

struct mrp_url {
    char *scheme;   /* lower case */
    char *user;     /* decoded; NULL if none */
    char *password; /* decoded; NULL if none */
    char *host;     /* lower case; IPv6 with its brackets */
    int port;       /* as written, else 443/80/22 by scheme; 0 unknown */
    bool port_given;
    char *path;  /* as written, "/" if empty */
    char *query; /* without '?'; NULL if none */
};

/** 0 or MRP_E_CONFIG (bad form, control bytes, over 8 KiB). Free with mrp_url_done in any case. */
MRP_EXPORT int
mrp_url_parse(struct mrp_url *out, const char *text, struct mrp_error *err) MRP_NODISCARD;
MRP_EXPORT void mrp_url_done(struct mrp_url *url);
/** SCHEME://HOST[:PORT]PATH[?QUERY] without user and password. Owned. */
MRP_EXPORT char *mrp_url_text(const struct mrp_url *url);
/** "host" or "host:port" when the port is not the scheme's own: the Host header. Owned. */
MRP_EXPORT char *mrp_url_authority(const struct mrp_url *url);
/** Resolve a reference (Location header) against a base. Owned; NULL: bad reference. */
MRP_EXPORT char *mrp_url_resolve(const char *base, const char *reference);
/** A URL fit for a message: user, password and signature-like query values removed. Owned. */
MRP_EXPORT char *mrp_url_redact(const char *url);

#endif
