/* Reads image manifests and indexes from hostile bytes, within limits. */
#include "manifest.h"
#include "ref.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/digest.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEDIA_SCHEMA1 "application/vnd.docker.distribution.manifest.v1"

const char manifest_accept[] = MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_LIST
                                               ", " MEDIA_DOCKER_MANIFEST ", " MEDIA_OCI_ARTIFACT;

enum { INLINE_MAX = 2 << 20 };
#define BLOB_SIZE_MAX ((int64_t)1 << 42)

bool media_is_manifest(const char *type)
{
    static const char *const types[] = {MEDIA_OCI_INDEX, MEDIA_OCI_MANIFEST, MEDIA_DOCKER_LIST,
                                        MEDIA_DOCKER_MANIFEST, MEDIA_OCI_ARTIFACT};
    for (size_t i = 0; i < MRP_COUNT(types); i++)
        if (mrp_streq(type, types[i]))
            return true;
    return false;
}

void digest_of(char out[DIGEST_SIZE], const void *data, size_t len)
{
    char hex[MRP_SHA256_HEX];
    mrp_sha256_hex(hex, data, len);
    snprintf(out, DIGEST_SIZE, "sha256:%s", hex);
}

static void digest512_of(char out[DIGEST_SIZE], const void *data, size_t len)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    out[0] = '\0';
    if (EVP_Digest(data, len, sum, &n, EVP_sha512(), NULL) != 1 || n != 64)
        return;
    memcpy(out, "sha512:", 7);
    for (unsigned i = 0; i < n; i++)
        snprintf(out + 7 + i * 2, 3, "%02x", sum[i]);
}

bool digest_matches(const char *digest, const void *data, size_t len)
{
    char got[DIGEST_SIZE];
    if (mrp_starts(digest, "sha512:"))
        digest512_of(got, data, len);
    else
        digest_of(got, data, len);
    return !strcmp(got, digest);
}

static void desc_done(struct desc *d)
{
    free(d->media_type);
    free(d->platform);
    free(d->artifact_type);
    free(d->data);
    memset(d, 0, sizeof *d);
}

struct manifest *manifest_share(struct manifest *m)
{
    m->shared++;
    return m;
}

void manifest_free(struct manifest **m)
{
    if (*m && (*m)->shared) {
        (*m)->shared--;
        *m = NULL;
    }
    if (!*m)
        return;
    for (size_t i = 0; i < (*m)->count; i++)
        desc_done(&(*m)->items[i]);
    free((*m)->items);
    free((*m)->bytes);
    free((*m)->media_type);
    free((*m)->subject);
    free((*m)->artifact_type);
    free(*m);
    *m = NULL;
}

static char *platform_text(const json_t *p)
{
    const char *os = mrp_json_str(p, "os");
    const char *arch = mrp_json_str(p, "architecture");
    const char *variant = mrp_json_str(p, "variant");
    if (!os || !arch || strlen(os) > 64 || strlen(arch) > 64 || (variant && strlen(variant) > 64))
        return NULL;
    return mrp_strf("%s/%s%s%s", os, arch, variant && *variant ? "/" : "", variant ? variant : "");
}

/* Inline data must be what digest and size say, or it is no stand-in for the blob. */
static int read_inline(struct desc *d, const char *text, const char *what, struct mrp_error *err)
{
    size_t n = 0;
    if (strlen(text) > INLINE_MAX)
        return mrp_fail(err, MRP_E_REMOTE, "%s: inline data of %s is too large", what, d->digest);
    d->data = mrp_unbase64(&n, text, strlen(text));
    if (!d->data || (int64_t)n != d->size || !digest_matches(d->digest, d->data, n))
        return mrp_fail(err, MRP_E_REMOTE, "%s: inline data does not match its digest %s", what,
                        d->digest);
    return 0;
}

static int
read_desc(struct desc *d, const json_t *j, bool child, const char *what, struct mrp_error *err)
{
    const char *digest = mrp_json_str(j, "digest");
    const char *type = mrp_json_str(j, "mediaType");
    if (!digest || !digest_valid(digest))
        return mrp_fail(err, MRP_E_REMOTE,
                        "%s: a descriptor has no sha256 or sha512 digest (`%.90s`)", what,
                        digest ? digest : "none");
    d->size = mrp_json_int(j, "size", -1);
    if (d->size < 0 || d->size > BLOB_SIZE_MAX)
        return mrp_fail(err, MRP_E_REMOTE, "%s: descriptor %s has the size %" PRId64, what, digest,
                        d->size);
    mrp_copy(d->digest, sizeof d->digest, digest);
    d->media_type = mrp_strdup(type ? type : "");
    const char *artifact = mrp_json_str(j, "artifactType");
    d->artifact_type = mrp_strdup(artifact);
    d->manifest = child || media_is_manifest(type);
    d->platform = platform_text(json_object_get(j, "platform"));
    d->foreign = type && (strstr(type, ".foreign.") || strstr(type, "nondistributable"));
    const char *data = mrp_json_str(j, "data");
    if (!d->media_type)
        return mrp_fail(err, MRP_E_NOMEM, "%s", what);
    return data ? read_inline(d, data, what, err) : 0;
}

