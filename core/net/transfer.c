/* One try of a call as a curl transfer: options, header and body callbacks, pauses. */
#include "call.h"

#include <mrpipe/stage.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADER_LIMIT ((size_t)256 << 10)
#define ERROR_BODY_LIMIT ((size_t)64 << 10)
#define CONNECT_MS 15000L
#define UPLOAD_BUFFER (256L << 10)
#define RECORDS_BUFFER ((size_t)64 << 10)

static void pause_call(struct mrp_http_call *call)
{
    call->paused = true;
    if (call->resume) /* asked for inside of the very callback that pauses */
        call->http->resumes = true;
    pacing_release(&call->http->pacing, &call->slot); /* a waiting transfer blocks nobody */
}

/* False: the bytes must wait for the bandwidth limit. */
static bool may_flow(struct mrp_http_call *call)
{
    struct mrp_http *http = call->http;
    if (!http->pacing.bytes_per_s || pacing_bandwidth(&http->pacing, mrp_now_ms()))
        return true;
    call->throttled = true;
    loop_due(http, pacing_bandwidth_due(&http->pacing, mrp_now_ms()));
    pause_call(call);
    return false;
}

static void begin_answer(struct mrp_http_call *call, const char *line, size_t n)
{
    struct mrp_http_response *resp = call->resp;
    mrp_headers_done(&resp->headers);
    mrp_buf_reset(&resp->body);
    call->head_done = false;
    call->expected_bytes = -1;
    const char *blank = memchr(line, ' ', n);
    uint64_t status = 0;
    if (blank && n - (size_t)(blank - line) >= 4)
        mrp_parse_uint(&status, blank + 1, 3, 999);
    resp->status = (int)status;
}

static bool ends_head(const char *line, size_t n)
{
    return n == 0 || (n == 1 && line[0] == '\n') || (n == 2 && line[0] == '\r' && line[1] == '\n');
}

static size_t head_done(struct mrp_http_call *call, size_t n)
{
    struct mrp_http_response *resp = call->resp;
    if (resp->status < 200)
        return n; /* 100-continue: the real one follows */
    call->head_done = true;
    spares_learn(call->http, call->authority, call->easy);
    const char *length = mrp_headers_get(&resp->headers, "Content-Length");
    if (length)
        mrp_parse_int(&call->expected_bytes, length, 0, INT64_MAX);
    bool kept = resp->status < 300 && !call->has_sink && strcmp(call->method, "HEAD") != 0;
    if (kept && call->expected_bytes > (int64_t)call->max_body) {
        call->too_big = true;
        return 0;
    }
    if (kept && call->expected_bytes > 0)
        mrp_buf_reserve(&resp->body, (size_t)call->expected_bytes);
    if (resp->status >= 300 && call->paused)
        mrp_http_resume(call); /* curl sends no more, but ends only what is not paused */
    if (resp->status < 400 && !redirect_wanted(call)) {
        call->headers_ready = true;
        call_wake(call);
    }
    return n;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct mrp_http_call *call = arg;
    size_t n = size * count;
    if (call->state != CALL_RUNNING)
        return 0;
    call->header_bytes += n;
    if (call->header_bytes > HEADER_LIMIT) {
        call->too_big = true;
        return 0;
    }
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        begin_answer(call, line, n);
        return n;
    }
    if (call->head_done)
        return n; /* a trailer */
    if (ends_head(line, n))
        return head_done(call, n);
    const char *colon = memchr(line, ':', n);
    if (!colon)
        return n; /* folded lines have gone out of use */
    struct mrp_view value =
        mrp_view_trim((struct mrp_view){colon + 1, n - (size_t)(colon + 1 - line)});
    char *name_copy = mrp_strndup(line, (size_t)(colon - line));
    char *value_copy = mrp_strndup(value.p, value.n);
    int rc = name_copy && value_copy ? mrp_headers_add(&call->resp->headers, name_copy, value_copy)
                                     : MRP_E_NOMEM;
    free(name_copy);
    free(value_copy);
    return rc == MRP_E_NOMEM ? 0 : n; /* a malformed field is ignored */
}

