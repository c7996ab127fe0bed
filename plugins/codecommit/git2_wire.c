/* libgit2's smart transport under our own protocol code: its subtransport (ssh, HTTP) is wrapped so
 * that the raw advertisement passes by, and its streams are then used directly. */
#include "git2_wire.h"
#include "aside.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>
#include <mrpipe/url.h>

#include <git2/sys/transport.h>
#include <stdlib.h>
#include <string.h>

struct tap;

struct mrp_git2_wire {
    git_smart_subtransport base; /* ours: what libgit2's smart transport calls */
    git_smart_subtransport *inner;
    git_smart_subtransport_definition definition;
    git_remote *remote;
    git_smart_subtransport_stream *stream; /* of the request */
    bool own_stream;                       /* to be freed here (HTTP) */
    struct tap *tap;                       /* the one that libgit2 holds */
    bool ssh;
    struct mrp_end *end;
    char *url;               /* our own: the end may be gone */
    struct mrp_aside *aside; /* the call that uses it now */
    enum mrp_service service;
    struct mrp_advert advert;
    bool listening; /* the advertisement is being read */
    int tries;      /* of logging in */
    struct mrp_error err;
};

/* A stream of the inner transport that copies what is read. */
struct tap {
    git_smart_subtransport_stream base;
    git_smart_subtransport_stream *inner;
    struct mrp_git2_wire *wire;
};

static int tap_read(git_smart_subtransport_stream *s, char *buf, size_t cap, size_t *len)
{
    struct tap *t = (struct tap *)s;
    struct mrp_git2_wire *w = t->wire;
    int rc = t->inner->read(t->inner, buf, cap, len);
    mrp_aside_heard(w->aside);
    if (!rc && *len && w->listening && mrp_advert_feed(&w->advert, buf, *len, &w->err))
        rc = GIT_EUSER;
    mrp_aside_blocks(w->aside);
    return rc;
}

static int tap_write(git_smart_subtransport_stream *s, const char *buf, size_t len)
{
    struct tap *t = (struct tap *)s;
    return t->inner->write(t->inner, buf, len);
}

static void tap_free(git_smart_subtransport_stream *s)
{
    struct tap *t = (struct tap *)s;
    if (t->wire->tap == t)
        t->wire->tap = NULL;
    t->inner->free(t->inner);
    free(t);
}

/* Apart, so that tests/leaks.txt can name what libgit2 1.5 loses in here, and nothing of ours. */
static int inner_action(git_smart_subtransport_stream **out,
                        struct mrp_git2_wire *w,
                        const char *url,
                        git_smart_service_t action)
{
    return w->inner->action(out, w->inner, url, action);
}

static int sub_action(git_smart_subtransport_stream **out,
                      git_smart_subtransport *sub,
                      const char *url,
                      git_smart_service_t action)
{
    struct mrp_git2_wire *w = (struct mrp_git2_wire *)sub;
    git_smart_subtransport_stream *inner = NULL;
    struct tap *t = NULL;
    int rc = inner_action(&inner, w, url, action);
    if (rc)
        return rc;
    if (w->tap && w->tap->inner == inner) { /* ssh has one stream for everything */
        *out = &w->tap->base;
        return 0;
    }
    t = calloc(1, sizeof *t);
    if (!t) {
        inner->free(inner);
        return -1;
    }
    w->tap = t;
    *t = (struct tap){
        .base = {.subtransport = sub, .read = tap_read, .write = tap_write, .free = tap_free},
        .inner = inner,
        .wire = w};
    *out = &t->base;
    return 0;
}

static int sub_close(git_smart_subtransport *sub)
{
    struct mrp_git2_wire *w = (struct mrp_git2_wire *)sub;
    return w->inner->close(w->inner);
}

static void sub_free(git_smart_subtransport *sub)
{
    struct mrp_git2_wire *w = (struct mrp_git2_wire *)sub;
    if (w->inner)
        w->inner->free(w->inner);
    w->inner = NULL;
}

static int make_sub(git_smart_subtransport **out, git_transport *owner, void *arg)
{
    struct mrp_git2_wire *w = arg;
    int rc = w->ssh ? git_smart_subtransport_ssh(&w->inner, owner, NULL)
                    : git_smart_subtransport_http(&w->inner, owner, NULL);
    if (rc)
        return rc;
    w->base.action = sub_action;
    w->base.close = sub_close;
    w->base.free = sub_free;
    *out = &w->base;
    return 0;
}

