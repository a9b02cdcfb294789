/* A pull stream of bytes: request bodies and what wraps them (chunk decoding, digests), or an object that is copied. */
#ifndef ARCA_BASE_SOURCE_H
#define ARCA_BASE_SOURCE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "base/fiber.h"

struct source {
    /* Fills dst with exactly `capacity` bytes, or fewer when the stream ends there; *got says how many, 0 (and rc 0) at
     * the end. Every later read answers the same: the end, or the error. Straight into the caller's memory, so that a
     * body is copied once, from the socket. A source checks what it can at the end (lengths, digests, trailers) and
     * then fails instead of reporting the end: who has seen the end may commit. */
    int (*read)(struct source *source, uint8_t *dst, size_t capacity, size_t *got) SUSPENDS;
    int64_t length; /* bytes in all, or -1 when the stream does not know yet */
    /* The same into several pieces of memory in order; the array is used up. NULL: source_readv reads one by one. */
    int (*readv)(struct source *source, struct iovec *iov, int count, size_t *got) SUSPENDS;
};

static inline int source_read(struct source *source, uint8_t *dst, size_t capacity, size_t *got)
{
    return source->read(source, dst, capacity, got);
}

static inline int source_readv(struct source *source, struct iovec *iov, int count, size_t *got) SUSPENDS
{
    if (source->readv != NULL)
        return source->readv(source, iov, count, got);
    *got = 0;
    for (int i = 0; i < count; i++) {
        size_t some;
        int rc = source_read(source, iov[i].iov_base, iov[i].iov_len, &some);
        *got = rc == 0 ? *got + some : 0;
        if (rc != 0 || some < iov[i].iov_len)
            return rc;
    }
    return 0;
}

#endif