static size_t keep(struct mrp_http_call *call, const char *data, size_t n)
{
    struct mrp_buf *body = &call->resp->body;
    if (call->resp->status >= 300) {
        size_t room = body->len < ERROR_BODY_LIMIT ? ERROR_BODY_LIMIT - body->len : 0;
        mrp_buf_add(body, data, n < room ? n : room);
        return n;
    }
    if (body->len + n > call->max_body) {
        call->too_big = true;
        return 0;
    }
    return mrp_buf_add(body, data, n) == 0 ? n : 0;
}

/* What has been taken stays taken. */
static void hold_answer(struct mrp_http_call *call)
{
    /* One direction alone would make curl look at once whether the other has work, for which it
     * reads, and keeps, another piece. */
    bool sends = call->has_source || call->has_body;
    if (curl_easy_pause(call->easy, sends ? CURLPAUSE_RECV : CURLPAUSE_ALL) != CURLE_OK)
        return; /* it goes on then, and is paused when there is no room */
    pause_call(call);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct mrp_http_call *call = arg;
    struct mrp_http *http = call->http;
    size_t n = size * count;
    if (call->state != CALL_RUNNING)
        return 0;
    if (!may_flow(call))
        return CURL_WRITEFUNC_PAUSE;
    bool to_sink = call->has_sink && call->resp->status >= 200 && call->resp->status < 300;
    if (!call->paused)
        call->resume = false; /* older wishes are met by this very call */
    call->hold = false;
    if (to_sink) {
        long took = call->sink.write(call->sink.arg, call->resp, data, n);
        if (took == MRP_HTTP_PAUSE) {
            pause_call(call);
            return CURL_WRITEFUNC_PAUSE;
        }
        if (took < 0 || (size_t)took != n) {
            call->sink_stopped = true;
            return 0;
        }
        call->delivered = true;
        if (call->hold)
            hold_answer(call);
    } else if (keep(call, data, n) != n) {
        return 0;
    }
    call->resp->received_bytes += n;
    pacing_spend(&http->pacing, n);
    return n;
}

static size_t on_read(char *buf, size_t size, size_t count, void *arg)
{
    struct mrp_http_call *call = arg;
    size_t room = size * count;
    if (call->state != CALL_RUNNING)
        return CURL_READFUNC_ABORT;
    if (call->source.length >= 0) {
        int64_t left = call->source.length - call->source_bytes;
        if (left <= 0)
            return 0;
        if ((int64_t)room > left)
            room = (size_t)left;
    }
    if (!may_flow(call))
        return CURL_READFUNC_PAUSE;
    if (!call->paused)
        call->resume = false;
    long got = call->source.read(call->source.arg, buf, room);
    if (got == MRP_HTTP_PAUSE) {
        pause_call(call);
        return CURL_READFUNC_PAUSE;
    }
    if (got < 0 || (size_t)got > room) {
        call->source_stopped = true;
        return CURL_READFUNC_ABORT;
    }
    if (got == 0 && call->source.length >= 0) {
        call->source_short = true;
        return CURL_READFUNC_ABORT;
    }
    call->source_bytes += got;
    pacing_spend(&call->http->pacing, (size_t)got);
    return (size_t)got;
}

/* curl sends again by itself when a kept connection turns out to be closed. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct mrp_http_call *call = arg;
    if (call->state != CALL_RUNNING || offset != 0 || origin != SEEK_SET || call_rewind(call) != 0)
        return CURL_SEEKFUNC_FAIL;
    return CURL_SEEKFUNC_OK;
}

static bool is_private(const char *name)
{
    static const char *const names[] = {"Authorization", "Cookie", "Proxy-Authorization",
                                        "X-Amz-Security-Token", "X-Aws-Ec2-Metadata-Token"};
    for (size_t i = 0; i < MRP_COUNT(names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static int add_field(struct curl_slist **list, const char *name, const char *value)
{
    /* curl drops "Name:" and sends "Name;" as a field without a value */
    char *line = value[0] ? mrp_strf("%s: %s", name, value) : mrp_strf("%s;", name);
    struct curl_slist *longer = line ? curl_slist_append(*list, line) : NULL;
    if (line)
        explicit_bzero(line, strlen(line));
    free(line);
    if (!longer)
        return -1;
    *list = longer;
    return 0;
}

static int out_of_memory(const struct mrp_http_call *call, struct mrp_error *err)
{
    return mrp_fail(err, MRP_E_NOMEM, "%s", call->what);
}

