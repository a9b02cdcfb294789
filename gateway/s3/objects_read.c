#include <stdio.h>
#include "base/clock.h"
#include "base/err.h"
#include "s3/checksums.h"
#include "s3/conditions.h"
#include "s3/headers.h"
#include "s3/operations.h"
#include "s3/range.h"

#define READ_SPANS      64
#define READ_TIMEOUT_MS 60000 /* for the next bytes of an object */

/* Which bytes an answer has. */
struct selection {
    int status; /* 200 or 206 */
    uint64_t offset, length;
    uint32_t parts_count; /* for x-amz-mp-parts-count; 0: not told */
};

static int select_part(struct s3_request *r, const Arca__Object *object, struct span text, struct selection *out)
{
    uint64_t number;
    if (span_to_u64(text, &number) != 0 || number < 1 || number > PART_NUMBER_MAX)
        return s3_fail_argument(r, "partNumber", text, "Part number must be an integer between 1 and 10000, inclusive");
    if (s3_header(r, "range").ptr != NULL)
        return s3_fail(r, S3_INVALID_REQUEST, "Cannot specify both Range header and partNumber query parameter");
    out->status = 206;
    if (object->manifest_id.len == 0) {
        *out = (struct selection){.status = object->size > 0 ? 206 : 200, .length = object->size};
        return number == 1 ? 0 : S3_INVALID_PART_NUMBER;
    }
    Arca__Part *part;
    struct span id = span_of(object->manifest_id.data, object->manifest_id.len);
    int rc = index_part_get(r->index, id, (uint32_t)number, r->arena, &part);
    if (rc != 0)
        return rc == ERR_INVALID_PART ? S3_INVALID_PART_NUMBER : rc;
    *out = (struct selection){206, part->offset, part->size, object->part_count};
    return 0;
}

static int select_bytes(struct s3_request *r, const Arca__Object *object, struct selection *out)
{
    *out = (struct selection){.status = 200, .length = object->size};
    struct span part = r->target.param_count > 0 ? s3_param(r, "partNumber") : SPAN_NONE;
    if (part.ptr != NULL)
        return select_part(r, object, part, out);
    struct span range = s3_header(r, "range");
    if (range.ptr == NULL ||
        !conditions_if_range(s3_header(r, "if-range"), span_str(object->etag), object->modified_ms))
        return 0;
    int rc = range_parse(range, object->size, &out->offset, &out->length);
    if (rc == ERR_RANGE) {
        s3_detail(r, "RangeRequested", range);
        char *size = arena_printf(r->arena, "%llu", (unsigned long long)object->size);
        s3_detail(r, "ActualObjectSize", span_str(size));
        return rc;
    }
    if (rc == 0)
        out->status = 206;
    return 0;
}

/* Conditions, selection and all headers; nothing is sent. */
static int describe(struct s3_request *r, const Arca__Object *object, struct selection *selection)
{
    struct conditions conditions;
    conditions_read(r->http, false, &conditions);
    int rc = conditions_check(&conditions, span_str(object->etag), object->modified_ms);
    if (rc != 0 && rc != ERR_NOT_MODIFIED)
        return rc;
    headers_write_etag(r, object->etag);
    headers_write_modified(r, object->modified_ms);
    if (rc == ERR_NOT_MODIFIED) {
        if (object->headers != NULL && object->headers->cache_control[0] != 0)
            http_answer_header_str(r->exchange, "Cache-Control", object->headers->cache_control);
        return rc;
    }
    rc = select_bytes(r, object, selection);
    if (rc == 0)
        rc = headers_write(r, object->headers);
    if (rc != 0)
        return rc;
    http_answer_header(r->exchange, "Accept-Ranges", SPAN_LITERAL("bytes"));
    headers_write_encryption(r);
    if (selection->status == 206) {
        char text[96];
        int len = snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)selection->offset,
                           (unsigned long long)(selection->offset + selection->length - (selection->length > 0)),
                           (unsigned long long)object->size);
        http_answer_header(r->exchange, "Content-Range", span_of(text, (size_t)len));
    }
    if (selection->parts_count > 0)
        http_answer_header_u64(r->exchange, "x-amz-mp-parts-count", selection->parts_count);
    /* A checksum of the whole says nothing about a part of it. */
    if (object->n_checksums > 0 && checksums_wanted(r) && selection->length == object->size)
        checksums_write(r, object->checksums, object->n_checksums, object->part_count);
    return 0;
}

int op_head_object(struct s3_request *r)
{
    Arca__Object *object;
    struct selection selection;
    int rc = s3_version(r, s3_param(r, "versionId"));
    if (rc == 0)
        rc = index_object_get(r->index, r->bucket->id, r->target.key, r->arena, &object, NULL);
    if (rc == 0)
        rc = describe(r, object, &selection);
    if (rc != 0)
        return rc;
    http_answer_begin(r->exchange, selection.status, (int64_t)selection.length);
    return http_answer_flush(r->exchange);
}

/* The answer begins only when the first bytes have verified: damage is a 500 then, and later a broken answer. */
static int send_bytes(struct s3_request *r, struct object_reader *reader, const struct selection *selection)
{
    struct span spans[READ_SPANS];
    uint64_t sent = 0;
    while (sent < selection->length) {
        size_t count;
        int rc = object_read(reader, spans, READ_SPANS, &count, clock_monotonic_ms() + READ_TIMEOUT_MS);
        if (rc != 0)
            return rc == ERR_TIMEOUT && sent == 0 ? ERR_UNAVAILABLE : rc;
        if (count == 0)
            return ERR_CORRUPT;
        if (sent == 0)
            http_answer_begin(r->exchange, selection->status, (int64_t)selection->length);
        for (size_t i = 0; i < count; i++)
            sent += spans[i].len;
        rc = http_answer_write(r->exchange, spans, count);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int op_get_object(struct s3_request *r)
{
    Arca__Object *object;
    struct object_reader *reader = NULL;
    struct selection selection;
    int rc = s3_version(r, s3_param(r, "versionId"));
    if (rc == 0)
        rc = object_open(r->engine, r->arena, r->bucket, r->target.key, &object, &reader);
    if (rc != 0)
        return rc;
    rc = describe(r, object, &selection);
    if (rc == 0 && selection.length == 0) {
        rc = s3_answer_empty(r, selection.status);
    } else if (rc == 0) {
        object_reader_range(reader, selection.offset, selection.length);
        rc = send_bytes(r, reader, &selection);
    }
    object_reader_close(reader);
    return rc;
}
