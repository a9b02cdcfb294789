/* A growable byte buffer with a cap. Plain data; zero-initialise with the cap set, free with buf_free. */
#ifndef ARCA_BASE_BUF_H
#define ARCA_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

struct buf {
    uint8_t *ptr;
    size_t len;
    size_t allocated;
    size_t cap;  /* never grows beyond; 0 means 16 MiB */
    int failed;  /* sticky: 0, ERR_NOMEM or ERR_TOO_LARGE; appends after a failure do nothing */
};

void buf_free(struct buf *buf);
/* Room for `more` bytes behind len: the place to write them, or NULL (and `failed` is set). */
uint8_t *buf_reserve(struct buf *buf, size_t more);
void buf_append(struct buf *buf, struct span s);
void buf_append_str(struct buf *buf, const char *s);
void buf_append_u64(struct buf *buf, uint64_t value); /* decimal */
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline struct span buf_span(const struct buf *buf)
{
    return (struct span){buf->ptr, buf->len};
}

#endif
