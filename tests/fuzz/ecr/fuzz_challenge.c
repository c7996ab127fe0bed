/* WWW-Authenticate from any bytes. */
#include <challenge.h>

#include <mrpipe/auto.h>
#include <mrpipe/text.h>

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mrp_auto(mrp_free_str) char *text = mrp_strndup((const char *)data, size);
    mrp_auto(challenge_done) struct challenge c = {0};
    if (text) {
        challenge_read(&c, text);
        challenge_read(&c, "Basic realm=\"x\"");
    }
    return 0;
}
