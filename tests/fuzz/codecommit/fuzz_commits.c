/* The reader of commits at the front of a pack. */
#include "commits.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrp_commits *c = NULL;
    struct mrp_oid parent;
    struct mrp_error err = {0};
    bool over = false;
    memset(&parent, 0x11, sizeof parent);
    if (!size || mrp_commits_new(&c, &parent, &err))
        return 0;
    size_t piece = 1 + data[0] % 64u;
    for (size_t i = 1; i < size && !over; i += piece)
        if (mrp_commits_feed(c, (const char *)data + i, size - i < piece ? size - i : piece, &over,
                             &err))
            break;
    mrp_commits_free(&c);
    return 0;
}