/* What the caller gave, without what a stranger must not see. */
static int copy_fields(struct mrp_headers *out, const struct mrp_http_call *call)
{
    bool trusted = !call->left_home || (call->flags & MRP_HTTP_TRUST_REDIRECT);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < call->given.count; i++)
        if (trusted || !is_private(call->given.list[i].name))
            rc = mrp_headers_add(out, call->given.list[i].name, call->given.list[i].value);
    return rc;
}

/* curl adds these by itself unless they are there, or told to be off. */
static int switch_off(struct mrp_http_call *call, const struct mrp_headers *fields)
{
    static const struct {
        const char *name;
        const char *off;
    } table[] = {{"Content-Type", "Content-Type:"}, {"Expect", "Expect:"}};
    for (size_t i = 0; i < MRP_COUNT(table); i++) {
        if (mrp_headers_get(fields, table[i].name))
            continue;
        struct curl_slist *longer = curl_slist_append(call->fields, table[i].off);
        if (!longer)
            return -1;
        call->fields = longer;
    }
    return 0;
}

/* The fields of this try: the caller's, and what `prepare` makes of them. */
static int make_fields(struct mrp_http_call *call, struct mrp_error *err)
{
    struct mrp_headers fields = {0};
    int rc = copy_fields(&fields, call) == 0 ? 0 : out_of_memory(call, err);
    if (rc == 0 && call->prepare && !call->left_home)
        rc = call->prepare(call->prepare_arg, &fields, err);
    for (size_t i = 0; rc == 0 && i < fields.count; i++)
        if (add_field(&call->fields, fields.list[i].name, fields.list[i].value) != 0)
            rc = out_of_memory(call, err);
    if (rc == 0 && switch_off(call, &fields) != 0)
        rc = out_of_memory(call, err);
    mrp_headers_done(&fields);
    return rc;
}

static bool sends_body(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

/* curl touches as much of it as one send takes: not more than there is to move. */
static long upload_buffer(uint64_t bytes)
{
    long least = (long)MRP_HTTP_PIECE;
    if (bytes > (uint64_t)UPLOAD_BUFFER)
        return UPLOAD_BUFFER;
    return bytes < (uint64_t)least ? least : (long)bytes;
}

static void set_body(struct mrp_http_call *call)
{
    CURL *easy = call->easy;
    if (call->has_source) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->source.length);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(easy, CURLOPT_READDATA, call);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
        /* of unknown length: -1, thus the largest */
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE,
                         upload_buffer((uint64_t)call->source.length));
    } else if (call->has_body || sends_body(call->method)) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body_len ? call->body : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, upload_buffer(call->body_len));
    } else if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

/* Not where frames for others wait behind one's own (HTTP/2), nor where a proxy has a TLS layer of
 * its own: what is buffered there nobody can see. */
static bool may_read_ahead(const struct mrp_http_call *call)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
    for (size_t i = 0; i < MRP_COUNT(names); i++) {
        const char *proxy = getenv(names[i]);
        if (proxy && strncasecmp(proxy, "https:", 6) == 0)
            return false;
    }
    return !(call->flags & MRP_HTTP_HTTP2);
}

/* curl switches tickets off for the sake of servers long gone; without them a server that keeps no
 * sessions itself makes each connection a full handshake. And it reads each record by two calls. */
static CURLcode set_context(CURL *easy, void *context, void *arg)
{
    const struct mrp_http_call *call = arg;
    (void)easy;
    SSL_CTX_clear_options(context, SSL_OP_NO_TICKET);
    if (may_read_ahead(call)) {
        SSL_CTX_set_read_ahead(context, 1);
        SSL_CTX_set_default_read_buffer_len(context, RECORDS_BUFFER);
    }
    return CURLE_OK;
}

