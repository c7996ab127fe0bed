/* The AWS CLI's configuration files as JSON: {"section": {"key": "value"}}. */
#ifndef MRP_NET_INI_H
#define MRP_NET_INI_H

#include <mrpipe/error.h>

#include <jansson.h>
#include <stddef.h>

/** Section names come as in the file, but "profile NAME" as "NAME". Keys are lower case. Nested
 * settings (indented lines) are "key.sub". Owned. */
int ini_parse(json_t **out, const char *text, size_t len, const char *what, struct mrp_error *err);

#endif
