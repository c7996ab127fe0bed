/* A bundle: one file with refs and a pack; read as a source, written whole as a destination. */
#include "end.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192, PIECE = 64 << 10 };

static int malformed(const struct mrp_end *end, struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_CONFIG, "%s is no git bundle", end->text);
}

/* "# v3 git bundle" has capabilities; all but plain SHA-1 are refused. */
static int capability(const struct mrp_end *end, const char *line, struct mrp_error *err)
{
    if (mrp_streq(line, "@object-format=sha1"))
        return MRP_OK;
    mrp_fail(err, MRP_E_CONFIG, "%s needs \"%.60s\"", end->text, line + 1);
    return mrp_hint(err, "only complete SHA-1 bundles can be mirrored");
}

static int ref_line(struct mrp_refs *out,
                    struct mrp_oid *head,
                    const struct mrp_end *end,
                    const char *line,
                    struct mrp_error *err)
{
    struct mrp_oid id;
    size_t n = strlen(line);
    if (line[0] == '-') {
        if (!mrp_oid_parse(&id, line + 1, n - 1))
            return malformed(end, err);
        return mrp_oids_add(&out->extra, &id, err);
    }
    if (n < MRP_OID_HEX + 2 || !mrp_oid_parse(&id, line, n) || line[MRP_OID_HEX] != ' ')
        return malformed(end, err);
    const char *name = line + MRP_OID_HEX + 1;
    if (mrp_streq(name, "HEAD"))
        *head = id;
    return mrp_ref_name_ok(name, strlen(name)) ? mrp_refs_add(out, name, strlen(name), &id, err)
                                               : MRP_OK;
}

/* A bundle tells HEAD's commit only; git takes the first branch that is there. */
static int guess_head(struct mrp_refs *out, const struct mrp_oid *head, struct mrp_error *err)
{
    static const char *const usual[] = {"refs/heads/main", "refs/heads/master"};
    const char *found = NULL;
    if (mrp_oid_is_zero(head))
        return MRP_OK;
    for (size_t i = 0; i < MRP_COUNT(usual) && !found; i++) {
        const struct mrp_ref *r = mrp_refs_find(out, usual[i]);
        found = r && mrp_oid_eq(&r->id, head) ? usual[i] : NULL;
    }
    for (size_t i = 0; i < out->count && !found; i++)
        if (mrp_oid_eq(&out->list[i].id, head) && mrp_starts(out->list[i].name, "refs/heads/"))
            found = out->list[i].name;
    if (!found)
        return MRP_OK;
    out->head = mrp_strdup(found);
    return out->head ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "read a bundle");
}

static int read_header(struct mrp_end *end, FILE *f, struct mrp_refs *out, struct mrp_error *err)
{
    char line[LINE_MAX_BYTES];
    struct mrp_oid head = {0};
    int rc = MRP_OK;
    if (!fgets(line, sizeof line, f) ||
        (strcmp(line, "# v2 git bundle\n") != 0 && strcmp(line, "# v3 git bundle\n") != 0))
        return malformed(end, err);
    for (;;) {
        if (rc || !fgets(line, sizeof line, f))
            return rc ? rc : malformed(end, err);
        size_t n = strlen(line);
        if (!n || line[n - 1] != '\n')
            return malformed(end, err);
        if (n == 1)
            break;
        line[n - 1] = '\0';
        rc = line[0] == '@' ? capability(end, line, err) : ref_line(out, &head, end, line, err);
    }
    long at = ftell(f);
    if (at < 0)
        return mrp_fail_errno(err, "read %s", end->text);
    end->rest = (uint64_t)at;
    rc = mrp_refs_finish(out, err);
    return rc ? rc : guess_head(out, &head, err);
}

static int bundle_list(struct mrp_end *end,
                       struct mrp_refs *out,
                       enum mrp_service service,
                       struct mrp_error *err)
{
    mrp_auto(mrp_close_file) FILE *f = fopen(end->path, "rbe");
    bool fresh = !f && errno == ENOENT && service == MRP_RECEIVE_PACK;
    if (!f && !fresh) {
        mrp_fail_errno(err, "open %s", end->text);
        if (err->upstream == ENOENT)
            err->code = MRP_E_NOTFOUND;
        return err->code;
    }
    int rc = fresh ? MRP_OK : read_header(end, f, out, err);
    if (rc)
        return rc;
    if (service == MRP_RECEIVE_PACK)
        mrp_oids_done(&out->extra);
    out->caps = mrp_strdup(" report-status delete-refs ofs-delta no-thin side-band-64k");
    return out->caps ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "read %s", end->text);
}

