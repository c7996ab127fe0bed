/** XML answers as JSON, on expat: no DTD, depth 64, at most 64 MiB (libmrpipe-net). */
#ifndef MRPIPE_XML_H
#define MRPIPE_XML_H

#include <mrpipe/error.h>

#include <jansson.h>
#include <stddef.h>

/**
 * Elements become members, text becomes strings, repeated elements become arrays, and an element
 * whose children are all named `member` or `item` becomes an array. Attributes and namespaces are
 * dropped. The root element is the object's only member. *out is owned. 0 or MRP_E_REMOTE.
 */
MRP_EXPORT int mrp_xml_parse(json_t **out,
                             const char *text,
                             size_t len,
                             const char *what,
                             struct mrp_error *err) MRP_NODISCARD;

#endif
