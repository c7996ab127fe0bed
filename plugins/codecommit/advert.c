/* The parser of ref advertisements: fed in any pieces, keeps names and ids only. */
#include "advert.h"

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

const char *mrp_service_name(enum mrp_service s)
{
    return s == MRP_UPLOAD_PACK ? "git-upload-pack" : "git-receive-pack";
}

void mrp_advert_init(struct mrp_advert *a, struct mrp_refs *refs, enum mrp_service s, bool http)
{
    *a = (struct mrp_advert){.pkt = MRP_PKT_READER_INIT, .refs = refs, .service = s};
    a->state = http ? MRP_ADVERT_SERVICE : MRP_ADVERT_FIRST;
}

void mrp_advert_done(struct mrp_advert *a)
{
    mrp_pkt_reader_done(&a->pkt);
}

static int malformed(const char *what, const char *data, size_t len, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *shown = mrp_show_name(data, len < 120 ? len : 120);
    return mrp_fail(err, MRP_E_REMOTE, "%s: \"%s\"", what, shown ? shown : "");
}

static int sha256_refused(struct mrp_error *err)
{
    mrp_fail(err, MRP_E_CONFIG, "the repository uses SHA-256 object ids");
    return mrp_hint(err, "only SHA-1 repositories can be mirrored; CodeCommit has no other");
}

/* "git-upload-pack" sends HEAD's target only as a capability. */
static int take_caps(struct mrp_refs *refs, const char *caps, size_t len, struct mrp_error *err)
{
    free(refs->caps);
    refs->caps = mrp_strndup(caps, len);
    if (!refs->caps)
        return mrp_fail(err, MRP_E_NOMEM, "keep the capabilities");
    size_t n;
    const char *from = NULL;
    const char *format = mrp_caps_value(refs->caps, "object-format", &n, NULL);
    if (format && !(n == 4 && memcmp(format, "sha1", 4) == 0))
        return sha256_refused(err);
    for (const char *v; (v = mrp_caps_value(refs->caps, "symref", &n, &from));) {
        if (n <= 5 || memcmp(v, "HEAD:", 5) != 0 || !mrp_ref_name_ok(v + 5, n - 5))
            continue;
        free(refs->head);
        refs->head = mrp_strndup(v + 5, n - 5);
        if (!refs->head)
            return mrp_fail(err, MRP_E_NOMEM, "keep the name of HEAD");
    }
    return MRP_OK;
}

static bool name_is(const char *name, size_t len, const char *want)
{
    return len == strlen(want) && memcmp(name, want, len) == 0;
}

static int take_ref(struct mrp_advert *a,
                    const struct mrp_oid *id,
                    const char *name,
                    size_t len,
                    struct mrp_error *err)
{
    struct mrp_refs *refs = a->refs;
    if (name_is(name, len, "capabilities^{}") || mrp_oid_is_zero(id))
        return MRP_OK;
    if (name_is(name, len, ".have"))
        return mrp_oids_add(&refs->extra, id, err);
    if (len > 3 && memcmp(name + len - 3, "^{}", 3) == 0)
        return MRP_OK; /* what a tag points to: its own object brings it along */
    if (name_is(name, len, "HEAD"))
        return MRP_OK;
    if (mrp_ref_name_ok(name, len))
        return mrp_refs_add(refs, name, len, id, err);
    /* A command for such a name could end a pkt-line early or leave a folder. */
    refs->odd_names = true;
    return mrp_oids_add(&refs->extra, id, err);
}

static bool starts(const char *data, size_t len, const char *word)
{
    size_t n = strlen(word);
    return len >= n && memcmp(data, word, n) == 0;
}

static int server_says(const char *data, size_t len, struct mrp_error *err)
{
    struct mrp_view words = mrp_view_trim((struct mrp_view){data, len});
    mrp_auto(mrp_free_str) char *shown = mrp_show_name(words.p, words.n);
    return mrp_fail(err, MRP_E_REMOTE, "the server says: %s", shown ? shown : "");
}

