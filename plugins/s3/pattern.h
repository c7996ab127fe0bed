/* Artifact patterns: CodeBuild's glob rules over paths relative to the base directory. */
#ifndef MRP_S3_PATTERN_H
#define MRP_S3_PATTERN_H

#include <mrpipe/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MRP_PATTERN_PARTS = 62, MRP_PATTERN_EXPANSIONS = 512 };

/** One pattern without braces, cut at '/': `**` stands for any number of folders. */
struct mrp_pattern {
    char **parts;
    size_t count;
    size_t origin; /* the index of the written pattern that it comes from */
};

struct mrp_patterns {
    struct mrp_pattern *list;
    size_t count;
};

/**
 * Add a written pattern: `./`, `//` and `.` are dropped, braces expanded.
 * @return 0, MRP_E_CONFIG (empty, has `..`, absolute, too many parts or expansions), MRP_E_NOMEM
 */
int mrp_patterns_add(struct mrp_patterns *p, const char *text, size_t origin, struct mrp_error *err)
    MRP_NODISCARD;
void mrp_patterns_done(struct mrp_patterns *p);

/* The matcher is a set of positions in the pattern (bit i: part i comes next, bit `count`: all
 * matched), so a walk looks at each folder once however many `**` there are. */
uint64_t mrp_pattern_start(const struct mrp_pattern *p);
uint64_t mrp_pattern_step(const struct mrp_pattern *p, uint64_t state, const char *name);
bool mrp_pattern_accepts(const struct mrp_pattern *p, uint64_t state);
bool mrp_pattern_alive(const struct mrp_pattern *p, uint64_t state); /* can match something below */
/** The only name that can come next (unescaped, owned), or NULL when a folder must be read. */
char *mrp_pattern_literal(const struct mrp_pattern *p, uint64_t state);

/** True if a whole relative path matches one of the patterns. */
bool mrp_patterns_match(const struct mrp_patterns *p, const char *path);

#endif