static int make_transport(git_transport **out, git_remote *owner, void *arg)
{
    struct mrp_git2_wire *w = arg;
    w->definition =
        (git_smart_subtransport_definition){.callback = make_sub, .rpc = !w->ssh, .param = w};
    return git_transport_smart(out, owner, &w->definition);
}

/* The n-th key to try: the one that was named, the agent, the usual files. */
static int ssh_key(git_credential **out, struct mrp_git2_wire *w, const char *user)
{
    static const char *const usual[] = {"id_ed25519", "id_ecdsa", "id_rsa"};
    const char *named = w->end->session->ssh_key;
    const char *home = getenv("HOME");
    while (w->tries <= (int)MRP_COUNT(usual)) {
        int n = w->tries++;
        mrp_auto(mrp_free_str) char *file = NULL;
        if (named) {
            struct mrp_error ignored;
            if (n > 0 || mrp_stage_path(&file, w->end->session->stage, named, &ignored))
                return GIT_EAUTH;
        } else if (n == 0) {
            if (getenv("SSH_AUTH_SOCK") && git_credential_ssh_key_from_agent(out, user) == 0)
                return 0;
            continue;
        } else {
            file = home ? mrp_strf("%s/.ssh/%s", home, usual[n - 1]) : NULL;
        }
        mrp_auto(mrp_free_str) char *public = file ? mrp_strf("%s.pub", file) : NULL;
        if (public && mrp_exists(file))
            return git_credential_ssh_key_new(out, user, mrp_exists(public) ? public : NULL, file,
                                              NULL);
    }
    return GIT_EAUTH;
}

static int
credential(git_credential **out, const char *url, const char *user, unsigned allowed, void *arg)
{
    struct mrp_git2_wire *w = arg;
    int rc = GIT_EAUTH; /* HTTP carries its own header */
    (void)url;
    mrp_aside_heard(w->aside);
    if (allowed & GIT_CREDENTIAL_SSH_KEY)
        rc = ssh_key(out, w, user ? user : "git");
    else if (allowed & GIT_CREDENTIAL_USERNAME)
        rc = git_credential_username_new(out, user ? user : "git");
    mrp_aside_blocks(w->aside);
    return rc;
}

struct header_job {
    struct mrp_end *end;
    char *header;
};

static int make_header(void *arg, struct mrp_error *err)
{
    struct header_job *job = arg;
    return mrp_login_header(&job->header, job->end, err);
}

/* What libgit2 tells in words alone; ours have the repository's name in them too. */
static enum mrp_code code_of(enum mrp_code otherwise)
{
    static const struct {
        const char *words;
        enum mrp_code code;
    } known[] = {{"status code: 404", MRP_E_NOTFOUND}, {"status code: 401", MRP_E_AUTH},
                 {"status code: 403", MRP_E_AUTH},     {"status code: ", MRP_E_REMOTE},
                 {"failed to resolve", MRP_E_NET},     {"failed to connect", MRP_E_NET},
                 {"authenticat", MRP_E_AUTH}};
    const git_error *last = git_error_last();
    for (size_t i = 0; last && last->message && i < MRP_COUNT(known); i++)
        if (strstr(last->message, known[i].words))
            return known[i].code;
    return otherwise;
}

