/* The table of AWS services and the partitions they run in. */
#ifndef MRP_NET_SERVICES_H
#define MRP_NET_SERVICES_H

#include <stdbool.h>

enum aws_protocol { AWS_JSON_10, AWS_JSON_11, AWS_QUERY, AWS_EC2, AWS_REST_JSON, AWS_REST_XML };

struct aws_service {
    const char *name;   /* what callers say */
    const char *alias;  /* another name, or NULL */
    const char *prefix; /* of the host name */
    const char *signing;
    const char *env_id; /* in AWS_ENDPOINT_URL_<env_id> */
    enum aws_protocol protocol;
    const char *target;  /* of JSON: X-Amz-Target prefix */
    const char *version; /* of Query */
    const char *global; /* one endpoint for the partition, signed for this region; NULL: regional */
};

const struct aws_service *aws_service_find(const char *name);
const struct aws_service *aws_service_at(unsigned index); /* NULL after the last */

struct aws_partition {
    const char *name;
    const char *suffix;
    const char *dual_suffix;
    const char *prefixes[10]; /* of its regions; NULL-terminated */
};

const struct aws_partition *aws_partition_of(const char *region);

#endif
