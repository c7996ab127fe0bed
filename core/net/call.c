/* The life of a request: start, tries, redirects, back-off, end; and those who wait for it. */
#include "call.h"
#include "retry.h"

#include <mrpipe/auto.h>
#include <mrpipe/stage.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>
#include <mrpipe/url.h>

#include <stdlib.h>
#include <string.h>

#define DEFAULT_BODY ((size_t)8 << 20)
#define DEFAULT_STALL_MS 60000
#define LEAST_BODY ((size_t)64 << 10) /* error answers are kept up to this */

static void link_call(struct mrp_http_call *call)
{
    struct mrp_http *http = call->http;
    call->prev = http->calls_last;
    call->next = NULL;
    if (http->calls_last)
        http->calls_last->next = call;
    else
        http->calls = call;
    http->calls_last = call;
    http->call_count++;
}

static void unlink_call(struct mrp_http_call *call)
{
    struct mrp_http *http = call->http;
    if (call->prev)
        call->prev->next = call->next;
    else
        http->calls = call->next;
    if (call->next)
        call->next->prev = call->prev;
    else
        http->calls_last = call->prev;
    call->prev = call->next = NULL;
    http->call_count--;
}

static void set_state(struct mrp_http_call *call, enum call_state state)
{
    if (call->state == CALL_PENDING)
        call->http->pending--;
    if (state == CALL_PENDING) {
        call->http->pending++;
        call->due_ms = 0; /* the loop must not sleep before it has looked at it */
        loop_due(call->http, 0);
    }
    call->state = state;
}

void call_wake(struct mrp_http_call *call)
{
    loop_wake_list(call->http, call->waiters);
}

/* `err` may be NULL when rc is 0. */
static void call_end(struct mrp_http_call *call, int rc, const struct mrp_error *err)
{
    if (call->state == CALL_ENDED)
        return;
    transfer_end(call);
    set_state(call, CALL_ENDED);
    unlink_call(call);
    call->rc = rc;
    if (rc && err)
        call->error = *err;
    call->headers_ready = true;
    uint64_t bytes = call->resp->received_bytes + call->resp->sent_bytes;
    if (call->http->stage && bytes)
        mrp_count(call->http->stage, "bytes", (int64_t)bytes);
    call_wake(call);
}

int call_rewind(struct mrp_http_call *call)
{
    if (!call->has_source || call->source_bytes == 0)
        return 0;
    if (!call->source.rewind || call->source.rewind(call->source.arg) != 0)
        return -1;
    call->source_bytes = 0;
    return 0;
}

/* ---- what a finished try means ---- */

static int stopped_error(const struct mrp_http_call *call, struct mrp_error *err)
{
    if (call->sink_stopped)
        return mrp_fail(err, MRP_E_IO, "%s: the receiver stopped the transfer", call->what);
    if (call->source_stopped)
        return mrp_fail(err, MRP_E_IO, "%s: the sender stopped the transfer", call->what);
    if (call->source_short)
        return mrp_fail(err, MRP_E_IO, "%s: the body ended after %lld of %lld bytes", call->what,
                        (long long)call->source_bytes, (long long)call->source.length);
    if (call->too_big && !call->head_done)
        return mrp_fail(err, MRP_E_REMOTE, "%s: the answer's head is too long", call->what);
    if (call->too_big)
        return mrp_fail(err, MRP_E_REMOTE, "%s: the answer is longer than %zu bytes", call->what,
                        call->max_body);
    return 0;
}

static int curl_error(const struct mrp_http_call *call, CURLcode result, struct mrp_error *err)
{
    const char *words = call->curl_words[0] ? call->curl_words : curl_easy_strerror(result);
    if (result == CURLE_SEND_FAIL_REWIND) /* curl's words are about its callbacks */
        words = "the connection was cut while the body was being sent";
    mrp_fail(err, MRP_E_NET, "%s: no answer from %s: %s", call->what, call->authority, words);
    if (err)
        err->upstream = (long)result;
    switch ((int)result) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return mrp_hint(err, "check the host name and region, and the name service");
    case CURLE_COULDNT_CONNECT:
        return mrp_hint(err, "check that %s can be reached from here", call->authority);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return mrp_hint(err, "name the right certificates with AWS_CA_BUNDLE");
    default:
        return MRP_E_NET;
    }
}

