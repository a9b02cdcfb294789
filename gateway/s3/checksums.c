#include "s3/checksums.h"

#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "s3/xml_out.h"

static const struct {
    enum digest_kind kind;
    const char *header;
    const char *element;
} kinds[] = {
    {DIGEST_CRC32, "x-amz-checksum-crc32", "ChecksumCRC32"},
    {DIGEST_CRC32C, "x-amz-checksum-crc32c", "ChecksumCRC32C"},
    {DIGEST_CRC64NVME, "x-amz-checksum-crc64nvme", "ChecksumCRC64NVME"},
    {DIGEST_SHA1, "x-amz-checksum-sha1", "ChecksumSHA1"},
    {DIGEST_SHA256, "x-amz-checksum-sha256", "ChecksumSHA256"},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static size_t index_of(enum digest_kind kind)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (kinds[i].kind == kind)
            return i;
    }
    return KINDS;
}

enum digest_kind checksums_by_element(struct span element)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (span_eq_str(element, kinds[i].element))
            return kinds[i].kind;
    }
    return DIGEST_NONE;
}

enum digest_kind checksums_by_header(struct span header)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (span_ieq(header, span_str(kinds[i].header)))
            return kinds[i].kind;
    }
    return DIGEST_NONE;
}

const char *checksums_header_name(enum digest_kind kind)
{
    size_t i = index_of(kind);
    return i < KINDS ? kinds[i].header : NULL;
}

int checksums_parse(enum digest_kind kind, struct span text, uint8_t out[DIGEST_MAX])
{
    size_t len;
    struct span base64;
    span_split(text, '-', &base64);
    if (text_unbase64(base64, out, DIGEST_MAX, &len) != 0 || len != digest_size(kind))
        return ERR_SYNTAX;
    return 0;
}

int checksums_header(struct s3_request *r, enum digest_kind *kind, struct span *value)
{
    *kind = DIGEST_NONE;
    *value = SPAN_NONE;
    for (size_t i = 0; i < KINDS; i++) {
        struct span text = s3_header(r, kinds[i].header);
        if (text.ptr == NULL)
            continue;
        if (*kind != DIGEST_NONE)
            return s3_fail(r, S3_INVALID_REQUEST,
                           "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.");
        uint8_t raw[DIGEST_MAX];
        if (checksums_parse(kinds[i].kind, text, raw) != 0) {
            char *message = arena_printf(r->arena, "Value for %s header is invalid.", kinds[i].header);
            return s3_fail(r, S3_INVALID_REQUEST, message);
        }
        *kind = kinds[i].kind;
        *value = arena_dup(r->arena, span_of(raw, digest_size(*kind)));
        if (value->ptr == NULL)
            return ERR_NOMEM;
    }
    return 0;
}

static struct span as_text(const Arca__Checksum *checksum, uint32_t part_count, char out[CHECKSUM_TEXT_SIZE])
{
    if (checksum->value.len > DIGEST_MAX)
        return SPAN_NONE;
    text_base64(span_of(checksum->value.data, checksum->value.len), out);
    size_t len = strlen(out);
    if (checksum->composite)
        len += (size_t)snprintf(out + len, 8, "-%u", part_count);
    return span_of(out, len);
}

const char *checksums_type(const Arca__Checksum *checksum)
{
    return checksum->composite ? "COMPOSITE" : "FULL_OBJECT";
}

void checksums_write(struct s3_request *r, Arca__Checksum *const *checksums, size_t count, uint32_t part_count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = index_of((enum digest_kind)checksums[i]->kind);
        char text[CHECKSUM_TEXT_SIZE];
        if (at == KINDS)
            continue;
        http_answer_header(r->exchange, kinds[at].header, as_text(checksums[i], part_count, text));
        if (i == 0)
            http_answer_header_str(r->exchange, "x-amz-checksum-type", checksums_type(checksums[i]));
    }
}

void checksums_xml(struct buf *out, Arca__Checksum *const *checksums, size_t count, uint32_t part_count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = index_of((enum digest_kind)checksums[i]->kind);
        char text[CHECKSUM_TEXT_SIZE];
        if (at == KINDS)
            continue;
        struct span value = as_text(checksums[i], part_count, text);
        xml_text(out, kinds[at].element, value);
    }
}

bool checksums_wanted(struct s3_request *r)
{
    return span_ieq(s3_header(r, "x-amz-checksum-mode"), SPAN_LITERAL("ENABLED"));
}

Arca__Checksum *checksums_record(struct arena *arena, enum digest_kind kind, struct span value)
{
    Arca__Checksum *checksum = arena_alloc(arena, sizeof(*checksum));
    struct span copy = arena_dup(arena, value);
    if (checksum == NULL || copy.ptr == NULL)
        return NULL;
    arca__checksum__init(checksum);
    checksum->kind = kind;
    checksum->value = (ProtobufCBinaryData){copy.len, (uint8_t *)(uintptr_t)copy.ptr};
    return checksum;
}
