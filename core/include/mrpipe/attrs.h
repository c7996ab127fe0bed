/* Attributes shared by all public headers. */
#ifndef MRPIPE_ATTRS_H
#define MRPIPE_ATTRS_H

#define MRP_EXPORT __attribute__((visibility("default")))
#define MRP_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define MRP_NODISCARD __attribute__((warn_unused_result))
#define MRP_UNUSED __attribute__((unused))

#define MRP_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
