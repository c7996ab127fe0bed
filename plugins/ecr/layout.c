/* Reads and writes OCI image layout folders. */
#include "layout.h"
#include "ref.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REF_NAME "org.opencontainers.image.ref.name"
enum { INDEX_MAX = 16 << 20 };

static int nomem(struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "image layout");
}

void layout_free(struct layout **layout)
{
    if (!*layout)
        return;
    if ((*layout)->temporary)
        mrp_remove_tree((*layout)->dir, NULL);
    free((*layout)->dir);
    free((*layout)->shown);
    free((*layout)->archive);
    json_decref((*layout)->index);
    free(*layout);
    *layout = NULL;
}

static int create_in(const char *dir, struct mrp_error *err)
{
    static const char mark[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    mrp_auto(mrp_free_str) char *blobs = mrp_strf("%s/blobs/sha256", dir);
    mrp_auto(mrp_free_str) char *file = mrp_strf("%s/oci-layout", dir);
    if (!blobs || !file)
        return nomem(err);
    int rc = mrp_mkdirs(blobs, err);
    return rc ? rc : mrp_file_write(file, mark, sizeof mark - 1, 0644, false, err);
}

static json_t *empty_index(void)
{
    return json_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType", MEDIA_OCI_INDEX,
                     "manifests");
}

int layout_open(struct layout **out,
                const char *dir,
                const char *shown,
                enum layout_mode mode,
                struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *index = mrp_strf("%s/index.json", dir);
    mrp_auto(mrp_free_str) char *mark = mrp_strf("%s/oci-layout", dir);
    mrp_auto(layout_free) struct layout *l = calloc(1, sizeof *l);
    if (!index || !mark || !l)
        return nomem(err);
    l->dir = mrp_strdup(dir);
    l->shown = mrp_strdup(shown);
    int rc = 0;
    if (mrp_exists(index))
        rc = mrp_json_read(&l->index, index, INDEX_MAX, err);
    else if (mode == LAYOUT_READ)
        rc =
            mrp_fail(err, MRP_E_NOTFOUND, "%s is no OCI image layout: it has no index.json", shown);
    else
        l->index = empty_index();
    if (!rc && mode == LAYOUT_CREATE && !mrp_exists(mark))
        rc = create_in(dir, err);
    if (rc)
        return rc;
    if (!l->index || !l->dir || !l->shown)
        return nomem(err);
    if (!mrp_json_arr(l->index, "manifests"))
        return mrp_fail(err, MRP_E_REMOTE, "%s/index.json has no `manifests`", shown);
    *out = l;
    l = NULL;
    return 0;
}

static const char *entry_tag(const json_t *entry)
{
    return mrp_json_str(mrp_json_obj(entry, "annotations"), REF_NAME);
}

/* Tools write "1.4" or a whole name "HOST/core:1.4" there. */
static bool tag_is(const char *have, const char *want)
{
    if (!have)
        return false;
    const char *colon = strrchr(have, ':');
    return !strcmp(have, want) || (colon && !strcmp(colon + 1, want));
}

bool layout_find(char digest[DIGEST_SIZE], const struct layout *layout, const char *ref)
{
    const json_t *list = mrp_json_arr(layout->index, "manifests");
    const char *found = NULL;
    bool several = false; /* an image with two tags is still one */
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        const char *d = mrp_json_str(entry, "digest");
        if (!d || !digest_valid(d))
            continue;
        if (!*ref) {
            several = several || (found && strcmp(found, d) != 0);
            found = d;
        } else if (!strcmp(d, ref) || tag_is(entry_tag(entry), ref)) {
            found = d;
        }
    }
    if (several)
        return false;
    if (!found && digest_valid(ref) && layout_has_blob(layout, ref, -1))
        found = ref;
    if (found)
        mrp_copy(digest, DIGEST_SIZE, found);
    return found != NULL;
}

char *layout_blob_path(const struct layout *layout, const char *digest)
{
    const char *colon = strchr(digest, ':');
    if (!colon || !digest_valid(digest))
        return NULL;
    return mrp_strf("%s/blobs/%.*s/%s", layout->dir, (int)(colon - digest), digest, colon + 1);
}

bool layout_has_blob(const struct layout *layout, const char *digest, int64_t size)
{
    mrp_auto(mrp_free_str) char *path = layout_blob_path(layout, digest);
    struct stat st;
    return path && !stat(path, &st) && S_ISREG(st.st_mode) && (size < 0 || st.st_size == size);
}

