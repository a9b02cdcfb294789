/* The chunked transfer coding: in one piece or in pieces of any size, the data, the end and the errors are the same. The
 * first byte is the size of the pieces. */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "http/chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    int rc;
    size_t used, length;
    uint8_t data[4096];
};

static void decode(struct span in, size_t piece, struct result *result)
{
    struct chunked chunked = {0};
    memset(result, 0, sizeof(*result));
    while (result->rc == 0 && result->used < in.len && !chunked_ended(&chunked)) {
        size_t stop = result->used - result->used % piece + piece;
        size_t given = (stop < in.len ? stop : in.len) - result->used;
        size_t some;
        if (chunked.remaining > 0) {
            some = given < chunked.remaining ? given : (size_t)chunked.remaining;
            memcpy(result->data + result->length, in.ptr + result->used, some);
            result->length += some;
            chunked.remaining -= some;
        } else {
            result->rc = chunked_framing(&chunked, span_of(in.ptr + result->used, given), &some);
        }
        result->used += some;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct result whole, pieces;
    if (size == 0 || size > sizeof(whole.data))
        return 0;
    struct span in = span_of(data + 1, size - 1);
    decode(in, size, &whole);
    decode(in, data[0] > 0 ? data[0] : 1, &pieces);
    if (memcmp(&whole, &pieces, sizeof(whole)) != 0)
        abort();
    return 0;
}
