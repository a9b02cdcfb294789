/* Byte strings. A span borrows: it owns nothing and lives as long as what it points into. */
#ifndef ARCA_BASE_SPAN_H
#define ARCA_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *ptr;
    size_t len;
};

#define SPAN_LITERAL(s) ((struct span){(const uint8_t *)(s), sizeof(s) - 1})
#define SPAN_NONE       ((struct span){NULL, 0})
/* For printf: printf("%.*s", SPAN_FMT(s)) */
#define SPAN_FMT(s) (int)(s).len, (const char *)(s).ptr

static inline struct span span_of(const void *ptr, size_t len)
{
    return (struct span){ptr, len};
}

static inline struct span span_str(const char *s)
{
    return s != NULL ? (struct span){(const uint8_t *)s, strlen(s)} : SPAN_NONE;
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool span_eq_str(struct span a, const char *s)
{
    return span_eq(a, span_str(s));
}

static inline bool span_starts(struct span s, struct span prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline struct span span_skip(struct span s, size_t n)
{
    return n <= s.len ? (struct span){s.ptr + n, s.len - n} : (struct span){s.ptr + s.len, 0};
}

static inline struct span span_take(struct span s, size_t n)
{
    return (struct span){s.ptr, n < s.len ? n : s.len};
}

/* Byte order, a proper prefix before the longer: S3's listing order. <0, 0, >0. */
int span_cmp(struct span a, struct span b);

/* ASCII case is ignored. */
bool span_ieq(struct span a, struct span b);

/* The offset of the first occurrence, or -1. */
ptrdiff_t span_find(struct span s, struct span what);
ptrdiff_t span_find_byte(struct span s, uint8_t byte);

/* Without leading and trailing spaces and tabs. */
struct span span_trim(struct span s);

/* Splits at the first `byte`: *head gets what stands before, the rest after it is returned. Without one, *head is all
 * of s and the result is empty with ptr NULL. */
struct span span_split(struct span s, uint8_t byte, struct span *head);

/* A decimal without sign, spaces or overflow. 0, or ERR_INVALID. */
int span_to_u64(struct span s, uint64_t *out);

#endif