static bool is_idempotent(const struct mrp_http_call *call)
{
    return (call->flags & MRP_HTTP_IDEMPOTENT) || strcmp(call->method, "POST") != 0;
}

/* Nothing of the request has left: a second one cannot be a second time. */
static bool is_unsent(const struct mrp_http_call *call, CURLcode result)
{
    return result != CURLE_OK && call->sent_head == 0;
}

/* May a failure that leaves open whether the work was done be tried again? */
static bool is_repeatable(const struct mrp_http_call *call, CURLcode result)
{
    if (call->flags & MRP_HTTP_ONCE)
        return is_unsent(call, result);
    return is_idempotent(call) || (result != CURLE_OK && call->header_bytes == 0);
}

static bool can_repeat(const struct mrp_http_call *call)
{
    if (call->has_source && call->source_bytes > 0 && !call->source.rewind)
        return false;
    return !call->delivered || call->sink.restart;
}

static void log_retry(const struct mrp_http_call *call, const char *why, int64_t delay_ms)
{
    struct mrp_stage *stage = call->http->stage;
    if (!stage)
        return;
    mrp_count(stage, "retries", 1);
    mrp_log(stage, call->failures < 3 ? MRP_DEBUG : MRP_INFO, "%s: %s; try %u follows in %lld ms",
            call->what, why, call->failures + 1, (long long)delay_ms);
}

/* True if the call will be tried again. */
static bool plan_retry(struct mrp_http_call *call, CURLcode result)
{
    struct mrp_http_response *resp = call->resp;
    char code[64] = "";
    char words[200] = "";
    if (result == CURLE_OK && resp->status >= 400)
        api_error_read(code, sizeof code, words, sizeof words, resp);
    enum retry_class kind = retry_class_of(result, resp->status, code);
    if (call->flags & MRP_HTTP_ONCE)
        kind = retry_class_once(kind, resp->status, code);
    int64_t now = mrp_now_ms();
    int64_t after = result == CURLE_OK ? retry_after_ms(&resp->headers, mrp_wall_ms()) : 0;
    if (kind != RETRY_NO)
        pacing_answer(&call->slot, kind == RETRY_THROTTLE, after, now);
    else if (result == CURLE_OK)
        pacing_answer(&call->slot, false, 0, now);
    call->failures++;
    int limit = call->flags & MRP_HTTP_NO_RETRY ? -1 : call->retries;
    bool repeatable = is_repeatable(call, result);
    if (!retry_allowed(kind, call->failures, limit, repeatable) || !can_repeat(call))
        return false;
    int64_t delay = retry_delay_ms(kind, call->failures, after);
    if (call->deadline_ms != FAR_MS && now + delay >= call->deadline_ms)
        return false;
    char why[300];
    if (result != CURLE_OK)
        snprintf(why, sizeof why, "%s",
                 call->curl_words[0] ? call->curl_words : curl_easy_strerror(result));
    else
        snprintf(why, sizeof why, "HTTP %d %s %s", resp->status, code, words);
    log_retry(call, why, delay);
    call->due_ms = now + delay;
    set_state(call, CALL_BACKOFF);
    loop_due(call->http, call->due_ms);
    return true;
}

static void forget_answer(struct mrp_http_call *call)
{
    mrp_headers_done(&call->resp->headers);
    mrp_buf_reset(&call->resp->body);
    call->resp->status = 0;
}

static void debug_line(const struct mrp_http_call *call, CURLcode result)
{
    if (!call->http->debug)
        return;
    mrp_auto(mrp_free_str) char *url = mrp_url_redact(call->url);
    mrp_log(call->http->stage, MRP_DEBUG, "http: %s %s -> %d%s%s, %lld ms, in %llu, out %llu bytes",
            call->method, url ? url : "", call->resp->status, result == CURLE_OK ? "" : " ",
            result == CURLE_OK ? "" : curl_easy_strerror(result),
            (long long)(mrp_now_ms() - call->begun_ms),
            (unsigned long long)call->resp->received_bytes,
            (unsigned long long)call->resp->sent_bytes);
}

