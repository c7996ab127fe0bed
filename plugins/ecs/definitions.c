/* Reads imagedefinitions files and finds an image's counterpart in another region. */
#include "definitions.h"

#include <mrpipe/auto.h>
#include <mrpipe/aws.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <string.h>

enum { FILE_MAX = 100 * 1024 };

static int check_entries(const json_t *list, const char *file, struct mrp_error *err)
{
    size_t i;
    json_t *entry;
    if (json_is_object(list) && mrp_json_str(list, "ImageURI")) {
        mrp_fail(err, MRP_E_CONFIG, "%s is an imageDetail file (for blue/green deployments)", file);
        return mrp_hint(err,
                        "a rolling deployment wants [{\"name\": CONTAINER, \"imageUri\": IMAGE}]");
    }
    if (!json_is_array(list) || json_array_size(list) == 0) {
        mrp_fail(err, MRP_E_CONFIG, "%s is no list of images", file);
        return mrp_hint(err, "its form is [{\"name\": CONTAINER, \"imageUri\": IMAGE}]");
    }
    json_array_foreach(list, i, entry)
    {
        const char *name = mrp_json_str(entry, "name");
        const char *image = mrp_json_str(entry, "imageUri");
        if (!name || !*name || !image || !*image)
            return mrp_fail(err, MRP_E_CONFIG, "%s: entry %zu has no %s", file, i + 1,
                            name && *name ? "imageUri" : "name");
        if (strpbrk(image, " \t\r\n\"'\\"))
            return mrp_fail(err, MRP_E_CONFIG, "%s: `%s` is no image", file, image);
    }
    return MRP_OK;
}

int mrp_definitions_read(json_t **out,
                         const struct mrp_stage *stage,
                         const char *file,
                         struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = NULL;
    mrp_auto(mrp_free_str) char *text = NULL;
    mrp_auto(mrp_free_json) json_t *list = NULL;
    size_t len = 0;
    int rc = mrp_stage_path(&path, stage, file, err);
    if (rc)
        return rc;
    if (!mrp_exists(path)) {
        mrp_fail(err, MRP_E_NOTFOUND, "%s is not there", file);
        return mrp_hint(err,
                        "the phases write it, and ecs/imagedefinitions its sibling for the other "
                        "region");
    }
    if ((rc = mrp_file_read(&text, &len, path, FILE_MAX, err)) != 0)
        return rc;
    if (mrp_json_parse(&list, text, len, file, err)) {
        err->code = MRP_E_CONFIG;
        return err->code;
    }
    if ((rc = check_entries(list, file, err)) != 0)
        return rc;
    *out = mrp_take_json(&list);
    return MRP_OK;
}

int mrp_definitions_find(const char **out, const struct mrp_stage *stage, struct mrp_error *err)
{
    static const char *const names[] = {MRP_DEFINITIONS_PRIMARY, MRP_DEFINITIONS_PLAIN};
    for (size_t i = 0; i < MRP_COUNT(names); i++) {
        mrp_auto(mrp_free_str) char *path = NULL;
        int rc = mrp_stage_path(&path, stage, names[i], err);
        if (rc)
            return rc;
        if (mrp_exists(path)) {
            *out = names[i];
            return MRP_OK;
        }
    }
    mrp_fail(err, MRP_E_NOTFOUND, "neither %s nor %s is in %s", names[0], names[1],
             mrp_stage_workdir(stage));
    return mrp_hint(err, "the phases should write one; name it if it is called otherwise");
}

char *mrp_definitions_sibling(const char *from, const char *region, size_t secondaries)
{
    const char *base = mrp_basename(from);
    const char *dot = strrchr(base, '.');
    size_t stem = dot ? (size_t)(dot - from) : strlen(from);
    const char *ending = dot ? dot : "";
    static const char primary[] = "_primary";
    bool is_primary = stem >= sizeof primary - 1 &&
                      strncmp(from + stem - (sizeof primary - 1), primary, sizeof primary - 1) == 0;
    if (is_primary)
        stem -= sizeof primary - 1;
    if (is_primary && secondaries == 1)
        return mrp_strf("%.*s_secondary%s", (int)stem, from, ending);
    return mrp_strf("%.*s_%s%s", (int)stem, from, region, ending);
}

const json_t *
mrp_definitions_copy(const json_t *images, const char *name, const char *source, const char *region)
{
    const json_t *best = NULL;
    size_t i, k;
    json_t *image, *copy;
    for (int by_name = 0; by_name < 2 && !best; by_name++) {
        json_array_foreach(images, i, image)
        {
            const char *have = mrp_json_str(image, by_name ? "name" : "source");
            const char *want = by_name ? name : source;
            if (!have || !want || !*want || strcmp(have, want) != 0)
                continue;
            json_array_foreach(mrp_json_arr(image, "copies"), k, copy)
            {
                const char *there = mrp_json_str(copy, "region");
                if (!mrp_json_str(copy, "image"))
                    continue;
                if (there && strcmp(there, region) == 0)
                    return copy;
                if ((!there || !*there) && !best)
                    best = copy;
            }
        }
    }
    return best;
}

/* Points at the region in HOST = ACCOUNT.dkr.ecr[-fips].REGION.SUFFIX; 0: not such a host. */
static size_t region_at(const char *image, const char **start)
{
    size_t digits = strspn(image, "0123456789");
    const char *s = image + digits;
    if (digits != 12)
        return 0;
    if (mrp_starts(s, ".dkr.ecr."))
        s += strlen(".dkr.ecr.");
    else if (mrp_starts(s, ".dkr.ecr-fips."))
        s += strlen(".dkr.ecr-fips.");
    else
        return 0;
    size_t n = strcspn(s, "./");
    if (s[n] != '.' || !strchr(s, '/'))
        return 0;
    *start = s;
    return n;
}

char *mrp_definitions_region(const char *image)
{
    const char *s = NULL;
    size_t n = region_at(image, &s);
    return n ? mrp_strndup(s, n) : NULL;
}

char *mrp_definitions_move(const char *image, const char *region)
{
    const char *s = NULL;
    size_t n = region_at(image, &s);
    if (!n)
        return NULL;
    const char *slash = strchr(s, '/');
    return mrp_strf("%.*s%s.%s%s", (int)(s - image), image, region, mrp_aws_suffix(region), slash);
}