/* "OID NAME" without what follows the name. */
static int take_pair(struct mrp_advert *a, const char *data, size_t len, struct mrp_error *err)
{
    struct mrp_oid id, more;
    if (len < MRP_OID_HEX + 2 || !mrp_oid_parse(&id, data, len))
        return malformed("a line of the advertisement is malformed", data, len, err);
    if (data[MRP_OID_HEX] == ' ')
        return take_ref(a, &id, data + MRP_OID_HEX + 1, len - MRP_OID_HEX - 1, err);
    if (len > 64 && data[64] == ' ' && mrp_oid_parse(&more, data + 24, 40))
        return sha256_refused(err);
    return malformed("a line of the advertisement is malformed", data, len, err);
}

static int take_line(struct mrp_advert *a, const char *data, size_t len, struct mrp_error *err)
{
    bool first = a->state == MRP_ADVERT_FIRST;
    if (starts(data, len, "ERR "))
        return server_says(data + 4, len - 4, err);
    if (first && starts(data, len, "version 1"))
        return MRP_OK;
    if (first && starts(data, len, "version 2"))
        return mrp_fail(err, MRP_E_REMOTE, "the server insists on git protocol 2");
    if (starts(data, len, "shallow ")) {
        a->refs->shallow = true;
        return MRP_OK;
    }
    a->state = MRP_ADVERT_REFS;
    const char *nul = memchr(data, '\0', len);
    size_t line = nul ? (size_t)(nul - data) : len;
    if (nul && first) {
        size_t rest = len - line - 1;
        while (rest && (nul[rest] == '\n' || nul[rest] == '\0'))
            rest--;
        int rc = take_caps(a->refs, nul + 1, rest, err);
        if (rc)
            return rc;
    }
    while (line && !nul && data[line - 1] == '\n')
        line--;
    return take_pair(a, data, line, err);
}

static int
packet(void *arg, enum mrp_pkt_kind kind, const char *data, size_t len, struct mrp_error *err)
{
    struct mrp_advert *a = arg;
    switch (a->state) {
    case MRP_ADVERT_SERVICE: {
        const char *name = mrp_service_name(a->service);
        size_t n = strlen(name);
        if (kind == MRP_PKT_DATA && starts(data, len, "ERR "))
            return server_says(data + 4, len - 4, err);
        if (kind != MRP_PKT_DATA || len < 10 + n || memcmp(data, "# service=", 10) != 0 ||
            memcmp(data + 10, name, n) != 0)
            return malformed("the answer does not begin with \"# service=\"", data, len, err);
        a->state = MRP_ADVERT_SERVICE_END;
        return MRP_OK;
    }
    case MRP_ADVERT_SERVICE_END:
        a->state = MRP_ADVERT_FIRST;
        if (kind == MRP_PKT_FLUSH)
            return MRP_OK;
        break;
    case MRP_ADVERT_END:
        return MRP_OK;
    default:
        break;
    }
    if (kind == MRP_PKT_FLUSH) {
        a->state = MRP_ADVERT_END;
        return MRP_OK;
    }
    if (kind == MRP_PKT_DELIM)
        return malformed("a delimiter inside the advertisement", data, len, err);
    return take_line(a, data, len, err);
}

int mrp_advert_feed(struct mrp_advert *a, const char *data, size_t len, struct mrp_error *err)
{
    return mrp_pkt_feed(&a->pkt, data, len, packet, a, err);
}

int mrp_advert_finish(struct mrp_advert *a, struct mrp_error *err)
{
    if (a->state != MRP_ADVERT_END || !mrp_pkt_idle(&a->pkt))
        return mrp_fail(err, MRP_E_NET, "the list of refs was cut after %zu refs", a->refs->count);
    return mrp_refs_finish(a->refs, err);
}