static void try_done(struct mrp_http_call *call, CURLcode result)
{
    struct mrp_error err = {0};
    transfer_end(call);
    debug_line(call, result);
    int rc = stopped_error(call, &err);
    if (rc) {
        call_end(call, rc, &err);
        return;
    }
    bool refused = call->head_done && call->resp->status >= 400;
    if (refused && (result == CURLE_SEND_ERROR || result == CURLE_RECV_ERROR))
        result = CURLE_OK; /* the server said why and hung up */
    if (result == CURLE_OK && !call->head_done)
        result = CURLE_WEIRD_SERVER_REPLY;
    if (result == CURLE_OK && redirect_wanted(call)) {
        rc = redirect_follow(call, &err);
        if (rc) {
            call_end(call, rc, &err);
            return;
        }
        forget_answer(call);
        set_state(call, CALL_PENDING);
        return;
    }
    if ((result != CURLE_OK || call->resp->status >= 400) && plan_retry(call, result))
        return;
    if (result == CURLE_OK && call->resp->status < 400)
        pacing_answer(&call->slot, false, 0, mrp_now_ms());
    rc = result == CURLE_OK ? 0 : curl_error(call, result, &err);
    call_end(call, rc, &err);
}

/* After the back-off: everything to its beginning. */
static void try_again(struct mrp_http_call *call)
{
    struct mrp_error err = {0};
    if (call_rewind(call) != 0) {
        mrp_fail(&err, MRP_E_IO, "%s: the body cannot be sent again", call->what);
        call_end(call, err.code, &err);
        return;
    }
    if (call->delivered && call->sink.restart(call->sink.arg) != 0) {
        mrp_fail(&err, MRP_E_IO, "%s: the answer cannot be received again", call->what);
        call_end(call, err.code, &err);
        return;
    }
    call->delivered = false;
    forget_answer(call);
    set_state(call, CALL_PENDING);
}

/* ---- the loop's side ---- */

static void go_on(struct mrp_http_call *call)
{
    CURLcode result = transfer_resume(call);
    if (result != CURLE_OK && call->state == CALL_RUNNING)
        try_done(call, result);
}

static void begin(struct mrp_http_call *call, int64_t now)
{
    struct mrp_http *http = call->http;
    struct mrp_error err = {0};
    if (!call->slot.host &&
        pacing_lanes(&call->slot, &http->pacing, call->authority, call->api) != 0) {
        mrp_fail(&err, MRP_E_NOMEM, "%s", call->what);
        call_end(call, err.code, &err);
        return;
    }
    call->due_ms = pacing_admit(&http->pacing, &call->slot, now);
    if (call->due_ms) {
        loop_due(http, call->due_ms);
        return;
    }
    set_state(call, CALL_RUNNING);
    free(call->resp->url);
    call->resp->url = mrp_strdup(call->url);
    int rc = transfer_begin(call, &err);
    if (rc)
        call_end(call, rc, &err);
    else
        loop_due(http, now + 1000);
}

void calls_begin(struct mrp_http *http)
{
    struct mrp_http_call *next;
    if (http->resumes) {
        http->resumes = false;
        for (struct mrp_http_call *call = http->calls; call; call = next) {
            next = call->next;
            if (call->resume)
                go_on(call);
        }
    }
    if (!http->pending)
        return;
    int64_t now = mrp_now_ms();
    for (struct mrp_http_call *call = http->calls; call && http->pending; call = next) {
        next = call->next;
        if (call->state == CALL_PENDING)
            begin(call, now);
    }
}

void calls_collect(struct mrp_http *http)
{
    int left = 0;
    for (CURLMsg *msg; (msg = curl_multi_info_read(http->multi, &left)) != NULL;) {
        struct mrp_http_call *call = NULL;
        CURLcode result = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (msg->msg == CURLMSG_DONE && call)
            try_done(call, result);
    }
}

static int64_t tick_running(struct mrp_http_call *call, int64_t now)
{
    struct pacing *pacing = &call->http->pacing;
    if (call->throttled) {
        if (!pacing_bandwidth(pacing, now))
            return pacing_bandwidth_due(pacing, now);
        go_on(call);
        if (call->state != CALL_RUNNING)
            return now;
        unlink_call(call); /* the others have their turn before it has another */
        link_call(call);
    }
    int64_t moved = transfer_moved(call);
    if (call->paused || moved != call->moved_bytes) {
        call->moved_bytes = moved;
        call->moved_ms = now;
    }
    if (now - call->moved_ms > call->stall_ms) {
        snprintf(call->curl_words, sizeof call->curl_words, "no byte for %lld seconds",
                 (long long)(call->stall_ms / 1000));
        try_done(call, CURLE_OPERATION_TIMEDOUT);
        return now;
    }
    int64_t due = call->moved_ms + call->stall_ms + 1;
    return due < now + 1000 ? due : now + 1000;
}

