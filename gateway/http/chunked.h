/* The chunked transfer coding's framing (RFC 9112 7.1), strict: sizes in hex without prefix or space, CRLF exact.
 * Trailers are checked for form and discarded. Pure; private to http/. */
#ifndef ARCA_HTTP_CHUNKED_H
#define ARCA_HTTP_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

#define CHUNKED_EXTENSIONS_MAX 16384 /* bytes of chunk extensions in a whole body: nobody needs them */
#define CHUNKED_TRAILERS_MAX   8192

enum chunked_state {
    CHUNKED_SIZE, /* zero-initialised: before the first digit of the first size */
    CHUNKED_SIZE_MORE,
    CHUNKED_EXTENSION,
    CHUNKED_SIZE_LF,
    CHUNKED_DATA,
    CHUNKED_DATA_LF,
    CHUNKED_TRAILER,
    CHUNKED_TRAILER_MORE,
    CHUNKED_TRAILER_LF,
    CHUNKED_LAST_LF,
    CHUNKED_END,
};

struct chunked {
    enum chunked_state state;
    uint64_t remaining; /* data bytes of the present chunk not yet taken; the taker counts them down */
    uint64_t size;      /* as far as its digits are known */
    unsigned digits;    /* of it, leading zeros included */
    size_t extensions;
    size_t trailers;
};

/* Takes framing from `in` until a chunk's data begins (remaining > 0), the body has ended (chunked_ended) or `in` is
 * used up. *used is the bytes taken. Call it with remaining == 0 only. ERR_SYNTAX. */
int chunked_framing(struct chunked *chunked, struct span in, size_t *used);

static inline bool chunked_ended(const struct chunked *chunked)
{
    return chunked->state == CHUNKED_END;
}

#endif
