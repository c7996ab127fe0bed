/** The folder of a run: .mrpipe/runs/ID with its logs and state, and the private temporary one. */
#ifndef MRP_RUN_FOLDER_H
#define MRP_RUN_FOLDER_H

#include <mrpipe/error.h>

#include <jansson.h>
#include <stdbool.h>

enum { MRP_RUNS_KEPT = 50 };

struct mrp_folder {
    char *id;
    char *path; /* WORKDIR/.mrpipe/runs/ID */
    char *temp; /* scripts, shell state: mode 0700, gone at the end; NULL: nobody wants it */
};

/** A new run: its id, folder, .gitignore and, unless it only plans or verifies, the link `last`;
 * old runs beyond 50 go. */
int mrp_folder_make(struct mrp_folder *out,
                    const char *workdir,
                    bool last,
                    bool temp,
                    struct mrp_error *err);
/** Removes the temporary folder. */
void mrp_folder_done(struct mrp_folder *folder);
/** Path of a file in it; owned. NULL: no memory. '/' in `name` becomes '_' after the last folder.
 */
char *mrp_folder_file(const struct mrp_folder *folder,
                      const char *sub,
                      const char *name,
                      const char *suffix);
/** Write FOLDER/NAME as one JSON document, atomically. */
int mrp_folder_write(const struct mrp_folder *folder,
                     const char *name,
                     const json_t *value,
                     struct mrp_error *err);

#endif
