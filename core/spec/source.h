/** The text of a spec file: read within limits, checked to be text, cut into lines for messages. */
#ifndef MRP_SPEC_SOURCE_H
#define MRP_SPEC_SOURCE_H

#include "spec.h"

#define MRP_SOURCE_MAX ((size_t)1 << 20)

struct mrp_source {
    char *path;
    char *text; /* as in the file, without a byte order mark */
    size_t len;
    char *shown;   /* the same bytes with every line end replaced by NUL */
    size_t *lines; /* offsets of the lines in `shown` */
    size_t count;
    char **words; /* of a text made of a command line: what each line stands for, "" for none */
};

/** Read PATH ("-": standard input). Blocks. MRP_E_IO when it cannot be read, MRP_E_CONFIG when it
 * is too big. */
int mrp_source_read(struct mrp_source **out, const char *path, struct mrp_error *err) MRP_NODISCARD;
/** A copy of `text`. Too long a text is MRP_E_CONFIG. */
int mrp_source_new(struct mrp_source **out,
                   const char *path,
                   const char *text,
                   size_t len,
                   struct mrp_error *err) MRP_NODISCARD;
void mrp_source_free(struct mrp_source **src);
/** The word that line n stands for, borrowed; NULL: none, or the text is a file's. */
const char *mrp_source_word(const struct mrp_source *src, int line);
/** A problem with a place of the text, shown by its line or the word behind it. */
void mrp_source_problem(const struct mrp_source *src,
                        struct mrp_diags *diags,
                        bool warning,
                        struct mrp_mark mark,
                        int width,
                        const char *hint,
                        const char *message);
/** Line n (1-based), borrowed; NULL if there is none. */
const char *mrp_source_line(const struct mrp_source *src, int line);
/** Refuse what is not UTF-8 text, with a diagnostic that says where. 0 or MRP_E_CONFIG. */
int mrp_source_check(const struct mrp_source *src, struct mrp_diags *diags);

#endif
