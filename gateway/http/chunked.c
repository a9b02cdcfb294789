#include "http/chunked.h"

#include "base/err.h"
#include "base/text.h"

static bool is_text(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static int in_size(struct chunked *chunked, uint8_t c)
{
    int digit = text_hex_digit(c);
    if (digit >= 0) {
        if (chunked->state == CHUNKED_SIZE)
            chunked->size = chunked->digits = 0;
        if (++chunked->digits > 16 || chunked->size > (uint64_t)INT64_MAX >> 4)
            return ERR_SYNTAX;
        chunked->size = chunked->size << 4 | (uint64_t)digit;
        chunked->state = CHUNKED_SIZE_MORE;
        return 0;
    }
    if (chunked->state == CHUNKED_SIZE || (c != ';' && c != '\r'))
        return ERR_SYNTAX;
    chunked->state = c == ';' ? CHUNKED_EXTENSION : CHUNKED_SIZE_LF;
    return 0;
}

static int in_extension(struct chunked *chunked, uint8_t c)
{
    if (c == '\r') {
        chunked->state = CHUNKED_SIZE_LF;
        return 0;
    }
    return is_text(c) && ++chunked->extensions <= CHUNKED_EXTENSIONS_MAX ? 0 : ERR_SYNTAX;
}

static int in_trailer(struct chunked *chunked, uint8_t c)
{
    bool first = chunked->state == CHUNKED_TRAILER;
    if (c == '\r') {
        chunked->state = first ? CHUNKED_LAST_LF : CHUNKED_TRAILER_LF;
        return 0;
    }
    chunked->state = CHUNKED_TRAILER_MORE;
    /* A line that begins with white space would be a folded one. */
    if (!is_text(c) || (first && (c == ' ' || c == '\t')))
        return ERR_SYNTAX;
    return ++chunked->trailers <= CHUNKED_TRAILERS_MAX ? 0 : ERR_SYNTAX;
}

static int expect(struct chunked *chunked, uint8_t c, uint8_t wanted, enum chunked_state next)
{
    chunked->state = next;
    return c == wanted ? 0 : ERR_SYNTAX;
}

static int step(struct chunked *chunked, uint8_t c)
{
    switch (chunked->state) {
    case CHUNKED_SIZE:
    case CHUNKED_SIZE_MORE:
        return in_size(chunked, c);
    case CHUNKED_EXTENSION:
        return in_extension(chunked, c);
    case CHUNKED_SIZE_LF:
        chunked->remaining = c == '\n' ? chunked->size : 0;
        return expect(chunked, c, '\n', chunked->size > 0 ? CHUNKED_DATA : CHUNKED_TRAILER);
    case CHUNKED_DATA: /* its data was taken */
        return expect(chunked, c, '\r', CHUNKED_DATA_LF);
    case CHUNKED_DATA_LF:
        return expect(chunked, c, '\n', CHUNKED_SIZE);
    case CHUNKED_TRAILER:
    case CHUNKED_TRAILER_MORE:
        return in_trailer(chunked, c);
    case CHUNKED_TRAILER_LF:
        return expect(chunked, c, '\n', CHUNKED_TRAILER);
    case CHUNKED_LAST_LF:
        return expect(chunked, c, '\n', CHUNKED_END);
    case CHUNKED_END:
        break;
    }
    return ERR_SYNTAX;
}

int chunked_framing(struct chunked *chunked, struct span in, size_t *used)
{
    *used = 0;
    while (*used < in.len && chunked->state != CHUNKED_END) {
        int rc = step(chunked, in.ptr[(*used)++]);
        if (rc != 0)
            return rc;
        if (chunked->remaining > 0)
            break;
    }
    return 0;
}
