/* URLs: what parses prints to something that parses to the same; references resolve to URLs. */
#include <mrpipe/auto.h>
#include <mrpipe/text.h>
#include <mrpipe/url.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4000)
        return 0;
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *text = mrp_strndup((const char *)data, size);
    mrp_auto(mrp_free_str) char *shown = mrp_url_redact(text);
    if (!shown)
        abort();
    struct mrp_url url;
    if (mrp_url_parse(&url, text, &err) == 0) {
        mrp_auto(mrp_free_str) char *again = mrp_url_text(&url);
        struct mrp_url second;
        if (mrp_url_parse(&second, again, &err) != 0 || !mrp_streq(url.host, second.host) ||
            url.port != second.port || !mrp_streq(url.path, second.path))
            abort();
        mrp_url_done(&second);
    }
    mrp_url_done(&url);
    mrp_auto(mrp_free_str) char *target = mrp_url_resolve("https://host/a/b?c", text);
    if (target && (mrp_url_parse(&url, target, &err) != 0 || url.user))
        abort();
    if (target)
        mrp_url_done(&url);
    return 0;
}
