/* The folder of a run: id, logs, the link `last`, pruning of old runs. */
#include "folder.h"

#include "run.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static char *new_id(void)
{
    char now[40];
    unsigned char random[3] = {0};
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return NULL;
    mrp_auto(mrp_free_str) char *hex = mrp_hex(random, sizeof random);
    return hex ? mrp_strf("%s-%s", mrp_amz_date(now, sizeof now, mrp_wall_ms()), hex) : NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Ids begin with the time, so the oldest sort first. */
static void prune(const char *runs)
{
    mrp_auto(mrp_free_strv) char **ids = NULL;
    {
        mrp_auto(mrp_close_dir) DIR *dir = opendir(runs);
        const struct dirent *entry;
        while (dir && (entry = readdir(dir)))
            if (entry->d_name[0] == '2' && mrp_strv_add(&ids, entry->d_name))
                return;
    }
    size_t n = mrp_strv_len(ids);
    if (n <= MRP_RUNS_KEPT)
        return;
    qsort(ids, n, sizeof(char *), compare);
    for (size_t i = 0; i < n - MRP_RUNS_KEPT; i++) {
        mrp_auto(mrp_free_str) char *path = mrp_strf("%s/%s", runs, ids[i]);
        if (path)
            (void)mrp_remove_tree(path, NULL);
    }
}

static int make_last(const char *runs, const char *id, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *link = mrp_strf("%s/last", runs);
    mrp_auto(mrp_free_str) char *part = mrp_strf("%s/.last.%s", runs, id);
    if (!link || !part)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    if (symlink(id, part) || rename(part, link))
        return mrp_fail_errno(err, "link %s", link);
    return 0;
}

int mrp_folder_make(struct mrp_folder *out,
                    const char *workdir,
                    bool last,
                    bool temp,
                    struct mrp_error *err)
{
    *out = (struct mrp_folder){0};
    mrp_auto(mrp_free_str) char *base = mrp_strf("%s/.mrpipe", workdir);
    mrp_auto(mrp_free_str) char *runs = mrp_strf("%s/.mrpipe/runs", workdir);
    out->id = new_id();
    out->path = runs && out->id ? mrp_strf("%s/%s", runs, out->id) : NULL;
    mrp_auto(mrp_free_str) char *stages = out->path ? mrp_strf("%s/stages", out->path) : NULL;
    mrp_auto(mrp_free_str) char *ignore = base ? mrp_strf("%s/.gitignore", base) : NULL;
    if (!stages || !ignore)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    int rc = mrp_mkdirs(stages, err);
    if (!rc && !mrp_exists(ignore))
        rc = mrp_file_write(ignore, "*\n", 2, 0644, false, err);
    if (!rc && last)
        rc = make_last(runs, out->id, err);
    if (!rc && temp)
        rc = mrp_temp_dir(&out->temp, "mrpipe", err);
    if (!rc)
        prune(runs);
    return rc;
}

void mrp_folder_done(struct mrp_folder *folder)
{
    if (folder->temp)
        (void)mrp_remove_tree(folder->temp, NULL);
    mrp_free_str(&folder->temp);
    mrp_free_str(&folder->path);
    mrp_free_str(&folder->id);
}

char *mrp_folder_file(const struct mrp_folder *folder,
                      const char *sub,
                      const char *name,
                      const char *suffix)
{
    mrp_auto(mrp_free_str) char *flat = mrp_strdup(name);
    for (char *p = flat; p && *p; p++)
        if (*p == '/')
            *p = '_';
    if (!flat || !folder->path)
        return NULL;
    return mrp_strf("%s/%s%s%.200s%s", folder->path, sub, *sub ? "/" : "", flat, suffix);
}

int mrp_folder_write(const struct mrp_folder *folder,
                     const char *name,
                     const json_t *value,
                     struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *path = mrp_folder_file(folder, "", name, "");
    mrp_auto(mrp_free_str) char *text = value ? json_dumps(value, JSON_INDENT(2)) : NULL;
    if (!path || !text)
        return mrp_fail(err, MRP_E_NOMEM, "out of memory");
    return mrp_file_write(path, text, strlen(text), 0600, false, err);
}

int mrp_run_folder(char **out, const char *workdir, const char *id, struct mrp_error *err)
{
    if (!*id || strchr(id, '/') || id[0] == '.')
        return mrp_fail(err, MRP_E_CONFIG, "`%s` is no run id", id);
    mrp_auto(mrp_free_str) char *link = mrp_strf("%s/.mrpipe/runs/%s", workdir, id);
    mrp_auto(mrp_free_str) char *path = link ? realpath(link, NULL) : NULL;
    if (!path && strcmp(id, "last") == 0) {
        mrp_fail(err, MRP_E_NOTFOUND, "no run was made in %s yet", workdir);
        return mrp_hint(err, "make one without --resume, or name its folder with -C DIR");
    }
    if (!path) {
        mrp_fail(err, MRP_E_NOTFOUND, "there is no run `%s` under %s/.mrpipe/runs", id, workdir);
        return mrp_hint(err, "`ls %s/.mrpipe/runs` lists them", workdir);
    }
    *out = mrp_take_str(&path);
    return 0;
}
