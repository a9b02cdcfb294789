/* Arrays of struct iovec that are used up from the front. */
#ifndef ARCA_BASE_IOV_H
#define ARCA_BASE_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/* Past `bytes` bytes, at most what there is, and past empty pieces. */
static inline void iov_skip(struct iovec **iov, int *count, size_t bytes)
{
    while (*count > 0 && bytes >= (*iov)->iov_len) {
        bytes -= (*iov)->iov_len;
        ++*iov;
        --*count;
    }
    if (bytes > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + bytes;
        (*iov)->iov_len -= bytes;
    }
}

static inline size_t iov_bytes(const struct iovec *iov, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

#endif
