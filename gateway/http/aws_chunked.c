#include "http/aws_chunked.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/text.h"
#include "crypto/digest.h"

#define LINE_MAX_BYTES 256
#define TRAILERS_MAX   4096
#define ANNOUNCED_MAX  8
/* Bytes asked of the inner source for a line: enough for CRLF and a signed size line, little enough to copy. */
#define WINDOW 128
#define SIGNATURE_DIGITS 64

struct trailer {
    struct span name;
    struct span value; /* ptr NULL until it came */
};

enum stage { STAGE_FIRST, STAGE_DATA, STAGE_END };

struct aws_chunked {
    struct source source;
    struct source *inner;
    struct arena *arena;
    struct aws_chunk_verifier *verifier;
    struct digest *digest; /* of the present chunk's data; NULL between chunks and without a verifier */
    enum stage stage;
    int rc;             /* sticky */
    uint64_t remaining; /* of the present chunk */
    uint64_t left;      /* of the decoded length */
    char signature_text[SIGNATURE_DIGITS];
    struct trailer announced[ANNOUNCED_MAX];
    size_t announced_count;
    struct span trailer_signature;
    size_t start, end; /* what is buffered of the inner source */
    uint8_t buffer[LINE_MAX_BYTES + WINDOW];
};

/* Takes data of the inner source, first what is buffered. Exactly `wanted` bytes. */
static int take(struct aws_chunked *chunked, uint8_t *dst, size_t wanted)
{
    size_t buffered = chunked->end - chunked->start;
    size_t some = wanted < buffered ? wanted : buffered;
    memcpy(dst, chunked->buffer + chunked->start, some);
    chunked->start += some;
    if (some == wanted)
        return 0;
    size_t got;
    int rc = source_read(chunked->inner, dst + some, wanted - some, &got);
    if (rc == 0 && got < wanted - some)
        rc = ERR_INCOMPLETE_BODY;
    return rc;
}

/* The next line without its CRLF. It stands in the buffer until the next read. */
static int read_line(struct aws_chunked *chunked, struct span *line)
{
    size_t seen = 0;
    for (;;) {
        uint8_t *from = chunked->buffer + chunked->start;
        size_t buffered = chunked->end - chunked->start;
        uint8_t *lf = memchr(from + seen, '\n', buffered - seen);
        if (lf != NULL) {
            size_t length = (size_t)(lf - from);
            chunked->start += length + 1;
            if (length == 0 || from[length - 1] != '\r' || memchr(from, '\r', length - 1) != NULL)
                return ERR_SYNTAX;
            *line = span_of(from, length - 1);
            return 0;
        }
        if (buffered >= LINE_MAX_BYTES)
            return ERR_SYNTAX;
        memmove(chunked->buffer, from, buffered);
        chunked->start = 0;
        chunked->end = seen = buffered;
        size_t got;
        int rc = source_read(chunked->inner, chunked->buffer + chunked->end, WINDOW, &got);
        if (rc != 0)
            return rc;
        if (got == 0)
            return ERR_INCOMPLETE_BODY;
        chunked->end += got;
    }
}

static int parse_size(struct span digits, uint64_t *size)
{
    *size = 0;
    if (digits.len == 0 || digits.len > 16)
        return ERR_SYNTAX;
    for (size_t i = 0; i < digits.len; i++) {
        int digit = text_hex_digit(digits.ptr[i]);
        if (digit < 0 || *size >> 59 != 0)
            return ERR_SYNTAX;
        *size = *size << 4 | (uint64_t)digit;
    }
    return 0;
}

/* "size" or "size;chunk-signature=...", as the form demands. */
static int parse_size_line(struct aws_chunked *chunked, struct span line)
{
    static const struct span name = SPAN_LITERAL("chunk-signature=");
    struct span digits;
    struct span extension = span_split(line, ';', &digits);
    int rc = parse_size(digits, &chunked->remaining);
    if (rc != 0)
        return rc;
    if (chunked->remaining > chunked->left)
        return ERR_INCOMPLETE_BODY;
    if (chunked->verifier == NULL)
        return extension.ptr == NULL ? 0 : ERR_SYNTAX;
    uint8_t unused[SIGNATURE_DIGITS / 2];
    if (!span_starts(extension, name) || text_unhex(span_skip(extension, name.len), unused, sizeof(unused)) != 0)
        return ERR_SYNTAX;
    memcpy(chunked->signature_text, extension.ptr + name.len, SIGNATURE_DIGITS);
    return digest_create(DIGEST_SHA256, &chunked->digest);
}

