/* Encodings of bytes as text. Outputs are NUL-terminated where they are char arrays. */
#ifndef ARCA_BASE_TEXT_H
#define ARCA_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/span.h"

/* The value of a hex digit, either case; -1 for any other byte. */
static inline int text_hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `out` has 2 * bytes.len + 1 chars; lower case. */
void text_hex(struct span bytes, char *out);
/* Exactly 2 * out_len digits, either case. ERR_SYNTAX. */
int text_unhex(struct span hex, uint8_t *out, size_t out_len);

#define TEXT_BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)
void text_base64(struct span bytes, char *out);
/* Standard alphabet, padding required, nothing else allowed. *out_len is at most `capacity`. ERR_SYNTAX. */
int text_unbase64(struct span text, uint8_t *out, size_t capacity, size_t *out_len);

/* URI encoding as SigV4 defines it: all but A-Z a-z 0-9 - . _ ~ becomes %XX, upper case; '/' stays if keep_slash. */
void text_uri_encode(struct buf *out, struct span s, bool keep_slash);
/* Decodes %XX (and '+' as space if plus_is_space) into `out`, which has room for s.len bytes. ERR_SYNTAX for a broken
 * escape. */
int text_uri_decode(struct span s, bool plus_is_space, uint8_t *out, size_t *out_len);

/* Whether the bytes are valid UTF-8 (shortest form, no surrogates, up to U+10FFFF). */
bool text_is_utf8(struct span s);
/* Bytes of the valid sequence that a non-empty span begins with; 0 if it is not one. */
size_t text_utf8_length(struct span s);

#endif