static int64_t tick_call(struct mrp_http_call *call, int64_t now)
{
    if (now >= call->deadline_ms) {
        struct mrp_error err = {0};
        mrp_fail(&err, MRP_E_TIMEOUT, "%s: not done within its time limit", call->what);
        call_end(call, err.code, &err);
        return FAR_MS;
    }
    if (call->state == CALL_BACKOFF && now >= call->due_ms) {
        try_again(call);
        return now;
    }
    int64_t due = call->state == CALL_RUNNING ? tick_running(call, now) : call->due_ms;
    return due < call->deadline_ms ? due : call->deadline_ms;
}

int64_t calls_tick(struct mrp_http *http, int64_t now_ms)
{
    int64_t due = FAR_MS;
    struct mrp_http_call *next;
    for (struct mrp_http_call *call = http->calls; call; call = next) {
        next = call->next;
        int64_t mine = tick_call(call, now_ms);
        due = mine < due ? mine : due;
    }
    return due;
}

static void cancel_call(struct mrp_http_call *call)
{
    struct mrp_error err = {0};
    mrp_fail(&err, MRP_E_CANCELLED, "%s: the run is being stopped", call->what);
    call_end(call, err.code, &err);
}

void calls_cancel(struct mrp_http *http)
{
    struct mrp_http_call *next;
    for (struct mrp_http_call *call = http->calls; call; call = next) {
        next = call->next;
        if (!(call->flags & MRP_HTTP_CLEANUP))
            cancel_call(call);
    }
}

static void destroy(struct mrp_http_call *call)
{
    mrp_headers_done(&call->given);
    mrp_free_strv(&call->seen);
    free(call->method);
    free(call->url);
    free(call->authority);
    free(call->home);
    free(call->what);
    free(call->api);
    free(call);
}

void calls_reap(struct mrp_http *http)
{
    while (http->zombies) {
        struct mrp_http_call *call = http->zombies;
        http->zombies = call->next;
        transfer_end(call);
        destroy(call);
    }
}

void calls_end_all(struct mrp_http *http)
{
    calls_reap(http);
    while (http->calls) {
        struct mrp_http_call *call = http->calls;
        cancel_call(call);
        call->http = NULL;
    }
}

/* ---- the caller's side ---- */

static int copy_url(struct mrp_http_call *call, const char *text, struct mrp_error *err)
{
    struct mrp_url url;
    int rc = mrp_url_parse(&url, text, err);
    if (rc)
        return rc;
    bool http = strcmp(url.scheme, "http") == 0 || strcmp(url.scheme, "https") == 0;
    bool user = url.user != NULL;
    call->authority = mrp_url_authority(&url);
    mrp_url_done(&url);
    call->url = mrp_strdup(text);
    call->home = url_origin(text);
    if (!http)
        return mrp_fail(err, MRP_E_CONFIG, "`%.200s` is no http or https URL", text);
    if (user)
        return mrp_fail(err, MRP_E_CONFIG, "a URL must not hold a user name or password");
    return call->authority && call->url && call->home
               ? 0
               : mrp_fail(err, MRP_E_NOMEM, "start a request");
}

