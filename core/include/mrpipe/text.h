/** Strings and numbers as text: views, formatting, parsing, encodings. Nothing here blocks. */
#ifndef MRPIPE_TEXT_H
#define MRPIPE_TEXT_H

#include <mrpipe/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A borrowed piece of text, not NUL-terminated. */
struct mrp_view {
    const char *p;
    size_t n;
};

MRP_EXPORT struct mrp_view mrp_view_str(const char *s); /* NULL gives an empty view */
MRP_EXPORT bool mrp_view_is(struct mrp_view v, const char *s);
MRP_EXPORT struct mrp_view mrp_view_trim(struct mrp_view v); /* blanks, tabs, CR, LF at both ends */
/** Cut `*rest` at the first `sep`: returns what is before it; false when nothing is left. */
MRP_EXPORT bool mrp_view_next(struct mrp_view *piece, struct mrp_view *rest, char sep);

/** Owned copies; NULL only when memory is exhausted. */
MRP_EXPORT char *mrp_strf(const char *fmt, ...) MRP_PRINTF(1, 2);
MRP_EXPORT char *mrp_strdup(const char *s); /* NULL stays NULL */
MRP_EXPORT char *mrp_strndup(const char *s, size_t n);

MRP_EXPORT bool mrp_starts(const char *s, const char *prefix);
MRP_EXPORT bool mrp_ends(const char *s, const char *suffix);
MRP_EXPORT bool mrp_streq(const char *a, const char *b); /* two NULLs are equal */

/** Split at `sep`, pieces trimmed, empty ones dropped. Owned: mrp_free_strv. NULL: no memory. */
MRP_EXPORT char **mrp_split(const char *s, char sep);
MRP_EXPORT size_t mrp_strv_len(char *const *v); /* NULL gives 0 */
MRP_EXPORT bool mrp_strv_has(char *const *v, const char *s);
/** Append a copy; grows *v (NULL to begin with). MRP_E_NOMEM on failure, *v still valid. */
MRP_EXPORT int mrp_strv_add(char ***v, const char *s);
MRP_EXPORT int mrp_strv_addn(char ***v, const char *s, size_t n);

/** The whole text must be a decimal number within [min, max]. 0 or MRP_E_CONFIG; *out untouched on
 * failure. */
MRP_EXPORT int mrp_parse_int(int64_t *out, const char *s, int64_t min, int64_t max);
MRP_EXPORT int mrp_parse_uint(uint64_t *out, const char *s, size_t len, uint64_t max);
/** "true/false/yes/no/on/off", any case, and 1/0. */
MRP_EXPORT int mrp_parse_bool(bool *out, const char *s);
/** "10", "10KB", "10KiB", "1.5GiB", "10MB": bytes; KB = 1000, KiB = K = 1024. */
MRP_EXPORT int mrp_parse_size(uint64_t *out_bytes, const char *s);
/** "30" (seconds), "30s", "500ms", "5m", "2h", "1d", "1m30s": milliseconds. */
MRP_EXPORT int mrp_parse_duration(int64_t *out_ms, const char *s);

/** Human forms into buf (returns buf): "12.3 MiB"; "1m 12s", "850 ms". */
MRP_EXPORT const char *mrp_show_bytes(char *buf, size_t len, uint64_t bytes);
MRP_EXPORT const char *mrp_show_ms(char *buf, size_t len, int64_t ms);

/** The candidate nearest to `word` (edit distance at most a third of its length), or NULL.
 * Borrowed. */
MRP_EXPORT const char *mrp_nearest(const char *word, const char *const *candidates, size_t count);

/** Encodings; owned results, NULL: no memory (or, when decoding, bad input). */
MRP_EXPORT char *mrp_hex(const void *data, size_t len); /* lower case */
MRP_EXPORT char *mrp_base64(const void *data, size_t len);
MRP_EXPORT void *mrp_unbase64(size_t *out_len,
                              const char *s,
                              size_t len); /* NUL-terminated too; url alphabet accepted */
/** RFC 3986: all but A-Za-z0-9-_.~ (and '/' if keep_slash) as %XX. */
MRP_EXPORT char *mrp_percent(const char *s, size_t len, bool keep_slash);
MRP_EXPORT char *mrp_unpercent(const char *s, size_t len);
/** JSON string escapes without the quotes. */
MRP_EXPORT char *mrp_json_escape(const char *s, size_t len);

/** A shell-like glob over a whole name: `*` and `?` (not over '/' when path), `**`, `[a-z]`,
 * `[!a]`, `{a,b}`, `\x`. Linear in time for hostile patterns: at most pattern length times text
 * length steps. */
MRP_EXPORT bool mrp_glob_match(const char *pattern, const char *text, bool path);

/** Copy into a fixed array, cut if it does not fit, always NUL-terminated. Returns dst. */
MRP_EXPORT char *mrp_copy(char *dst, size_t size, const char *src);

/** How much of a text to show: at most so many bytes (< INT_MAX), and no part of a character. For
 * "%.*s". */
MRP_EXPORT int mrp_text_fit(const char *text, size_t most);

/** True if the text is valid UTF-8 without control characters other than tab, CR, LF. */
MRP_EXPORT bool mrp_is_text(const char *s, size_t len);

#endif
