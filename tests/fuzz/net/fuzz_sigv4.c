/* Signing any URL and header; both kinds of path. */
#include <mrpipe/auto.h>
#include <mrpipe/aws.h>
#include <mrpipe/text.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4000)
        return 0;
    struct mrp_error err = {0};
    mrp_auto(mrp_free_str) char *text = mrp_strndup((const char *)data + 1, size - 1);
    char *line = strchr(text, '\n');
    struct mrp_headers headers = {0};
    mrp_headers_add(&headers, "Host", "h");
    if (line) {
        *line++ = '\0';
        mrp_headers_add(&headers, "X-Any", line);
        mrp_headers_add(&headers, line, "x");
    }
    char access[] = "AKID";
    char secret[] = "secret";
    struct mrp_credentials c = {.access_key = access, .secret_key = secret};
    struct mrp_sigv4 how = {
        .credentials = &c, .region = "us-east-1", .service = "s3", .s3 = data[0] & 1};
    mrp_auto(mrp_free_str) char *canonical = NULL;
    if (mrp_sigv4_sign(&headers, &how, "GET", text, "UNSIGNED-PAYLOAD", &canonical, &err) == 0 &&
        !mrp_headers_get(&headers, "Authorization"))
        abort();
    mrp_headers_done(&headers);
    return 0;
}