static int connect_remote(struct mrp_git2_wire *w, struct mrp_error *err)
{
    git_remote_create_options create;
    git_remote_connect_options how;
    mrp_auto(mrp_free_str) char *header = NULL;
    mrp_auto(mrp_free_str) char *line = NULL;
    char agent[] = "User-Agent: git/2.39 mrpipe";
    char *lines[2] = {agent, NULL};
    struct mrp_end *end = w->end;
    git_remote_create_options_init(&create, GIT_REMOTE_CREATE_OPTIONS_VERSION);
    git_remote_connect_options_init(&how, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
    create.flags = GIT_REMOTE_CREATE_SKIP_INSTEADOF;
    how.callbacks.transport = make_transport;
    how.callbacks.credentials = credential;
    how.callbacks.payload = w;
    how.proxy_opts.type = GIT_PROXY_AUTO;
    how.follow_redirects = GIT_REMOTE_REDIRECT_NONE; /* the header below must not travel on */
    struct header_job job = {.end = end};
    int rc = w->ssh ? MRP_OK : mrp_aside_ask(w->aside, make_header, &job, err);
    header = job.header;
    if (rc)
        return rc;
    line = header ? mrp_strf("Authorization: %s", header) : NULL;
    lines[0] = line;
    how.custom_headers = (git_strarray){lines, line ? 1 : 0};
    rc = git_remote_create_with_opts(&w->remote, w->url, &create);
    mrp_aside_blocks(w->aside);
    if (!rc)
        rc = git_remote_connect_ext(
            w->remote, w->service == MRP_UPLOAD_PACK ? GIT_DIRECTION_FETCH : GIT_DIRECTION_PUSH,
            &how);
    mrp_aside_heard(w->aside);
    if (header)
        explicit_bzero(header, strlen(header));
    if (line)
        explicit_bzero(line, strlen(line));
    if (w->err.code) {
        *err = w->err;
        return mrp_wrap(err, "read the refs of %s", end->text);
    }
    if (!rc)
        return MRP_OK;
    mrp_git2_fail(rc, "read the refs of", end->text, err);
    err->code = code_of(err->code);
    if (w->ssh && err->code == MRP_E_AUTH)
        mrp_hint(err, "is the key in the agent, or named by ssh-key? is the host in known_hosts?");
    return err->code;
}

int mrp_git2_wire_open(struct mrp_git2_wire **out,
                       struct mrp_end *end,
                       enum mrp_service service,
                       struct mrp_refs *refs,
                       struct mrp_error *err)
{
    int rc = mrp_git2_start(end->session, err);
    if (rc)
        return rc;
    mrp_auto(mrp_git2_wire_free) struct mrp_git2_wire *w = calloc(1, sizeof *w);
    if (!w)
        return mrp_fail(err, MRP_E_NOMEM, "connect to %s", end->text);
    w->end = end;
    w->url = mrp_strdup(end->url);
    if (!w->url)
        return mrp_fail(err, MRP_E_NOMEM, "connect to %s", end->text);
    w->aside = end->aside;
    w->service = service;
    w->ssh = !mrp_starts(end->url, "http");
    mrp_advert_init(&w->advert, refs, service, !w->ssh);
    w->listening = true;
    rc = connect_remote(w, err);
    w->listening = false;
    if (!rc)
        rc = mrp_advert_finish(&w->advert, err);
    if (rc)
        return rc;
    *out = w;
    w = NULL;
    return MRP_OK;
}

void mrp_git2_wire_adopt(struct mrp_git2_wire *wire, struct mrp_aside *aside)
{
    if (wire)
        wire->aside = aside;
}

enum mrp_service mrp_git2_wire_service(const struct mrp_git2_wire *wire)
{
    return wire->service;
}

int mrp_git2_wire_begin(struct mrp_git2_wire *wire, struct mrp_error *err)
{
    git_smart_service_t action =
        wire->service == MRP_UPLOAD_PACK ? GIT_SERVICE_UPLOADPACK : GIT_SERVICE_RECEIVEPACK;
    mrp_aside_blocks(wire->aside);
    int rc = wire->inner->action(&wire->stream, wire->inner, wire->url, action);
    mrp_aside_heard(wire->aside);
    wire->own_stream = !rc && !wire->ssh;
    return rc ? mrp_git2_fail(rc, "speak to", wire->end->text, err) : MRP_OK;
}

int mrp_git2_wire_write(struct mrp_git2_wire *wire,
                        const char *data,
                        size_t len,
                        struct mrp_error *err)
{
    mrp_aside_blocks(wire->aside);
    int rc = wire->stream->write(wire->stream, data, len);
    mrp_aside_heard(wire->aside);
    return rc ? mrp_git2_fail(rc, "write to", wire->end->text, err) : MRP_OK;
}

int mrp_git2_wire_read(struct mrp_git2_wire *wire,
                       char *buf,
                       size_t cap,
                       size_t *len,
                       struct mrp_error *err)
{
    *len = 0;
    mrp_aside_blocks(wire->aside);
    int rc = wire->stream->read(wire->stream, buf, cap, len);
    mrp_aside_heard(wire->aside);
    if (rc == GIT_EEOF) {
        *len = 0;
        return MRP_OK;
    }
    return rc ? mrp_git2_fail(rc, "read from", wire->end->text, err) : MRP_OK;
}

void mrp_git2_wire_free(struct mrp_git2_wire **wire)
{
    struct mrp_git2_wire *w = *wire;
    if (!w)
        return;
    mrp_aside_blocks(w->aside);
    if (w->own_stream && w->stream)
        w->stream->free(w->stream);
    if (w->remote) {
        git_remote_disconnect(w->remote);
        git_remote_free(w->remote);
    }
    mrp_aside_heard(w->aside);
    free(w->url);
    mrp_advert_done(&w->advert);
    free(w);
    *wire = NULL;
}
