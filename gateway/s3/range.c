#include "s3/range.h"

#include <stdbool.h>
#include "base/err.h"

/* Digits only; a number too big for 64 bits is as good as the biggest. */
static bool number(struct span text, uint64_t *out)
{
    if (text.len == 0)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10U, &value) || __builtin_add_overflow(value, text.ptr[i] - '0', &value)) {
            value = UINT64_MAX;
        }
    }
    *out = value;
    return true;
}

/* Splits "bytes=A-B"; either may be empty. */
static bool split(struct span header, struct span *first, struct span *last)
{
    struct span unit, set = span_split(header, '=', &unit);
    if (set.ptr == NULL || !span_ieq(span_trim(unit), SPAN_LITERAL("bytes")))
        return false;
    struct span rest = span_split(set, '-', first);
    if (rest.ptr == NULL)
        return false;
    *first = span_trim(*first);
    *last = span_trim(rest);
    return true;
}

int range_parse(struct span header, uint64_t size, uint64_t *offset, uint64_t *length)
{
    struct span first_text, last_text;
    uint64_t first, last;
    if (!split(header, &first_text, &last_text))
        return ERR_INVALID;
    if (first_text.len == 0) {
        uint64_t suffix;
        if (!number(last_text, &suffix))
            return ERR_INVALID;
        if (suffix == 0 || size == 0)
            return ERR_RANGE;
        *length = suffix < size ? suffix : size;
        *offset = size - *length;
        return 0;
    }
    if (!number(first_text, &first))
        return ERR_INVALID;
    if (last_text.len == 0)
        last = UINT64_MAX;
    else if (!number(last_text, &last) || last < first)
        return ERR_INVALID;
    if (first >= size)
        return ERR_RANGE;
    if (last >= size)
        last = size - 1;
    *offset = first;
    *length = last - first + 1;
    return 0;
}

int range_parse_copy(struct span header, uint64_t size, uint64_t *offset, uint64_t *length)
{
    struct span first_text, last_text;
    uint64_t first, last;
    if (!split(header, &first_text, &last_text) || !number(first_text, &first) || !number(last_text, &last) ||
        last < first)
        return ERR_INVALID;
    if (last >= size)
        return ERR_RANGE;
    *offset = first;
    *length = last - first + 1;
    return 0;
}
