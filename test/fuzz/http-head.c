/* Request heads: whatever comes in, the parser ends, and what it accepts keeps the rules that framing rests on. */
#include <stdlib.h>
#include "http/head.h"
#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct http_request *request)
{
    if (request->target.len == 0 || request->target.ptr[0] != '/' || http_header_count(request, "host") != 1)
        abort();
    if (http_header_count(request, "content-length") + http_header_count(request, "transfer-encoding") > 1)
        abort();
    if (request->chunked && (request->content_length >= 0 || request->http_1_0))
        abort();
    for (size_t i = 0; i < request->header_count; i++) {
        struct span name = request->headers[i].name, value = request->headers[i].value;
        if (name.len == 0 || value.ptr == NULL)
            abort();
        for (size_t j = 0; j < value.len; j++)
            if (value.ptr[j] == '\r' || value.ptr[j] == '\n' || value.ptr[j] == 0)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena *arena;
    if (arena == NULL)
        arena = arena_create(1 << 20);
    arena_reset(arena);
    struct http_request request;
    int status = 0;
    int rc = http_parse_head(span_of(data, size), arena, &request, &status);
    if (rc == 0)
        check(&request);
    else if (status < 400)
        abort();

    /* Arriving byte by byte it ends at the same place. */
    struct head_scan whole = {0}, slow = {0};
    int slow_rc = 0;
    rc = head_scan(&whole, span_of(data, size), &status);
    for (size_t i = 1; slow_rc == 0 && slow.end == 0 && i <= size; i++)
        slow_rc = head_scan(&slow, span_of(data, i), &status);
    if (rc != slow_rc || whole.end != slow.end)
        abort();
    return 0;
}