int layout_get(struct manifest **out,
               const struct layout *layout,
               const char *digest,
               struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = layout_blob_path(layout, digest);
    mrp_auto(mrp_free_str) char *what = mrp_strf("manifest %s of %s", digest, layout->shown);
    if (!path || !what)
        return nomem(err);
    mrp_auto(mrp_free_str) char *text = NULL;
    size_t len = 0;
    int rc = mrp_file_read(&text, &len, path, MANIFEST_MAX, err);
    return rc ? rc : manifest_new(out, text, len, NULL, digest, what, err);
}

int layout_put_blob(struct layout *layout,
                    const char *digest,
                    const void *data,
                    size_t len,
                    struct mrp_error *err)
{
    if (!digest_matches(digest, data, len) || !mrp_starts(digest, "sha256:"))
        return mrp_fail(err, MRP_E_REMOTE, "blob %s for %s: the bytes have another digest", digest,
                        layout->shown);
    mrp_auto(mrp_free_str) char *path = layout_blob_path(layout, digest);
    return path ? mrp_file_write(path, data, len, 0644, false, err) : nomem(err);
}

/* One entry per tag; an entry without a tag per digest. */
static void drop_entry(json_t *list, const char *tag, const char *digest)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        const json_t *entry = json_array_get(list, i);
        const char *have = entry_tag(entry);
        bool same =
            tag ? tag_is(have, tag) : !have && mrp_streq(mrp_json_str(entry, "digest"), digest);
        if (same)
            json_array_remove(list, i);
    }
}

int layout_put(struct layout *layout,
               const struct manifest *m,
               const char *tag,
               bool root,
               struct mrp_error *err)
{
    int rc = layout_put_blob(layout, m->digest, m->bytes, m->len, err);
    if (rc || !root)
        return rc;
    json_t *list = mrp_json_arr(layout->index, "manifests");
    json_t *entry = json_pack("{s:s, s:s, s:I}", "mediaType", m->media_type, "digest", m->digest,
                              "size", (json_int_t)m->len);
    if (!entry)
        return nomem(err);
    if (tag && mrp_json_put(entry, "annotations", json_pack("{s:s}", REF_NAME, tag))) {
        json_decref(entry);
        return nomem(err);
    }
    drop_entry(list, tag, m->digest);
    if (json_array_append_new(list, entry))
        return nomem(err);
    layout->changed = true;
    mrp_auto(mrp_free_str) char *text = mrp_json_text(layout->index);
    mrp_auto(mrp_free_str) char *path = mrp_strf("%s/index.json", layout->dir);
    return text && path ? mrp_file_write(path, text, strlen(text), 0644, true, err) : nomem(err);
}

int layout_tags(char ***out, const struct layout *layout, struct mrp_error *err)
{
    size_t i;
    json_t *entry;
    json_array_foreach(mrp_json_arr(layout->index, "manifests"), i, entry)
    {
        const char *tag = entry_tag(entry);
        const char *colon = tag ? strrchr(tag, ':') : NULL;
        if (tag && mrp_strv_add(out, colon ? colon + 1 : tag))
            return nomem(err);
    }
    return 0;
}

/* "there are: one, two" as far as it has room. */
static void hint_tags(const struct layout *layout, struct mrp_error *err)
{
    mrp_auto(mrp_free_strv) char **tags = NULL;
    struct mrp_error ignored = {0};
    char text[200] = "";
    size_t used = 0;
    if (layout_tags(&tags, layout, &ignored))
        return;
    for (char **t = tags; t && *t; t++) {
        bool fits = used + strlen(*t) + sizeof ", ..." < sizeof text;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? ", " : "",
                                 fits ? *t : "...");
        if (!fits)
            break;
    }
    if (used)
        mrp_hint(err, "its tags: %s", text);
    else
        mrp_hint(err, "its images have no tags: name one by @sha256:...");
}

int layout_lacks(const struct layout *layout, const char *ref, struct mrp_error *err)
{
    size_t count = json_array_size(mrp_json_arr(layout->index, "manifests"));
    if (!count)
        return mrp_fail(err, MRP_E_NOTFOUND, "%s holds no image", layout->shown);
    if (*ref)
        mrp_fail(err, MRP_E_NOTFOUND, "%s has no image `%s`", layout->shown, ref);
    else
        mrp_fail(err, MRP_E_NOTFOUND, "%s holds %zu images: name one with :TAG", layout->shown,
                 count);
    hint_tags(layout, err);
    return err->code;
}