static int
copy_request(struct mrp_http_call *call, const struct mrp_http_request *req, struct mrp_error *err)
{
    int rc = copy_url(call, req->url, err);
    if (rc)
        return rc;
    call->method = mrp_strdup(req->method ? req->method : "GET");
    mrp_auto(mrp_free_str) char *shown = mrp_url_redact(call->url);
    if (!call->method || !shown)
        return mrp_fail(err, MRP_E_NOMEM, "start a request");
    call->what = req->what ? mrp_strdup(req->what) : mrp_strf("%s %s", call->method, shown);
    call->api = mrp_strdup(req->api);
    if (!call->what || (req->api && !call->api))
        return mrp_fail(err, MRP_E_NOMEM, "start a request");
    for (const struct mrp_http_header *h = req->headers; h && h->name; h++)
        if ((rc = mrp_headers_add(&call->given, h->name, h->value)) != 0)
            return mrp_fail(err, (enum mrp_code)rc, "%s: bad header field `%.64s`", call->what,
                            h->name);
    call->body = req->body;
    call->body_len = req->body ? req->body_len : 0;
    call->has_body = req->body != NULL;
    call->has_source = req->source != NULL;
    if (req->source)
        call->source = *req->source;
    call->has_sink = req->sink != NULL;
    if (req->sink)
        call->sink = *req->sink;
    call->max_body = req->max_body ? req->max_body : DEFAULT_BODY;
    call->flags = req->flags;
    call->retries = req->retries;
    call->deadline_ms = req->timeout_ms > 0 ? mrp_now_ms() + req->timeout_ms : FAR_MS;
    call->stall_ms = req->stall_ms > 0 ? req->stall_ms : DEFAULT_STALL_MS;
    call->prepare = req->prepare;
    call->prepare_arg = req->prepare_arg;
    return 0;
}

int mrp_http_start(struct mrp_http_call **out,
                   struct mrp_http_response *resp,
                   struct mrp_http *http,
                   const struct mrp_http_request *req,
                   struct mrp_error *err)
{
    if (http->cancelled && !(req->flags & MRP_HTTP_CLEANUP))
        return mrp_fail(err, MRP_E_CANCELLED, "%s: the run is being stopped",
                        req->what ? req->what : req->url);
    struct mrp_http_call *call = calloc(1, sizeof *call);
    if (!call)
        return mrp_fail(err, MRP_E_NOMEM, "start a request");
    call->http = http;
    call->resp = resp;
    int rc = copy_request(call, req, err);
    if (rc) {
        destroy(call);
        return rc;
    }
    size_t most = call->max_body > LEAST_BODY ? call->max_body : LEAST_BODY;
    mrp_buf_init(&resp->body, most);
    link_call(call);
    set_state(call, CALL_PENDING);
    loop_due(http, call->deadline_ms);
    *out = call;
    return 0;
}

static int wait_for(struct mrp_http_call *call, bool headers, struct mrp_error *err)
{
    while (call->state != CALL_ENDED && !(headers && call->headers_ready)) {
        struct waiter w = {.next = call->waiters, .fd = -1};
        call->waiters = &w;
        int rc = loop_wait(call->http, &w, !(call->flags & MRP_HTTP_CLEANUP), err);
        waiter_remove(&call->waiters, &w);
        if (rc && call->state != CALL_ENDED) {
            mrp_wrap(err, "%s", call->what);
            return rc;
        }
    }
    if (call->state != CALL_ENDED || call->rc == 0)
        return 0;
    if (err)
        *err = call->error;
    return call->rc;
}

int mrp_http_wait_headers(struct mrp_http_call *call, struct mrp_error *err)
{
    return wait_for(call, true, err);
}

int mrp_http_wait(struct mrp_http_call *call, struct mrp_error *err)
{
    return wait_for(call, false, err);
}

bool mrp_http_ended(const struct mrp_http_call *call)
{
    return call->state == CALL_ENDED;
}

void mrp_http_resume(struct mrp_http_call *call)
{
    if (call->state != CALL_RUNNING)
        return;
    call->resume = true;
    if (call->paused)
        call->http->resumes = true;
}

void mrp_http_hold(struct mrp_http_call *call)
{
    call->hold = call->state == CALL_RUNNING;
}

void mrp_http_call_free(struct mrp_http_call **out)
{
    struct mrp_http_call *call = *out;
    if (!call)
        return;
    *out = NULL;
    if (call->state == CALL_ENDED) {
        destroy(call);
        return;
    }
    if (!call->http->in_callback) {
        cancel_call(call);
        destroy(call);
        return;
    }
    struct mrp_http *http = call->http; /* curl is at work: the loop takes it away */
    set_state(call, CALL_ENDED);
    unlink_call(call);
    call->resp = NULL;
    call->next = http->zombies;
    http->zombies = call;
}

int mrp_http_do(struct mrp_http_response *resp,
                struct mrp_http *http,
                const struct mrp_http_request *req,
                struct mrp_error *err)
{
    struct mrp_http_call *call = NULL;
    int rc = mrp_http_start(&call, resp, http, req, err);
    if (rc)
        return rc;
    rc = mrp_http_wait(call, err);
    mrp_http_call_free(&call);
    return rc;
}
