/* A line with the bucket that the host names, then any head. What is signed must tell all that the signature covers:
 * the parameters read back from it are those of the query, one by one. */
#include "base/text.h"
#include "crypto/sign_v2.h"
#include "fuzz_auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How many of the parameters between '&' are signed; `encoded`: as in a query. */
static size_t count_covered(struct span text, bool encoded)
{
    uint8_t name_bytes[64 * 1024];
    size_t count = 0, len;

    while (text.len > 0) {
        struct span one, name;
        text = span_split(text, '&', &one);
        span_split(one, '=', &name);
        if (encoded) {
            if (name.len > sizeof(name_bytes) || text_uri_decode(name, true, name_bytes, &len) != 0)
                abort();
            name = span_of(name_bytes, len);
        }
        count += sign_v2_covers(name);
    }
    return count;
}

static void check_string(const struct http_request *request, struct span bucket, struct arena *arena)
{
    const struct sign_v2_request signable = {
        .method = request->method_name, .bucket = bucket, .path = request->path, .query = request->query};
    struct span string, parameters;

    if (sign_v2_string(&signable, arena, &string) != 0)
        return;
    size_t fixed = request->method_name.len + strlen("\n\n\n\n") + (bucket.len > 0) + bucket.len + request->path.len;
    if (string.len < fixed)
        abort();
    parameters = span_skip(string, fixed);
    if (parameters.len > 0 && parameters.ptr[0] != '?')
        abort();
    if (count_covered(span_skip(parameters, 1), false) != count_covered(request->query, true))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create(4 << 20);
    struct http_request request;
    struct span bucket, head = span_split(span_of(data, size), '\n', &bucket);
    int status;

    if (arena != NULL && http_parse_head(head, arena, &request, &status) == 0)
        check_string(&request, bucket, arena);
    arena_free(arena);
    fuzz_verify(head, bucket);
    return 0;
}
