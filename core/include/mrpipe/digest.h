/** SHA-256, HMAC and friends on OpenSSL (libmrpipe-net). Nothing blocks. */
#ifndef MRPIPE_DIGEST_H
#define MRPIPE_DIGEST_H

#include <mrpipe/error.h>

#include <stddef.h>
#include <stdint.h>

#define MRP_SHA256_BYTES 32
#define MRP_SHA256_HEX 65 /* with the NUL */

struct mrp_sha256; /* a running hash */

MRP_EXPORT struct mrp_sha256 *mrp_sha256_new(void); /* NULL: no memory */
MRP_EXPORT void mrp_sha256_add(struct mrp_sha256 *h, const void *data, size_t len);
/** Ends the hash; the object can be used again after mrp_sha256_reset. */
MRP_EXPORT void mrp_sha256_end(struct mrp_sha256 *h, unsigned char out[MRP_SHA256_BYTES]);
MRP_EXPORT void mrp_sha256_end_hex(struct mrp_sha256 *h, char out[MRP_SHA256_HEX]);
MRP_EXPORT void mrp_sha256_reset(struct mrp_sha256 *h);
MRP_EXPORT void mrp_sha256_free(struct mrp_sha256 **h); /* for mrp_auto */

MRP_EXPORT void mrp_sha256_hex(char out[MRP_SHA256_HEX], const void *data, size_t len);
MRP_EXPORT void mrp_hmac_sha256(unsigned char out[MRP_SHA256_BYTES],
                                const void *key,
                                size_t key_len,
                                const void *data,
                                size_t len);
MRP_EXPORT void mrp_md5(unsigned char out[16], const void *data, size_t len);
/** Bytes from the system's generator; used for jitter and ids. */
MRP_EXPORT uint64_t mrp_random(void);

#endif
