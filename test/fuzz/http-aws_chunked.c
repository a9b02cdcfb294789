/* aws-chunked, read in pieces of any size: the outcome is the same, the length is as announced, and an error is the end.
 * The first byte: signed or not, and the size of the pieces. The second: the announced length. */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "http/aws_chunked.h"
#include "memory_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int accept_chunk(struct aws_chunk_verifier *verifier, const uint8_t sha256[32], struct span signature)
{
    (void)verifier;
    (void)sha256;
    return signature.len == 64 && signature.ptr[0] != 'f' ? 0 : ERR_SIGNATURE;
}

static int accept_trailer(struct aws_chunk_verifier *verifier, struct span canonical, struct span signature)
{
    (void)verifier;
    return signature.len == 64 && canonical.len > 0 ? 0 : ERR_SIGNATURE;
}

static int decode(struct span in, bool is_signed, int64_t length, size_t piece, uint8_t *out)
{
    struct aws_chunk_verifier verifier = {accept_chunk, accept_trailer};
    struct memory_source memory = memory_source_of(in, -1);
    struct arena *arena = arena_create(1 << 16);
    struct aws_chunked *chunked;
    int64_t total = 0;
    size_t got = 0;
    if (aws_chunked_create(arena, &memory.source, length, SPAN_LITERAL("a, x-amz-checksum-crc32"),
                           is_signed ? &verifier : NULL, &chunked) != 0)
        abort();
    int rc;
    uint8_t bytes[256];
    while ((rc = source_read(aws_chunked_source(chunked), bytes, piece, &got)) == 0 && got > 0) {
        if (total + (int64_t)got > length)
            abort();
        memcpy(out + total, bytes, got);
        total += (int64_t)got;
    }
    if (rc == 0 && (total != length || memory.rest.len != 0 || aws_chunked_trailer(chunked, "a").ptr == NULL))
        abort();
    if (source_read(aws_chunked_source(chunked), bytes, piece, &got) != rc || got != 0)
        abort();
    aws_chunked_free(chunked);
    arena_free(arena);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t one[256] = {0}, other[256] = {0};
    if (size < 2)
        return 0;
    bool is_signed = (data[0] & 1) != 0;
    struct span in = span_of(data + 2, size - 2);
    int rc = decode(in, is_signed, data[1], 256, one);
    if (decode(in, is_signed, data[1], (data[0] >> 1) + 1u, other) != rc || (rc == 0 && memcmp(one, other, 256) != 0))
        abort();
    return 0;
}
