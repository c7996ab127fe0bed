/* SHA-256, HMAC, MD5 and random numbers on OpenSSL's EVP interface. */
#include <mrpipe/digest.h>

#include <mrpipe/time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct mrp_sha256 {
    EVP_MD_CTX *ctx;
};

static void to_hex(char out[MRP_SHA256_HEX], const unsigned char sum[MRP_SHA256_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < MRP_SHA256_BYTES; i++) {
        out[2 * i] = digits[sum[i] >> 4];
        out[2 * i + 1] = digits[sum[i] & 15];
    }
    out[MRP_SHA256_HEX - 1] = '\0';
}

struct mrp_sha256 *mrp_sha256_new(void)
{
    struct mrp_sha256 *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx || !EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL))
        mrp_sha256_free(&h);
    return h;
}

void mrp_sha256_add(struct mrp_sha256 *h, const void *data, size_t len)
{
    EVP_DigestUpdate(h->ctx, data, len);
}

void mrp_sha256_end(struct mrp_sha256 *h, unsigned char out[MRP_SHA256_BYTES])
{
    EVP_DigestFinal_ex(h->ctx, out, NULL);
}

void mrp_sha256_end_hex(struct mrp_sha256 *h, char out[MRP_SHA256_HEX])
{
    unsigned char sum[MRP_SHA256_BYTES] = {0};
    mrp_sha256_end(h, sum);
    to_hex(out, sum);
}

void mrp_sha256_reset(struct mrp_sha256 *h)
{
    EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL);
}

void mrp_sha256_free(struct mrp_sha256 **h)
{
    if (!*h)
        return;
    EVP_MD_CTX_free((*h)->ctx);
    free(*h);
    *h = NULL;
}

void mrp_sha256_hex(char out[MRP_SHA256_HEX], const void *data, size_t len)
{
    unsigned char sum[MRP_SHA256_BYTES] = {0};
    EVP_Digest(len ? data : "", len, sum, NULL, EVP_sha256(), NULL);
    to_hex(out, sum);
}

void mrp_hmac_sha256(unsigned char out[MRP_SHA256_BYTES],
                     const void *key,
                     size_t key_len,
                     const void *data,
                     size_t len)
{
    unsigned int out_len = MRP_SHA256_BYTES;
    HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &out_len);
}

void mrp_md5(unsigned char out[16], const void *data, size_t len)
{
    memset(out, 0, 16);
    EVP_Digest(len ? data : "", len, out, NULL, EVP_md5(), NULL);
}

uint64_t mrp_random(void)
{
    uint64_t value = 0;
    if (getrandom(&value, sizeof value, 0) == (ssize_t)sizeof value)
        return value;
    return (uint64_t)mrp_now_us() * UINT64_C(0x9e3779b97f4a7c15); /* only jitter is at stake */
}
