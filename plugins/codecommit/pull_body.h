/* The request of a fetch, made while it is sent: no list of thousands of lines in memory. Also the
 * commands of a push and what its report means. */
#ifndef CODECOMMIT_PULL_BODY_H
#define CODECOMMIT_PULL_BODY_H

#include "end.h"
#include "report.h"

struct mrp_pull_body {
    const struct mrp_pull *pull;
    size_t index;    /* of the next line */
    char first[256]; /* the first want with the capabilities */
    char line[256];
    size_t line_len, line_sent;
    bool side_band;
};

void mrp_pull_body_init(struct mrp_pull_body *b, const struct mrp_pull *pull);
uint64_t mrp_pull_body_length(const struct mrp_pull_body *b);
/** For struct mrp_http_source. */
long mrp_pull_body_read(void *arg, char *buf, size_t len);
int mrp_pull_body_rewind(void *arg);
/** The whole request compressed, as git sends all over 1 KiB. */
int mrp_pull_body_gzip(struct mrp_buf *out, struct mrp_pull_body *b, struct mrp_error *err);

/** The command list of a push with its flush. */
int mrp_push_commands(struct mrp_buf *out, const struct mrp_push *push, struct mrp_error *err);
/** One line of the report; *next is the update after the last one told. */
int mrp_push_told(struct mrp_push *push,
                  size_t *next,
                  const char *ref,
                  size_t ref_len,
                  const char *words,
                  size_t words_len,
                  struct mrp_error *err);
/** The answer is over: was it whole, was the pack taken? */
int mrp_push_finish(struct mrp_push *push,
                    const struct mrp_report *report,
                    const char *what,
                    struct mrp_error *err);

#endif