static int bundle_pull(struct mrp_end *end,
                       const struct mrp_pull *pull,
                       struct mrp_hub *hub,
                       struct mrp_error *err)
{
    for (size_t i = 0; i < pull->refs->extra.count; i++) {
        const struct mrp_oid *id = &pull->refs->extra.list[i];
        char hex[MRP_OID_HEX + 1];
        if (!mrp_oids_has(pull->haves, id)) {
            mrp_fail(err, MRP_E_CONFIG,
                     "%s builds on commit %s, which no ref of the destination names", end->text,
                     mrp_oid_hex(hex, id));
            return mrp_hint(err, "use a complete bundle (git bundle create FILE --all)");
        }
    }
    mrp_auto(mrp_close_file) FILE *f = fopen(end->path, "rbe");
    if (!f || fseek(f, (long)end->rest, SEEK_SET))
        return mrp_fail_errno(err, "open %s", end->text);
    char *piece = malloc(PIECE);
    int rc = piece ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "read %s", end->text);
    size_t n;
    while (!rc && (n = fread(piece, 1, PIECE, f)) > 0)
        rc = mrp_hub_put(hub, piece, n, err);
    if (!rc && ferror(f))
        rc = mrp_fail_errno(err, "read %s", end->text);
    free(piece);
    return rc ? rc : mrp_hub_close(hub, err);
}

static void write_header(FILE *f, const struct mrp_push *push)
{
    char hex[MRP_OID_HEX + 1];
    fputs("# v2 git bundle\n", f);
    for (size_t i = push->first; i < push->end; i++) {
        const struct mrp_update *u = &push->plan->list[i];
        if (!mrp_oid_is_zero(&u->now))
            fprintf(f, "%s %s\n", mrp_oid_hex(hex, &u->now), u->name);
    }
    const char *head = push->source->head;
    const struct mrp_ref *r = head ? mrp_refs_find(push->source, head) : NULL;
    if (r && mrp_plan_lookup(push->plan, head))
        fprintf(f, "%s HEAD\n", mrp_oid_hex(hex, &r->id));
    fputs("\n", f);
}

static int bundle_push(struct mrp_end *end,
                       struct mrp_push *push,
                       struct mrp_hub_reader *reader,
                       struct mrp_error *err)
{
    if (!reader)
        return mrp_fail(err, MRP_E_CONFLICT, "%s would hold no refs: a bundle cannot be empty",
                        end->text);
    mrp_auto(mrp_free_str) char *part = mrp_strf("%s.%d.part", end->path, (int)getpid());
    mrp_auto(mrp_close_file) FILE *f = part ? fopen(part, "wbxe") : NULL;
    if (!f)
        return mrp_fail_errno(err, "create %s.part", end->text);
    write_header(f, push);
    int rc = MRP_OK;
    for (;;) {
        const char *data;
        size_t len;
        rc = mrp_hub_peek(&data, &len, reader, err);
        if (rc || !len)
            break;
        if (fwrite(data, 1, len, f) != len) {
            rc = mrp_fail_errno(err, "write %s", end->text);
            break;
        }
        mrp_hub_took(reader, len);
        push->sent_bytes += len;
    }
    if (!rc && (fflush(f) || ferror(f) || fsync(fileno(f)) || rename(part, end->path)))
        rc = mrp_fail_errno(err, "write %s", end->text);
    if (rc) {
        unlink(part);
        return rc;
    }
    for (size_t i = push->first; i < push->end; i++)
        push->plan->list[i].state = MRP_UPDATE_DONE;
    return MRP_OK;
}

const struct mrp_end_ops mrp_end_bundle = {.name = "bundle",
                                           .whole = true,
                                           .list = bundle_list,
                                           .pull = bundle_pull,
                                           .push = bundle_push};
