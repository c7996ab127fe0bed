/* Error answers of any dialect, Retry-After, and answers of the Query protocol. */
#include "call.h"
#include "client.h"
#include "retry.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 8000)
        return 0;
    struct mrp_error err = {0};
    struct mrp_http_response resp = {.status = 400 + data[0] % 200};
    mrp_buf_init(&resp.body, 1 << 20);
    mrp_buf_add(&resp.body, data + 1, size - 1);
    mrp_auto(mrp_free_str) char *line =
        mrp_strndup((const char *)data + 1, strcspn((const char *)mrp_buf_str(&resp.body), "\n"));
    mrp_headers_add(&resp.headers, "Retry-After", line);
    mrp_headers_add(&resp.headers, "x-amzn-errortype", line);
    int64_t wait = retry_after_ms(&resp.headers, 0);
    if (wait < 0 || wait > 60000)
        abort();
    if (aws_answer_error(&resp, "fuzz", &err) == 0 || !mrp_is_text(err.msg, strlen(err.msg)))
        abort();
    mrp_http_status_error(&resp, "fuzz", &err);
    json_t *j = NULL;
    query_answer(&j, &resp, "Op", "fuzz", &err);
    mrp_free_json(&j);
    mrp_http_response_done(&resp);
    return 0;
}