static int add_items(struct manifest *m,
                     const json_t *list,
                     bool child,
                     const char *what,
                     struct mrp_error *err)
{
    size_t i;
    json_t *j;
    json_array_foreach(list, i, j)
    {
        int rc = read_desc(&m->items[m->count++], j, child, what, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int read_items(struct manifest *m, const json_t *j, const char *what, struct mrp_error *err)
{
    json_t *config = json_object_get(j, "config");
    json_t *layers = mrp_json_arr(j, "layers");
    json_t *blobs = mrp_json_arr(j, "blobs");
    json_t *children = mrp_json_arr(j, "manifests");
    m->index = children != NULL;
    if (children && (layers || json_is_object(config)))
        return mrp_fail(err, MRP_E_REMOTE, "%s is both an index and a manifest", what);
    if (!children && !layers && !blobs && !config)
        return mrp_fail(err, MRP_E_REMOTE, "%s is neither an image manifest nor an index", what);
    size_t n = json_array_size(layers) + json_array_size(blobs) + json_array_size(children) + 1;
    if (n > MANIFEST_ITEMS_MAX + 1)
        return mrp_fail(err, MRP_E_REMOTE, "%s has %zu descriptors, more than %d", what, n - 1,
                        MANIFEST_ITEMS_MAX);
    m->items = calloc(n, sizeof *m->items);
    if (!m->items)
        return mrp_fail(err, MRP_E_NOMEM, "%s", what);
    if (json_is_object(config)) {
        int rc = read_desc(&m->items[m->count++], config, false, what, err);
        if (rc)
            return rc;
        /* ORAS-style artifacts keep their type here. */
        m->items[0].manifest = false;
    }
    int rc = add_items(m, layers, false, what, err);
    if (!rc)
        rc = add_items(m, blobs, false, what, err);
    for (size_t i = 0; i < m->count; i++)
        m->items[i].manifest = false;
    return rc ? rc : add_items(m, children, true, what, err);
}

static int
refuse_schema1(const json_t *j, const char *type, const char *what, struct mrp_error *err)
{
    if (mrp_json_int(j, "schemaVersion", 2) == 2 && !mrp_starts(type ? type : "", MEDIA_SCHEMA1))
        return 0;
    mrp_fail(err, MRP_E_REMOTE, "%s is docker schema 1, a format that registries have given up",
             what);
    return mrp_hint(err, "build and push the image again with a current tool");
}

/* Which type goes on the wire: the body's own word, else the answer's header, else by shape. */
static char *media_type(const struct manifest *m, const json_t *j, const char *type)
{
    const char *own = mrp_json_str(j, "mediaType");
    if (own && *own && strlen(own) < 256)
        return mrp_strdup(own);
    if (type) {
        struct mrp_view rest = mrp_view_str(type);
        struct mrp_view word;
        if (mrp_view_next(&word, &rest, ';')) {
            char *text = mrp_strndup(mrp_view_trim(word).p, mrp_view_trim(word).n);
            if (text && media_is_manifest(text))
                return text;
            free(text);
        }
    }
    if (mrp_json_arr(j, "blobs"))
        return mrp_strdup(MEDIA_OCI_ARTIFACT);
    return mrp_strdup(m->index ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST);
}

static int fill(struct manifest *m, const char *type, const char *what, struct mrp_error *err)
{
    mrp_auto(mrp_free_json) json_t *j = NULL;
    int rc = mrp_json_parse(&j, m->bytes, m->len, what, err);
    if (rc)
        return rc;
    if (!json_is_object(j))
        return mrp_fail(err, MRP_E_REMOTE, "%s is no JSON object", what);
    if ((rc = refuse_schema1(j, type, what, err)) || (rc = read_items(m, j, what, err)))
        return rc;
    const char *subject = mrp_json_str(mrp_json_obj(j, "subject"), "digest");
    if (subject && !digest_valid(subject))
        return mrp_fail(err, MRP_E_REMOTE, "%s: its subject has a malformed digest", what);
    m->subject = mrp_strdup(subject);
    const char *artifact = mrp_json_str(j, "artifactType");
    if (!artifact && !m->index && m->count)
        artifact = m->items[0].media_type;
    m->artifact_type = mrp_strdup(artifact);
    m->media_type = media_type(m, j, type);
    if (!m->media_type || (subject && !m->subject))
        return mrp_fail(err, MRP_E_NOMEM, "%s", what);
    return 0;
}

int manifest_new(struct manifest **out,
                 const void *bytes,
                 size_t len,
                 const char *type,
                 const char *digest,
                 const char *what,
                 struct mrp_error *err)
{
    if (len > MANIFEST_MAX)
        return mrp_fail(err, MRP_E_REMOTE, "%s is larger than 4 MiB", what);
    mrp_auto(manifest_free) struct manifest *m = calloc(1, sizeof *m);
    if (!m)
        return mrp_fail(err, MRP_E_NOMEM, "%s", what);
    if (digest && mrp_starts(digest, "sha512:"))
        digest512_of(m->digest, bytes, len);
    else
        digest_of(m->digest, bytes, len);
    if (digest && strcmp(digest, m->digest) != 0) {
        /* The digest of schema 1 is not over all of its bytes. */
        mrp_auto(mrp_free_json) json_t *j = NULL;
        if (!mrp_json_parse(&j, bytes, len, what, err) && refuse_schema1(j, type, what, err))
            return err->code;
        mrp_fail(err, MRP_E_REMOTE, "%s hashes to %s, but %s was asked for", what, m->digest,
                 digest);
        return mrp_hint(err, "the registry or something on the way changes the bytes");
    }
    m->bytes = mrp_strndup(bytes, len);
    m->len = len;
    if (!m->bytes || strlen(m->bytes) != len)
        return mrp_fail(err, m->bytes ? MRP_E_REMOTE : MRP_E_NOMEM, "%s is no JSON text", what);
    int rc = fill(m, type, what, err);
    if (rc)
        return rc;
    *out = m;
    m = NULL;
    return 0;
}

bool platform_match(const char *want, const char *have)
{
    if (!have)
        return false;
    size_t n = strlen(want);
    return !strncmp(want, have, n) && (!have[n] || (have[n] == '/' && strchr(want, '/')));
}

static bool wanted(const struct desc *d, char *const *platforms)
{
    for (char *const *p = platforms; *p; p++)
        if (platform_match(*p, d->platform))
            return true;
    return false;
}

/* What a builder wrote about a platform's image (provenance, its parts) goes where that goes. */
static bool wanted_with(const struct manifest *index, const json_t *entry, char *const *platforms)
{
    const char *about =
        mrp_json_str(mrp_json_obj(entry, "annotations"), "vnd.docker.reference.digest");
    for (size_t i = 0; about && i < index->count; i++)
        if (!strcmp(index->items[i].digest, about))
            return wanted(&index->items[i], platforms);
    return false;
}

/* "linux/amd64, linux/arm64/v8" */
static void list_platforms(char *out, size_t size, const struct manifest *index)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < index->count; i++) {
        const char *one = index->items[i].platform;
        if (!one || used + strlen(one) + 3 > size)
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", one);
    }
}

static int
missing_platform(const struct manifest *index, char *const *platforms, struct mrp_error *err)
{
    for (char *const *p = platforms; *p; p++) {
        bool found = false;
        for (size_t i = 0; i < index->count && !found; i++)
            found = platform_match(*p, index->items[i].platform);
        if (!found) {
            char known[200];
            list_platforms(known, sizeof known, index);
            mrp_fail(err, MRP_E_NOTFOUND, "platform %s is not in the index %s", *p, index->digest);
            if (*known)
                return mrp_hint(err, "it has %s", known);
            return mrp_hint(err, "its entries name no platform: copy it without `platforms`");
        }
    }
    return 0;
}

int manifest_trim(struct manifest **out,
                  const struct manifest *index,
                  char *const *platforms,
                  struct mrp_error *err)
{
    int rc = missing_platform(index, platforms, err);
    if (rc)
        return rc;
    mrp_auto(mrp_free_json) json_t *j = NULL;
    if ((rc = mrp_json_parse(&j, index->bytes, index->len, "index", err)))
        return rc;
    json_t *list = mrp_json_arr(j, "manifests");
    for (size_t i = index->count; i-- > 0;)
        if (!wanted(&index->items[i], platforms) &&
            !wanted_with(index, json_array_get(list, i), platforms))
            json_array_remove(list, i);
    if (json_array_size(list) == index->count)
        return manifest_new(out, index->bytes, index->len, index->media_type, NULL, "index", err);
    mrp_auto(mrp_free_str) char *text = mrp_json_text(j);
    if (!text)
        return mrp_fail(err, MRP_E_NOMEM, "index");
    return manifest_new(out, text, strlen(text), index->media_type, NULL, "index", err);
}
