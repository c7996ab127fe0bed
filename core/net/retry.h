/* The one place that says what is tried again, how often and after how long. */
#ifndef MRP_NET_RETRY_H
#define MRP_NET_RETRY_H

#include <mrpipe/http.h>

#include <curl/curl.h>

enum retry_class {
    RETRY_NO,
    RETRY_CONNECT,   /* nothing was sent: safe for every method */
    RETRY_TRANSIENT, /* the work may have been done */
    RETRY_THROTTLE   /* refused unseen: safe for every method */
};

/** What a try that ended with this is. `code`: the remote's own error code or "". */
enum retry_class retry_class_of(CURLcode result, int status, const char *code);

/** The class for a request that must not be done twice: an answer that only says that the service
 * is not available may come from somebody who has passed the request on. */
enum retry_class retry_class_once(enum retry_class kind, int status, const char *code);

/** May a try of this class be repeated? `failures`: how many tries failed so far, this one
 * included; `limit`: the caller's number of retries (0: the table's). */
bool retry_allowed(enum retry_class kind, unsigned failures, int limit, bool repeatable);

/** Full jitter over an exponential; a Retry-After (at most a minute) wins. */
int64_t retry_delay_ms(enum retry_class kind, unsigned failures, int64_t retry_after_ms);

/** Retry-After (seconds or date) or x-amz-retry-after (milliseconds) of an answer; 0: none. */
int64_t retry_after_ms(const struct mrp_headers *headers, int64_t wall_ms);

#endif
