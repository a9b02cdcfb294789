#include "base/span.h"
#include "base/err.h"

int span_cmp(struct span a, struct span b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.ptr, b.ptr, common) : 0;
    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool span_ieq(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

ptrdiff_t span_find(struct span s, struct span what)
{
    if (what.len == 0)
        return 0;
    if (s.len < what.len)
        return -1;
    const uint8_t *at = memmem(s.ptr, s.len, what.ptr, what.len);
    return at != NULL ? at - s.ptr : -1;
}

ptrdiff_t span_find_byte(struct span s, uint8_t byte)
{
    const uint8_t *at = s.len > 0 ? memchr(s.ptr, byte, s.len) : NULL;
    return at != NULL ? at - s.ptr : -1;
}

static bool blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

struct span span_split(struct span s, uint8_t byte, struct span *head)
{
    ptrdiff_t at = span_find_byte(s, byte);
    if (at < 0) {
        *head = s;
        return SPAN_NONE;
    }
    *head = span_take(s, (size_t)at);
    return span_skip(s, (size_t)at + 1);
}

int span_to_u64(struct span s, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0)
        return ERR_INVALID;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t digit = (uint8_t)(s.ptr[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value))
            return ERR_INVALID;
    }
    *out = value;
    return 0;
}
