#include "s3/token.h"

#include "base/err.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "index/index.h"

/* base64 of a tag, CRC-32C of the rest, and the key. The tag is no secret: a client may start anywhere it likes. It
 * tells a token from what a client made up or cut off. */
#define TAG_SIZE 4
#define SEED     0x61726361U

static void tag_of(struct span key, uint8_t out[TAG_SIZE])
{
    uint32_t crc = digest_crc32c(SEED, key.ptr, key.len);
    for (int i = 0; i < TAG_SIZE; i++)
        out[i] = (uint8_t)(crc >> (8 * i));
}

struct span token_encode(struct span last, struct arena *arena)
{
    size_t len = TAG_SIZE + last.len;
    uint8_t *raw = arena_alloc(arena, len);
    char *text = arena_alloc(arena, TEXT_BASE64_SIZE(len));
    if (raw == NULL || text == NULL)
        return SPAN_NONE;
    tag_of(last, raw);
    memcpy(raw + TAG_SIZE, last.ptr, last.len);
    text_base64(span_of(raw, len), text);
    return span_of(text, TEXT_BASE64_SIZE(len) - 1);
}

int token_decode(struct span token, struct arena *arena, struct span *last)
{
    uint8_t tag[TAG_SIZE];
    size_t len, capacity = TAG_SIZE + KEY_MAX;
    uint8_t *raw = arena_alloc(arena, capacity);
    if (raw == NULL)
        return ERR_NOMEM;
    if (text_unbase64(token, raw, capacity, &len) != 0 || len <= TAG_SIZE)
        return ERR_SYNTAX;
    *last = span_of(raw + TAG_SIZE, len - TAG_SIZE);
    tag_of(*last, tag);
    return memcmp(tag, raw, TAG_SIZE) == 0 ? 0 : ERR_SYNTAX;
}
