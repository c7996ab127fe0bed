/** Clocks and times as text. Nothing blocks except mrp_sleep_ms. */
#ifndef MRPIPE_TIME_H
#define MRPIPE_TIME_H

#include <mrpipe/attrs.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

MRP_EXPORT int64_t mrp_now_ms(void);      /* monotonic */
MRP_EXPORT int64_t mrp_now_us(void);      /* monotonic */
MRP_EXPORT int64_t mrp_wall_ms(void);     /* since 1970 UTC */
MRP_EXPORT void mrp_sleep_ms(int64_t ms); /* ends early on a signal */

/** "2026-11-21T12:00:00.123Z" (with_ms) or "...:00Z" into buf (at least 32 bytes); returns buf. */
MRP_EXPORT const char *mrp_iso8601(char *buf, size_t len, int64_t wall_ms, bool with_ms);
/** "20261121T120000Z", AWS's basic form. */
MRP_EXPORT const char *mrp_amz_date(char *buf, size_t len, int64_t wall_ms);
/** Reads ISO 8601 UTC or with offset ("...Z", "+02:00"), basic or extended form. 0 or -1. */
MRP_EXPORT int mrp_parse_iso8601(int64_t *out_wall_ms, const char *s);
/** Reads an HTTP date (RFC 9110, 5.6.7, IMF-fixdate). 0 or -1. */
MRP_EXPORT int mrp_parse_http_date(int64_t *out_wall_ms, const char *s);

#endif