static int end_chunk(struct aws_chunked *chunked)
{
    if (chunked->digest == NULL)
        return 0;
    uint8_t sha256[DIGEST_MAX];
    digest_final(chunked->digest, sha256);
    digest_free(chunked->digest);
    chunked->digest = NULL;
    return chunked->verifier->chunk(chunked->verifier, sha256, span_of(chunked->signature_text, SIGNATURE_DIGITS));
}

/* What is left of the inner source, which is the trailers and the empty line. */
static int read_rest(struct aws_chunked *chunked, struct span *rest)
{
    size_t buffered = chunked->end - chunked->start;
    uint8_t *text = arena_alloc(chunked->arena, TRAILERS_MAX + 1);
    if (text == NULL)
        return ERR_NOMEM;
    memcpy(text, chunked->buffer + chunked->start, buffered);
    chunked->start = chunked->end = 0;
    size_t got;
    int rc = source_read(chunked->inner, text + buffered, TRAILERS_MAX + 1 - buffered, &got);
    if (rc != 0)
        return rc;
    *rest = span_of(text, buffered + got);
    return rest->len <= TRAILERS_MAX ? 0 : ERR_SYNTAX;
}

static void append_lower(struct buf *out, struct span name)
{
    uint8_t *p = buf_reserve(out, name.len);
    if (p == NULL)
        return;
    for (size_t i = 0; i < name.len; i++)
        p[i] = name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] | 0x20 : name.ptr[i];
    out->len += name.len;
}

static int take_trailer(struct aws_chunked *chunked, struct span line, struct buf *canonical)
{
    struct span name;
    struct span value = span_split(line, ':', &name);
    if (value.ptr == NULL || chunked->trailer_signature.ptr != NULL)
        return ERR_SYNTAX;
    value = span_trim(value);
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] < 0x20 || value.ptr[i] == 0x7f)
            return ERR_SYNTAX;
    if (chunked->verifier != NULL && span_ieq(name, SPAN_LITERAL("x-amz-trailer-signature"))) {
        chunked->trailer_signature = value;
        return 0;
    }
    for (size_t i = 0; i < chunked->announced_count; i++) {
        struct trailer *trailer = &chunked->announced[i];
        if (!span_ieq(trailer->name, name) || trailer->value.ptr != NULL)
            continue;
        trailer->value = value;
        append_lower(canonical, name);
        buf_append_str(canonical, ":");
        buf_append(canonical, value);
        buf_append_str(canonical, "\n");
        return 0;
    }
    return ERR_SYNTAX;
}

/* Lines end with CRLF or, as AWS's own description has it, with LF. An empty line ends them; in that description one
 * also stands before x-amz-trailer-signature. */
static int parse_trailers(struct aws_chunked *chunked, struct span rest, struct buf *canonical)
{
    bool ended = false;
    while (rest.len > 0) {
        struct span line;
        rest = span_split(rest, '\n', &line);
        if (rest.ptr == NULL)
            return ERR_SYNTAX;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (ended && (chunked->verifier == NULL || !span_starts(line, SPAN_LITERAL("x-amz-trailer-signature:"))))
            return ERR_SYNTAX;
        ended = line.len == 0;
        int rc = ended ? 0 : take_trailer(chunked, line, canonical);
        if (rc != 0)
            return rc;
    }
    return ended ? 0 : ERR_INCOMPLETE_BODY;
}

