/* Encodings: what decodes must encode to the same again. */
#include <stdlib.h>
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void base64(struct span text, uint8_t *out)
{
    char again[8192];
    size_t length;
    if (text_unbase64(text, out, text.len, &length) != 0)
        return;
    text_base64(span_of(out, length), again);
    if (!span_eq_str(text, again))
        abort();
}

static void hex(struct span text, uint8_t *out)
{
    char again[8192];
    if (text_unhex(text, out, text.len / 2) != 0)
        return;
    text_hex(span_of(out, text.len / 2), again);
    if (!span_ieq(text, span_str(again)))
        abort();
}

static void uri(struct span text, uint8_t *out)
{
    struct buf coded = {0};
    uint8_t *plain = malloc(3 * text.len + 1);
    size_t length;
    text_uri_encode(&coded, text, true);
    if (plain == NULL || coded.failed != 0)
        exit(1);
    if (text_uri_decode(buf_span(&coded), false, plain, &length) != 0 || !span_eq(span_of(plain, length), text))
        abort();
    buf_free(&coded);
    free(plain);
    if (text_uri_decode(text, true, out, &length) == 0 && length > text.len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 2048)
        return 0;
    struct span text = span_of(data, size);
    uint8_t *out = malloc(size + 1); /* exactly the room that the decoders are promised, but for malloc(0) */
    if (out == NULL)
        return 0;
    base64(text, out);
    hex(text, out);
    uri(text, out);
    text_is_utf8(text);
    free(out);
    return 0;
}
