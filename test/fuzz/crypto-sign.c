/* A request's path, query and headers from an unknown client: lines "method", "path", "query", "name:value". */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "crypto/sign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sign_header headers[32];
    struct sign_request request = {.headers = headers, .payload_hash = SPAN_LITERAL("UNSIGNED-PAYLOAD"),
                                   .skip_parameter = SPAN_LITERAL("X-Amz-Signature")};
    struct arena *arena = arena_create(1 << 20);
    struct span rest = span_of(data, size), line;
    char first[65], second[65];
    int rc;

    if (arena == NULL)
        abort();
    rest = span_split(rest, '\n', &request.method);
    rest = span_split(rest, '\n', &request.path);
    rest = span_split(rest, '\n', &request.query);
    while (rest.len > 0 && request.header_count < 32) {
        struct sign_header *header = &headers[request.header_count++];

        rest = span_split(rest, '\n', &line);
        header->value = span_split(line, ':', &header->name);
    }
    rc = sign_canonical_hash(&request, arena, first);
    if (rc == 0) {
        /* The order in which headers of different names are given does not matter. */
        if (request.header_count == 2 && !span_ieq(headers[0].name, headers[1].name)) {
            struct sign_header swap = headers[0];

            headers[0] = headers[1];
            headers[1] = swap;
        }
        arena_reset(arena);
        if (sign_canonical_hash(&request, arena, second) != 0 || strcmp(first, second) != 0)
            abort();
    } else if (rc != ERR_SYNTAX && rc != ERR_NOMEM) {
        abort();
    }
    arena_free(arena);
    return 0;
}