static int finish(struct aws_chunked *chunked)
{
    if (chunked->left > 0)
        return ERR_INCOMPLETE_BODY;
    struct span rest;
    int rc = read_rest(chunked, &rest);
    if (rc != 0)
        return rc;
    struct buf canonical = {.cap = 2 * TRAILERS_MAX};
    rc = parse_trailers(chunked, rest, &canonical);
    for (size_t i = 0; rc == 0 && i < chunked->announced_count; i++)
        if (chunked->announced[i].value.ptr == NULL)
            rc = ERR_SYNTAX;
    if (rc == 0)
        rc = canonical.failed;
    if (rc == 0 && chunked->verifier != NULL && chunked->announced_count > 0)
        rc = chunked->trailer_signature.len == SIGNATURE_DIGITS
                 ? chunked->verifier->trailer(chunked->verifier, buf_span(&canonical), chunked->trailer_signature)
                 : ERR_SIGNATURE;
    else if (rc == 0 && chunked->trailer_signature.ptr != NULL)
        rc = ERR_SYNTAX;
    buf_free(&canonical);
    if (rc == 0)
        chunked->stage = STAGE_END;
    return rc;
}

/* From the end of a chunk's data (or the very begin) to the next one's data, or the end. */
static int next_chunk(struct aws_chunked *chunked)
{
    struct span line;
    int rc;
    if (chunked->stage == STAGE_DATA) {
        rc = read_line(chunked, &line);
        if (rc == 0)
            rc = line.len == 0 ? end_chunk(chunked) : ERR_SYNTAX;
        if (rc != 0)
            return rc;
    }
    chunked->stage = STAGE_DATA;
    rc = read_line(chunked, &line);
    if (rc == 0)
        rc = parse_size_line(chunked, line);
    if (rc != 0 || chunked->remaining > 0)
        return rc;
    rc = end_chunk(chunked);
    return rc == 0 ? finish(chunked) : rc;
}

static int fill(struct aws_chunked *chunked, uint8_t *dst, size_t capacity, size_t *got)
{
    int rc = 0;
    while (rc == 0 && *got < capacity && chunked->stage != STAGE_END) {
        if (chunked->remaining == 0) {
            rc = next_chunk(chunked);
            continue;
        }
        size_t some = capacity - *got < chunked->remaining ? capacity - *got : (size_t)chunked->remaining;
        rc = take(chunked, dst + *got, some);
        if (rc != 0)
            break;
        if (chunked->digest != NULL)
            digest_update(chunked->digest, span_of(dst + *got, some));
        *got += some;
        chunked->remaining -= some;
        chunked->left -= some;
    }
    return rc;
}

static int chunked_read(struct source *source, uint8_t *dst, size_t capacity, size_t *got)
{
    struct aws_chunked *chunked = LIST_ENTRY(source, struct aws_chunked, source);
    *got = 0;
    if (chunked->rc == 0)
        chunked->rc = fill(chunked, dst, capacity, got);
    if (chunked->rc != 0) {
        *got = 0;
        aws_chunked_free(chunked);
    }
    return chunked->rc;
}

int aws_chunked_create(struct arena *arena, struct source *inner, int64_t decoded_length, struct span announced,
                       struct aws_chunk_verifier *verifier, struct aws_chunked **out)
{
    struct aws_chunked *chunked = arena_zalloc(arena, sizeof(*chunked));
    if (chunked == NULL)
        return ERR_NOMEM;
    chunked->source = (struct source){.read = chunked_read, .length = decoded_length};
    chunked->inner = inner;
    chunked->arena = arena;
    chunked->verifier = verifier;
    chunked->left = decoded_length > 0 ? (uint64_t)decoded_length : 0;
    while (announced.ptr != NULL) {
        struct span name;
        announced = span_split(announced, ',', &name);
        name = span_trim(name);
        if (name.len == 0)
            continue;
        if (chunked->announced_count == ANNOUNCED_MAX)
            return ERR_SYNTAX;
        chunked->announced[chunked->announced_count++].name = name;
    }
    *out = chunked;
    return 0;
}

void aws_chunked_free(struct aws_chunked *chunked)
{
    if (chunked == NULL)
        return;
    digest_free(chunked->digest);
    chunked->digest = NULL;
}

struct source *aws_chunked_source(struct aws_chunked *chunked)
{
    return &chunked->source;
}

struct span aws_chunked_trailer(struct aws_chunked *chunked, const char *name)
{
    for (size_t i = 0; chunked->stage == STAGE_END && i < chunked->announced_count; i++)
        if (span_ieq(chunked->announced[i].name, span_str(name)))
            return chunked->announced[i].value;
    return SPAN_NONE;
}
