/** The ways in which programs write a value down: encoded, escaped, quoted. */
#ifndef MRP_RUN_SECRET_FORMS_H
#define MRP_RUN_SECRET_FORMS_H

#include <mrpipe/attrs.h>

#include <stdbool.h>
#include <stddef.h>

/** Takes one form. `wraps`: line ends may stand anywhere in it, as encoders break long lines. */
typedef int mrp_secret_add(void *arg, const char *form, size_t len, bool wraps);

/** Call `add` for the value itself and for every form; the same form may come twice. 0, or what
 * `add` returned, or MRP_E_NOMEM. */
int mrp_secret_forms(const char *s, size_t n, mrp_secret_add *add, void *arg) MRP_NODISCARD;

#endif
