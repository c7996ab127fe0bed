/* Partitions: which suffix a region's hosts have. */
#include "services.h"

#include <mrpipe/aws.h>
#include <mrpipe/text.h>

#include <ctype.h>
#include <string.h>

static const struct aws_partition partitions[] = {
    {"aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn", {"cn-"}},
    {"aws-us-gov", "amazonaws.com", "api.aws", {"us-gov-"}},
    {"aws-iso-b", "sc2s.sgov.gov", "sc2s.sgov.gov", {"us-isob-"}},
    {"aws-iso-f", "csp.hci.ic.gov", "csp.hci.ic.gov", {"us-isof-", "eu-isoe-"}},
    {"aws-iso", "c2s.ic.gov", "c2s.ic.gov", {"us-iso-"}},
    {"aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu", {"eusc-"}},
    {"aws", "amazonaws.com", "api.aws", {""}},
};

const struct aws_partition *aws_partition_of(const char *region)
{
    for (size_t i = 0; i + 1 < MRP_COUNT(partitions); i++)
        for (size_t k = 0; partitions[i].prefixes[k]; k++)
            if (region && mrp_starts(region, partitions[i].prefixes[k]))
                return &partitions[i];
    return &partitions[MRP_COUNT(partitions) - 1];
}

const char *mrp_aws_suffix(const char *region)
{
    return aws_partition_of(region)->suffix;
}

const char *mrp_aws_partition(const char *region)
{
    return aws_partition_of(region)->name;
}

/* Two or more parts of letters, then a number: us-east-1, us-gov-west-1, eusc-de-east-1. */
bool mrp_aws_is_region(const char *text)
{
    if (!text || strlen(text) > 32 || !islower((unsigned char)text[0]))
        return false;
    unsigned dashes = 0;
    const char *p = text;
    for (;;) {
        size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        if (n == 0 || p[n] != '-')
            break;
        dashes++;
        p += n + 1;
    }
    size_t digits = strspn(p, "0123456789");
    return dashes >= 2 && digits >= 1 && digits <= 2 && p[digits] == '\0';
}