static void set_tls(struct mrp_http_call *call)
{
    struct mrp_http *http = call->http;
    if (http->insecure) {
        curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYHOST, 0L);
        curl_easy_setopt(call->easy, CURLOPT_PROXY_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(call->easy, CURLOPT_PROXY_SSL_VERIFYHOST, 0L);
    }
    curl_easy_setopt(call->easy, CURLOPT_SHARE, http->share);
    call->tls = strncasecmp(call->url, "https:", 6) == 0;
    curl_easy_setopt(call->easy, CURLOPT_SSL_CTX_FUNCTION, set_context);
    curl_easy_setopt(call->easy, CURLOPT_SSL_CTX_DATA, call);
    /* without a folder of certificates curl keeps the parsed bundle for all connections */
    curl_easy_setopt(call->easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(call->easy, CURLOPT_PROXY_CAPATH, NULL);
    if (http->ca_file) {
        curl_easy_setopt(call->easy, CURLOPT_CAINFO, http->ca_file);
        curl_easy_setopt(call->easy, CURLOPT_PROXY_CAINFO, http->ca_file);
    }
}

/* Metadata services and this machine itself are never behind a proxy. */
static bool is_local(const char *authority)
{
    return mrp_starts(authority, "169.254.") || mrp_starts(authority, "127.") ||
           mrp_starts(authority, "[::1]") || mrp_starts(authority, "[fd00:ec2:") ||
           strncmp(authority, "localhost", 9) == 0;
}

static void set_options(struct mrp_http_call *call)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_EXPECT_100_TIMEOUT_MS, 1000L);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "mrpipe/1.0.0");
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_words);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)MRP_HTTP_PIECE);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     call->flags & MRP_HTTP_HTTP2 ? (long)CURL_HTTP_VERSION_2TLS
                                                  : (long)CURL_HTTP_VERSION_1_1);
    if (call->flags & MRP_HTTP_HTTP2)
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    if (call->flags & MRP_HTTP_DECODE)
        curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    if (call->flags & MRP_HTTP_ONCE) /* curl sends again by itself what a reused one has lost */
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    if (is_local(call->authority))
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->fields);
}

static void clear_try(struct mrp_http_call *call)
{
    call->head_done = call->paused = call->throttled = call->resume = false;
    call->too_big = call->sink_stopped = call->source_stopped = call->source_short = false;
    call->header_bytes = 0;
    call->sent_head = 0;
    call->moved_bytes = 0;
    call->expected_bytes = -1;
    call->curl_words[0] = '\0';
    call->begun_ms = call->moved_ms = mrp_now_ms();
}

int transfer_begin(struct mrp_http_call *call, struct mrp_error *err)
{
    struct mrp_http *http = call->http;
    clear_try(call);
    int rc = make_fields(call, err);
    if (rc)
        return rc;
    call->easy = http->idle_count ? http->idle[--http->idle_count] : curl_easy_init();
    if (!call->easy)
        return mrp_fail(err, MRP_E_NOMEM, "%s", call->what);
    set_options(call);
    set_body(call);
    set_tls(call);
    spares_offer(http, call->easy);
    call->state = CALL_RUNNING;
    call->resp->tries++;
    CURLMcode code = curl_multi_add_handle(http->multi, call->easy);
    if (code != CURLM_OK)
        return mrp_fail(err, MRP_E_BUG, "%s: %s", call->what, curl_multi_strerror(code));
    if (http->stage)
        mrp_count(http->stage, "requests", 1);
    return 0;
}

void transfer_end(struct mrp_http_call *call)
{
    struct mrp_http *http = call->http;
    if (call->easy) {
        curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &call->sent_head);
        curl_multi_remove_handle(http->multi, call->easy);
        curl_easy_reset(call->easy);
        if (http->idle_count < MRP_COUNT(http->idle))
            http->idle[http->idle_count++] = call->easy;
        else
            curl_easy_cleanup(call->easy);
        call->easy = NULL;
        uint64_t sent = call->has_source ? (uint64_t)call->source_bytes : call->body_len;
        if (call->resp)
            call->resp->sent_bytes += sent;
    }
    curl_slist_free_all(call->fields);
    call->fields = NULL;
    pacing_release(&http->pacing, &call->slot);
}

CURLcode transfer_resume(struct mrp_http_call *call)
{
    struct mrp_http *http = call->http;
    call->resume = false;
    if (!call->easy || !call->paused)
        return CURLE_OK;
    call->paused = call->throttled = false;
    call->moved_ms = mrp_now_ms();
    pacing_hold(&http->pacing, &call->slot);
    http->in_callback = true; /* curl may call back at once */
    CURLcode result = curl_easy_pause(call->easy, CURLPAUSE_CONT);
    http->in_callback = false;
    /* the other one: it is over, and curl's message about that is still to be collected */
    return result == CURLE_BAD_FUNCTION_ARGUMENT ? CURLE_OK : result;
}

int64_t transfer_moved(const struct mrp_http_call *call)
{
    curl_off_t down = 0;
    curl_off_t up = 0;
    curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    return (int64_t)down + (int64_t)up + (int64_t)call->header_bytes;
}
