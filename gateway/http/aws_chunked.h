/* The body coding "aws-chunked": size;chunk-signature=... chunks, a zero chunk, trailers. Sources:
 * docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html. */
#ifndef ARCA_HTTP_AWS_CHUNKED_H
#define ARCA_HTTP_AWS_CHUNKED_H

#include <stdbool.h>
#include "base/arena.h"
#include "base/source.h"
#include "base/span.h"

/* Verifies signatures as the chunks pass. `sign` holds the chain; NULL functions for the unsigned form. */
struct aws_chunk_verifier {
    /* The SHA-256 of a chunk's data and its signature as 64 hex digits. ERR_SIGNATURE. */
    int (*chunk)(struct aws_chunk_verifier *verifier, const uint8_t sha256[32], struct span signature);
    /* The canonical trailer text ("name:value\n" each) and x-amz-trailer-signature. ERR_SIGNATURE. */
    int (*trailer)(struct aws_chunk_verifier *verifier, struct span canonical, struct span signature);
};

struct aws_chunked;

/* Decodes `inner`. `decoded_length` is x-amz-decoded-content-length: the stream must have exactly that many bytes
 * (ERR_INCOMPLETE_BODY). A chunk's data reaches the reader before its signature is checked, but the end never does
 * unless all of them held. `announced` is the x-amz-trailer header's value: only trailers named there are accepted
 * (others: ERR_SYNTAX), and each named one must come. Chunk-size lines are at most 256 bytes, trailers 4 KiB.
 * ERR_NOMEM; ERR_SYNTAX when more than 8 trailers are announced. In the arena. */
int aws_chunked_create(struct arena *arena, struct source *inner, int64_t decoded_length, struct span announced,
                       struct aws_chunk_verifier *verifier, struct aws_chunked **out);
/* Releases the digest of a signed chunk that the reader left half read; nothing is held after the end or an error. The
 * owner calls it. NULL is fine. */
void aws_chunked_free(struct aws_chunked *chunked);
struct source *aws_chunked_source(struct aws_chunked *chunked);
/* A trailer's value after the end was seen; SPAN_NONE if there is none of that name. */
struct span aws_chunked_trailer(struct aws_chunked *chunked, const char *name);

#endif
