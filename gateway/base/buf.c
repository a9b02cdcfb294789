#include "base/buf.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"

#define CAP_DEFAULT ((size_t)16 << 20)
#define FIRST_SIZE  ((size_t)256)

void buf_free(struct buf *buf)
{
    free(buf->ptr);
    buf->ptr = NULL;
    buf->len = buf->allocated = 0;
    buf->failed = 0;
}

static uint8_t *fail(struct buf *buf, int rc)
{
    buf->failed = rc;
    return NULL;
}

uint8_t *buf_reserve(struct buf *buf, size_t more)
{
    size_t cap = buf->cap != 0 ? buf->cap : CAP_DEFAULT;
    size_t need;
    if (buf->failed != 0)
        return NULL;
    if (__builtin_add_overflow(buf->len, more, &need) || need > cap)
        return fail(buf, ERR_TOO_LARGE);
    if (need <= buf->allocated && buf->ptr != NULL)
        return buf->ptr + buf->len;

    size_t size = buf->allocated <= cap / 2 ? buf->allocated * 2 : cap;
    if (size < need)
        size = need;
    if (size < FIRST_SIZE)
        size = FIRST_SIZE < cap ? FIRST_SIZE : cap;
    uint8_t *ptr = realloc(buf->ptr, size);
    if (ptr == NULL)
        return fail(buf, ERR_NOMEM);
    buf->ptr = ptr;
    buf->allocated = size;
    return ptr + buf->len;
}

void buf_append(struct buf *buf, struct span s)
{
    uint8_t *at = buf_reserve(buf, s.len);
    if (at == NULL || s.len == 0)
        return;
    memcpy(at, s.ptr, s.len);
    buf->len += s.len;
}

void buf_append_str(struct buf *buf, const char *s)
{
    buf_append(buf, span_str(s));
}

void buf_append_u64(struct buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_append(buf, span_of(digits + at, sizeof(digits) - at));
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    char small[256];
    va_start(args, format);
    int length = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (length < 0) {
        fail(buf, ERR_INVALID);
        return;
    }
    if ((size_t)length < sizeof(small)) {
        buf_append(buf, span_of(small, (size_t)length));
        return;
    }
    /* vsnprintf also writes a NUL, which is room but not length. */
    uint8_t *at = buf_reserve(buf, (size_t)length + 1);
    if (at == NULL)
        return;
    va_start(args, format);
    vsnprintf((char *)at, (size_t)length + 1, format, args);
    va_end(args);
    buf->len += (size_t)length;
}
