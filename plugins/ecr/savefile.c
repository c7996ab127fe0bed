/* Turns what `docker save` writes into an image layout with compressed layers. */
#include "ref.h"
#include "tarball.h"
#include "unpack.h"

#include <mrpipe/auto.h>
#include <mrpipe/digest.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { CHUNK = 128 << 10, CONFIG_MAX = 4 << 20, LAYERS_MAX = 1000 };

struct blob {
    char digest[DIGEST_SIZE];
    int64_t size;
};

struct output {
    int fd;
    struct mrp_sha256 *hash;
    int64_t size;
};

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "docker archive");
}

static int emit(struct output *out, const void *data, size_t n, struct mrp_error *err)
{
    mrp_sha256_add(out->hash, data, n);
    out->size += (int64_t)n;
    return mrp_write_all(out->fd, data, n) ? mrp_fail_errno(err, "write a layer") : 0;
}

static int
deflate_some(struct output *out, z_stream *z, int flush, unsigned char *buf, struct mrp_error *err)
{
    do {
        z->next_out = buf;
        z->avail_out = CHUNK;
        if (deflate(z, flush) == Z_STREAM_ERROR)
            return mrp_fail(err, MRP_E_BUG, "zlib failed");
        int rc = emit(out, buf, CHUNK - z->avail_out, err);
        if (rc)
            return rc;
    } while (!z->avail_out);
    return 0;
}

/* gzip without time and name: equal layers give equal digests. */
static int compress_into(struct output *out, int in, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *from = malloc(CHUNK);
    mrp_auto(mrp_free_str) char *to = malloc(CHUNK);
    z_stream z = {0};
    if (!from || !to || deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return nomem(err);
    int rc = 0;
    for (;;) {
        ssize_t n = read(in, from, CHUNK);
        if (n < 0)
            rc = mrp_fail_errno(err, "read a layer");
        if (n <= 0 || rc)
            break;
        z.next_in = (unsigned char *)from;
        z.avail_in = (unsigned)n;
        if ((rc = deflate_some(out, &z, Z_NO_FLUSH, (unsigned char *)to, err)))
            break;
    }
    if (!rc)
        rc = deflate_some(out, &z, Z_FINISH, (unsigned char *)to, err);
    deflateEnd(&z);
    return rc;
}

static int copy_into(struct output *out, int in, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *buf = malloc(CHUNK);
    if (!buf)
        return nomem(err);
    for (;;) {
        ssize_t n = read(in, buf, CHUNK);
        if (n < 0)
            return mrp_fail_errno(err, "read a layer");
        if (!n)
            return 0;
        int rc = emit(out, buf, (size_t)n, err);
        if (rc)
            return rc;
    }
}

static bool is_gzip(int fd)
{
    unsigned char magic[2] = {0};
    return pread(fd, magic, 2, 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
}

/* Docker's manifest has no type for these; a newer docker keeps them in its save as an image
 * layout. */
static bool is_zstd(int fd)
{
    static const unsigned char mark[] = {0x28, 0xb5, 0x2f, 0xfd};
    unsigned char magic[4] = {0};
    return pread(fd, magic, 4, 0) == 4 && !memcmp(magic, mark, 4);
}

static int add_file(struct blob *blob,
                    const struct layout *l,
                    const char *path,
                    bool layer,
                    struct mrp_error *err)
{
    mrp_auto(mrp_close_fd) int in = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (in < 0)
        return mrp_fail_errno(err, "%s: open %s", l->shown, mrp_basename(path));
    if (layer && is_zstd(in)) {
        mrp_fail(err, MRP_E_REMOTE, "%s: layer %s is compressed with zstd", l->shown,
                 mrp_basename(path));
        return mrp_hint(err, "name the file with oci-archive:, or save it again with skopeo");
    }
    mrp_auto(mrp_free_str) char *part = mrp_strf("%s/blobs/sha256/part-XXXXXX", l->dir);
    mrp_auto(mrp_sha256_free) struct mrp_sha256 *hash = mrp_sha256_new();
    if (!part || !hash)
        return nomem(err);
    mrp_auto(mrp_close_fd) int fd = mkostemp(part, O_CLOEXEC);
    if (fd < 0)
        return mrp_fail_errno(err, "create %s", part);
    struct output out = {fd, hash, 0};
    int rc = layer && !is_gzip(in) ? compress_into(&out, in, err) : copy_into(&out, in, err);
    if (rc)
        return rc;
    memcpy(blob->digest, "sha256:", 7);
    mrp_sha256_end_hex(hash, blob->digest + 7);
    blob->size = out.size;
    mrp_auto(mrp_free_str) char *to = layout_blob_path(l, blob->digest);
    if (!to)
        return nomem(err);
    return rename(part, to) ? mrp_fail_errno(err, "rename %s", part) : 0;
}

static json_t *descriptor(const char *type, const struct blob *blob)
{
    return json_pack("{s:s, s:I, s:s}", "mediaType", type, "size", (json_int_t)blob->size, "digest",
                     blob->digest);
}

static int add_member(struct blob *blob,
                      const struct layout *l,
                      const char *dir,
                      const char *name,
                      bool layer,
                      struct mrp_error *err)
{
    if (!name)
        return mrp_fail(err, MRP_E_REMOTE, "%s: manifest.json lacks a file name", l->shown);
    mrp_auto(mrp_free_str) char *path = NULL;
    int rc = mrp_path_inside(&path, dir, name, err);
    return rc ? mrp_wrap(err, "%s", l->shown) : add_file(blob, l, path, layer, err);
}

static int put_image(struct layout *l, const json_t *image, const json_t *j, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *text = mrp_json_text(j);
    mrp_auto(manifest_free) struct manifest *m = NULL;
    int rc = text ? manifest_new(&m, text, strlen(text), MEDIA_DOCKER_MANIFEST, NULL, l->shown, err)
                  : nomem(err);
    if (rc)
        return rc;
    const json_t *tags = mrp_json_arr(image, "RepoTags");
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));
        const char *colon = tag ? strrchr(tag, ':') : NULL;
        if (!colon || !tag_valid(colon + 1, strlen(colon + 1)))
            continue;
        if ((rc = layout_put(l, m, colon + 1, true, err)))
            return rc;
    }
    return json_array_size(tags) ? 0 : layout_put(l, m, NULL, true, err);
}

