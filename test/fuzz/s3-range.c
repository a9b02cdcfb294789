/* Range, conditions and their dates, copy sources, targets, continuation tokens: one per line of the input. */
#include <stdlib.h>
#include "s3/conditions.h"
#include "s3/copy_source.h"
#include "s3/headers.h"
#include "s3/range.h"
#include "s3/route.h"
#include "s3/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ranges(struct span text, uint64_t size)
{
    uint64_t offset, length;
    if (range_parse(text, size, &offset, &length) == 0 && (length == 0 || offset >= size || length > size - offset))
        abort();
    if (range_parse_copy(text, size, &offset, &length) == 0 &&
        (length == 0 || offset >= size || length > size - offset))
        abort();
}

static void conditions(struct span text, struct arena *arena)
{
    struct http_header headers[] = {{SPAN_LITERAL("if-match"), text},
                                    {SPAN_LITERAL("if-none-match"), text},
                                    {SPAN_LITERAL("if-modified-since"), text},
                                    {SPAN_LITERAL("x-amz-copy-source-if-unmodified-since"), text}};
    struct http_request request = {.headers = headers, .header_count = 4};
    for (int copy = 0; copy < 2; copy++) {
        struct conditions read;
        Arca__Precondition *precondition;
        conditions_read(&request, copy, &read);
        (void)conditions_check(&read, SPAN_LITERAL("d41d8cd98f00b204e9800998ecf8427e"), 1700000000000);
        (void)conditions_precondition(&read, arena, &precondition);
    }
    (void)conditions_if_range(text, SPAN_LITERAL("d41d8cd98f00b204e9800998ecf8427e"), 1700000000000);
}

static void targets(struct span text, struct arena *arena)
{
    char domain[] = "s3.example.org", *domains[] = {domain};
    struct s3_target target;
    struct copy_source source;
    const struct s3_operation *operation;
    struct span last, path, query = span_split(text, '?', &path);
    if (path.len > 0 && path.ptr[0] == '/' &&
        target_parse(SPAN_LITERAL("b.s3.example.org"), path, query, domains, text.len % 2, arena, &target) == 0) {
        for (int method = HTTP_GET; method <= HTTP_OTHER; method++)
            (void)route_find((enum http_method)method, &target, text.len % 3 == 0, &operation);
    }
    (void)copy_source_parse(text, arena, &source);
    if (token_decode(text, arena, &last) == 0 && !span_eq(token_encode(last, arena), text))
        abort();
    (void)headers_content_encoding(text, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create(4 << 20);
    if (arena == NULL)
        return 0;
    struct span rest = span_of(data, size < 16384 ? size : 16384);
    while (rest.len > 0) {
        struct span line;
        rest = span_split(rest, '\n', &line);
        ranges(line, rest.len % 3 == 0 ? rest.len : UINT64_MAX);
        conditions(line, arena);
        targets(line, arena);
        arena_reset(arena);
    }
    arena_free(arena);
    return 0;
}
