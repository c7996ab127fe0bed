/* The engine's life, its settings, and errors made from answers. */
#include "call.h"

#include <mrpipe/auto.h>
#include <mrpipe/stage.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *net_env(struct mrp_stage *stage, const char *name)
{
    const char *value = stage ? mrp_stage_env(stage, name) : getenv(name);
    return value && *value ? value : NULL;
}

/* The file of certificates that the user named, in the order of the AWS CLI and curl. */
static char *find_ca_file(struct mrp_stage *stage)
{
    static const char *const names[] = {"AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"};
    for (size_t i = 0; i < MRP_COUNT(names); i++) {
        const char *path = net_env(stage, names[i]);
        if (path)
            return mrp_strdup(path);
    }
    return NULL;
}

int mrp_http_new(struct mrp_http **out, struct mrp_stage *stage, struct mrp_error *err)
{
    curl_global_init(CURL_GLOBAL_DEFAULT); /* counted by curl */
    struct mrp_http *http = calloc(1, sizeof *http);
    CURLM *multi = http ? curl_multi_init() : NULL;
    CURLSH *share = multi ? curl_share_init() : NULL;
    if (!share || sockets_init(&http->sockets, multi) != 0) {
        int why = share ? errno : ENOMEM;
        curl_share_cleanup(share);
        curl_multi_cleanup(multi);
        free(http);
        curl_global_cleanup();
        return why == EMFILE || why == ENFILE
                   ? mrp_fail(err, MRP_E_IO, "start the HTTP engine: no file descriptor is left")
                   : mrp_fail(err, MRP_E_NOMEM, "start the HTTP engine");
    }
    http->multi = multi;
    http->share = share;
    curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    http->stage = stage;
    http->due_ms = FAR_MS;
    http->spare = -1;
    http->debug = stage && mrp_stage_debug(stage, "http");
    const char *insecure = net_env(stage, "MRPIPE_INSECURE_TLS");
    http->insecure = insecure && strcmp(insecure, "1") == 0;
    http->ca_file = find_ca_file(stage);
    pacing_init(&http->pacing);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 512L);
    if (http->insecure && stage)
        mrp_log(stage, MRP_WARN, "TLS certificates are not checked (MRPIPE_INSECURE_TLS=1)");
    *out = http;
    return 0;
}

void mrp_http_free(struct mrp_http **out)
{
    struct mrp_http *http = *out;
    if (!http)
        return;
    http->cancelled = true;
    calls_end_all(http);
    while (http->idle_count)
        curl_easy_cleanup(http->idle[--http->idle_count]);
    curl_multi_cleanup(http->multi);
    sockets_done(&http->sockets);
    curl_share_cleanup(http->share);
    spares_done(http);
    fiber_host_done(&http->fibers);
    pacing_done(&http->pacing);
    free(http->ca_file);
    free(http);
    *out = NULL;
    curl_global_cleanup();
}

void mrp_http_limit_bandwidth(struct mrp_http *http, uint64_t bytes_per_s)
{
    http->pacing.bytes_per_s = bytes_per_s;
}

void mrp_http_limit_connections(struct mrp_http *http, unsigned per_host, unsigned total)
{
    http->pacing.per_host = per_host ? per_host : 128;
    http->pacing.total = total ? total : 512;
}

void mrp_http_response_done(struct mrp_http_response *resp)
{
    mrp_headers_done(&resp->headers);
    mrp_buf_done(&resp->body);
    free(resp->url);
    *resp = (struct mrp_http_response){0};
}

int mrp_http_status_error(const struct mrp_http_response *resp,
                          const char *what,
                          struct mrp_error *err)
{
    enum mrp_code code = MRP_E_REMOTE;
    if (resp->status == 401 || resp->status == 403)
        code = MRP_E_AUTH;
    else if (resp->status == 404)
        code = MRP_E_NOTFOUND;
    char name[64];
    char words[300];
    api_error_read(name, sizeof name, words, sizeof words, resp);
    mrp_fail(err, code, "%s: HTTP %d%s%s%s%s", what, resp->status, name[0] ? ": " : "", name,
             words[0] ? ": " : "", words);
    if (err) {
        err->upstream = resp->status;
        mrp_copy(err->api, sizeof err->api, name);
    }
    return code;
}