static int
convert_image(struct layout *l, const char *dir, const json_t *image, struct mrp_error *err)
{
    const json_t *names = mrp_json_arr(image, "Layers");
    if (json_array_size(names) > LAYERS_MAX)
        return mrp_fail(err, MRP_E_REMOTE, "%s: more than %d layers", l->shown, LAYERS_MAX);
    struct blob blob = {0};
    int rc = add_member(&blob, l, dir, mrp_json_str(image, "Config"), false, err);
    if (rc)
        return rc;
    json_t *layers = json_array();
    mrp_auto(mrp_free_json) json_t *j =
        json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", MEDIA_DOCKER_MANIFEST,
                  "config", descriptor(MEDIA_DOCKER_CONFIG, &blob), "layers", layers);
    if (!j)
        return nomem(err);
    for (size_t i = 0; i < json_array_size(names); i++) {
        rc = add_member(&blob, l, dir, json_string_value(json_array_get(names, i)), true, err);
        if (!rc && json_array_append_new(layers, descriptor(MEDIA_DOCKER_LAYER, &blob)))
            rc = nomem(err);
        if (rc)
            return rc;
    }
    return put_image(l, image, j, err);
}

static int convert(struct layout *l, const char *dir, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = mrp_strf("%s/manifest.json", dir);
    if (!path)
        return nomem(err);
    if (!mrp_exists(path))
        return mrp_fail(err, MRP_E_REMOTE, "%s is no docker archive: it has no manifest.json",
                        l->shown);
    mrp_auto(mrp_free_json) json_t *list = NULL;
    int rc = mrp_json_read(&list, path, CONFIG_MAX, err);
    if (rc)
        return rc;
    if (!json_array_size(list))
        return mrp_fail(err, MRP_E_REMOTE, "%s: manifest.json names no image", l->shown);
    for (size_t i = 0; !rc && i < json_array_size(list); i++)
        rc = convert_image(l, dir, json_array_get(list, i), err);
    return rc;
}

int archive_open_docker(struct layout **out,
                        const char *path,
                        const char *shown,
                        struct mrp_error *err)
{
    mrp_auto(layout_free) struct layout *l = NULL;
    /* The layout's own folder holds the unpacked files too, so one removal clears both. */
    int rc = archive_create(&l, "", shown, err);
    if (rc)
        return rc;
    free(mrp_take_str(&l->archive));
    mrp_auto(mrp_free_str) char *files = mrp_strf("%s/save", l->dir);
    mrp_auto(mrp_free_str) char *own = mrp_strf("%s/save/index.json", l->dir);
    if (!files || !own)
        return nomem(err);
    if (!(rc = mrp_mkdirs(files, err)))
        rc = unpack(files, path, shown, err);
    if (!rc)
        rc = convert(l, files, err);
    if (rc)
        return rc;
    *out = l;
    l = NULL;
    return 0;
}
