/* The retry table: curl codes, HTTP statuses and remote error codes -> what kind of failure. */
#include "retry.h"

#include <mrpipe/digest.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <string.h>

static const struct {
    CURLcode result;
    enum retry_class kind;
} curl_table[] = {
    {CURLE_COULDNT_RESOLVE_HOST, RETRY_CONNECT},
    {CURLE_COULDNT_RESOLVE_PROXY, RETRY_CONNECT},
    {CURLE_COULDNT_CONNECT, RETRY_CONNECT},
    {CURLE_SSL_CONNECT_ERROR, RETRY_CONNECT},
    {CURLE_OPERATION_TIMEDOUT, RETRY_TRANSIENT},
    {CURLE_SEND_ERROR, RETRY_TRANSIENT},
    {CURLE_RECV_ERROR, RETRY_TRANSIENT},
    {CURLE_GOT_NOTHING, RETRY_TRANSIENT},
    {CURLE_PARTIAL_FILE, RETRY_TRANSIENT},
    {CURLE_HTTP2, RETRY_TRANSIENT},
    {CURLE_HTTP2_STREAM, RETRY_TRANSIENT},
    {CURLE_SEND_FAIL_REWIND, RETRY_TRANSIENT},
    {CURLE_AGAIN, RETRY_TRANSIENT},
    {CURLE_WEIRD_SERVER_REPLY, RETRY_TRANSIENT},
};

static const struct {
    int status;
    enum retry_class kind;
} status_table[] = {
    {408, RETRY_TRANSIENT}, {429, RETRY_THROTTLE}, {500, RETRY_TRANSIENT},
    {502, RETRY_TRANSIENT}, {503, RETRY_THROTTLE}, {504, RETRY_TRANSIENT},
};

/* Error codes that come with other statuses (mostly 400), from botocore's standard mode. */
static const struct {
    const char *code;
    enum retry_class kind;
} code_table[] = {
    {"Throttling", RETRY_THROTTLE},
    {"ThrottlingException", RETRY_THROTTLE},
    {"ThrottledException", RETRY_THROTTLE},
    {"RequestThrottled", RETRY_THROTTLE},
    {"RequestThrottledException", RETRY_THROTTLE},
    {"TooManyRequestsException", RETRY_THROTTLE},
    {"ProvisionedThroughputExceededException", RETRY_THROTTLE},
    {"TransactionInProgressException", RETRY_THROTTLE},
    {"RequestLimitExceeded", RETRY_THROTTLE},
    {"BandwidthLimitExceeded", RETRY_THROTTLE},
    {"SlowDown", RETRY_THROTTLE},
    {"PriorRequestNotComplete", RETRY_THROTTLE},
    {"EC2ThrottledException", RETRY_THROTTLE},
    {"TOOMANYREQUESTS", RETRY_THROTTLE},
    {"RequestTimeout", RETRY_TRANSIENT},
    {"RequestTimeoutException", RETRY_TRANSIENT},
    {"InternalError", RETRY_TRANSIENT},
    {"InternalFailure", RETRY_TRANSIENT},
    {"ServiceUnavailable", RETRY_TRANSIENT},
    {"IDPCommunicationError", RETRY_TRANSIENT},
};

/* Per class: retries, first delay, longest delay. */
static const struct {
    unsigned retries;
    int64_t base_ms;
    int64_t cap_ms;
} limits[] = {
    [RETRY_NO] = {0, 0, 0},
    [RETRY_CONNECT] = {4, 250, 10000},
    [RETRY_TRANSIENT] = {5, 250, 20000},
    [RETRY_THROTTLE] = {8, 500, 20000},
};

enum retry_class retry_class_of(CURLcode result, int status, const char *code)
{
    for (size_t i = 0; result != CURLE_OK && i < MRP_COUNT(curl_table); i++)
        if (curl_table[i].result == result)
            return curl_table[i].kind;
    if (result != CURLE_OK || status < 400)
        return RETRY_NO;
    for (size_t i = 0; code[0] && i < MRP_COUNT(code_table); i++)
        if (strcmp(code_table[i].code, code) == 0)
            return code_table[i].kind;
    for (size_t i = 0; i < MRP_COUNT(status_table); i++)
        if (status_table[i].status == status)
            return status_table[i].kind;
    return RETRY_NO;
}

enum retry_class retry_class_once(enum retry_class kind, int status, const char *code)
{
    if (kind != RETRY_THROTTLE || status == 429)
        return kind;
    for (size_t i = 0; i < MRP_COUNT(code_table); i++)
        if (code_table[i].kind == RETRY_THROTTLE && strcmp(code_table[i].code, code) == 0)
            return kind;
    return RETRY_TRANSIENT;
}

bool retry_allowed(enum retry_class kind, unsigned failures, int limit, bool repeatable)
{
    if (kind == RETRY_NO || limit < 0 || (kind == RETRY_TRANSIENT && !repeatable))
        return false;
    unsigned most = limit > 0 ? (unsigned)limit : limits[kind].retries;
    return failures <= most;
}

int64_t retry_delay_ms(enum retry_class kind, unsigned failures, int64_t after_ms)
{
    int64_t span = limits[kind].base_ms;
    for (unsigned i = 1; i < failures && span < limits[kind].cap_ms; i++)
        span *= 2;
    if (span > limits[kind].cap_ms)
        span = limits[kind].cap_ms;
    if (after_ms > 0) /* a little jitter, so that not all come back at the same moment */
        return after_ms + (int64_t)(mrp_random() % (uint64_t)(1 + after_ms / 10));
    return span ? (int64_t)(mrp_random() % (uint64_t)span) : 0;
}

int64_t retry_after_ms(const struct mrp_headers *headers, int64_t wall_ms)
{
    const int64_t longest = 60000;
    int64_t ms = 0;
    const char *own = mrp_headers_get(headers, "x-amz-retry-after");
    if (own && mrp_parse_int(&ms, own, 0, INT32_MAX) == 0)
        return ms < longest ? ms : longest;
    const char *text = mrp_headers_get(headers, "Retry-After");
    int64_t when = 0;
    if (!text)
        return 0;
    if (mrp_parse_int(&ms, text, 0, INT32_MAX) == 0)
        ms *= 1000;
    else if (mrp_parse_http_date(&when, text) == 0)
        ms = when > wall_ms ? when - wall_ms : 0;
    return ms < longest ? ms : longest;
}
