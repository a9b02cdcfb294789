#include "s3/checked_body.h"

#include <string.h>
#include "base/err.h"
#include "base/text.h"

static bool is_chunked(enum auth_payload payload)
{
    return payload == AUTH_PAYLOAD_CHUNKED_SIGNED || payload == AUTH_PAYLOAD_CHUNKED_SIGNED_TRAILER ||
           payload == AUTH_PAYLOAD_CHUNKED_UNSIGNED_TRAILER;
}

static int late_checksum(void *arg, uint8_t *out, size_t *out_len)
{
    struct checked_body *body = arg;
    struct span text = aws_chunked_trailer(body->chunked, body->trailer);
    *out_len = digest_size(body->expectation.checksum);
    return text.ptr == NULL ? ERR_SYNTAX : checksums_parse(body->expectation.checksum, text, out);
}

/* x-amz-trailer announces the checksum that comes behind the body. */
static int expect_trailer(struct s3_request *r, struct checked_body *body, struct span announced)
{
    enum auth_payload payload = r->identity.payload;
    if (payload != AUTH_PAYLOAD_CHUNKED_SIGNED_TRAILER && payload != AUTH_PAYLOAD_CHUNKED_UNSIGNED_TRAILER)
        return s3_fail(r, S3_INVALID_REQUEST, "x-amz-trailer needs a payload that is streamed with trailers");
    if (body->expectation.checksum_value.ptr != NULL)
        return s3_fail(r, S3_INVALID_REQUEST, "Expecting a single x-amz-checksum- header or trailer.");
    body->expectation.checksum = checksums_by_header(announced);
    if (body->expectation.checksum == DIGEST_NONE)
        return s3_fail(r, S3_INVALID_REQUEST, "The value specified in the x-amz-trailer header is not supported");
    body->trailer = checksums_header_name(body->expectation.checksum);
    body->expectation.checksum_late = late_checksum;
    body->expectation.late_arg = body;
    return 0;
}

static int expect_checksum(struct s3_request *r, struct checked_body *body, enum digest_kind wanted, unsigned flags)
{
    struct body_expectation *expectation = &body->expectation;
    if ((flags & BODY_CHECKSUM_IS_OBJECTS) == 0) {
        int rc = checksums_header(r, &expectation->checksum, &expectation->checksum_value);
        if (rc != 0)
            return rc;
    }
    struct span announced = s3_header(r, "x-amz-trailer");
    if (announced.len > 0) {
        int rc = expect_trailer(r, body, announced);
        if (rc != 0)
            return rc;
    }
    struct span algorithm = s3_header(r, "x-amz-sdk-checksum-algorithm");
    if (algorithm.len > 0 && (flags & BODY_CHECKSUM_IS_OBJECTS) == 0) {
        enum digest_kind kind = digest_by_name(algorithm);
        if (checksums_header_name(kind) == NULL)
            return s3_fail(r, S3_INVALID_REQUEST, "Value for x-amz-sdk-checksum-algorithm header is invalid.");
        if (expectation->checksum == DIGEST_NONE && !checked_body_has_digest(r))
            return s3_fail(r, S3_INVALID_REQUEST,
                           "x-amz-sdk-checksum-algorithm specified, but no corresponding "
                           "x-amz-checksum-* or x-amz-trailer headers were found.");
        if (expectation->checksum != DIGEST_NONE && expectation->checksum != kind)
            return s3_fail(r, S3_INVALID_REQUEST, "Value for x-amz-sdk-checksum-algorithm header is invalid.");
    }
    if (expectation->checksum == DIGEST_NONE)
        expectation->checksum = wanted;
    return 0;
}

static int expect_md5(struct s3_request *r, struct checked_body *body)
{
    struct span text = s3_header(r, "content-md5");
    size_t len;
    if (text.ptr == NULL)
        return 0;
    if (text_unbase64(text, body->expectation.md5, sizeof(body->expectation.md5), &len) != 0 ||
        len != sizeof(body->expectation.md5))
        return ERR_INVALID_DIGEST;
    body->expectation.md5_given = true;
    return 0;
}

static int undo_chunks(struct s3_request *r, struct checked_body *body)
{
    struct span text = s3_header(r, "x-amz-decoded-content-length"), announced = SPAN_NONE;
    uint64_t length;
    if (text.ptr == NULL)
        return ERR_LENGTH_REQUIRED;
    if (span_to_u64(text, &length) != 0 || length > INT64_MAX)
        return s3_fail_argument(r, "x-amz-decoded-content-length", text, "Not a number of bytes");
    struct aws_chunk_verifier *verifier = NULL; /* the unsigned form */
    if (r->identity.payload != AUTH_PAYLOAD_CHUNKED_UNSIGNED_TRAILER) {
        verifier = auth_chunk_verifier(&r->identity, r->arena);
        if (verifier == NULL)
            return ERR_NOMEM;
    }
    if (r->identity.payload != AUTH_PAYLOAD_CHUNKED_SIGNED)
        announced = s3_header(r, "x-amz-trailer");
    int rc = aws_chunked_create(r->arena, body->source, (int64_t)length, announced, verifier, &body->chunked);
    if (rc == 0)
        body->source = aws_chunked_source(body->chunked);
    return rc;
}

int checked_body_open(struct s3_request *r, enum digest_kind wanted, unsigned flags, struct checked_body *body)
{
    *body = (struct checked_body){.r = r};
    if (r->http->content_length < 0 && !r->http->chunked && (flags & BODY_MAY_BE_ABSENT) == 0)
        return ERR_LENGTH_REQUIRED;
    body->source = http_body(r->exchange);
    int rc = expect_md5(r, body);
    if (rc == 0)
        rc = expect_checksum(r, body, wanted, flags);
    if (rc == 0 && is_chunked(r->identity.payload))
        rc = undo_chunks(r, body);
    if (rc != 0)
        return rc;
    if (r->identity.payload == AUTH_PAYLOAD_SHA256) {
        body->expectation.sha256_given = true;
        memcpy(body->expectation.sha256, r->identity.sha256, sizeof(body->expectation.sha256));
    }
    rc = body_digest_create(r->arena, body->source, &body->expectation, &body->digest);
    if (rc == 0)
        body->source = body_digest_source(body->digest);
    return rc;
}

void checked_body_close(struct checked_body *body)
{
    body_digest_free(body->digest);
    aws_chunked_free(body->chunked);
    body->digest = NULL;
    body->chunked = NULL;
}

int checked_body_described(void *arg, char **etag, Arca__Checksum ***checksums, size_t *count)
{
    struct checked_body *body = arg;
    struct arena *arena = body->r->arena;
    *etag = arena_alloc(arena, 2 * 16 + 1);
    if (*etag == NULL)
        return ERR_NOMEM;
    text_hex(span_of(body_digest_md5(body->digest), 16), *etag);
    *count = 0;
    if (body->expectation.checksum == DIGEST_NONE)
        return 0;
    *checksums = arena_alloc(arena, sizeof(**checksums));
    if (*checksums == NULL)
        return ERR_NOMEM;
    (*checksums)[0] = checksums_record(arena, body->expectation.checksum, body_digest_checksum(body->digest));
    if ((*checksums)[0] == NULL)
        return ERR_NOMEM;
    *count = 1;
    return 0;
}

bool checked_body_has_digest(struct s3_request *r)
{
    if (s3_header(r, "content-md5").ptr != NULL || s3_header(r, "x-amz-trailer").len > 0)
        return true;
    for (size_t i = 0; i < r->http->header_count; i++) {
        if (checksums_by_header(r->http->headers[i].name) != DIGEST_NONE)
            return true;
    }
    return false;
}

int checked_body_read_all(struct s3_request *r, unsigned flags, struct buf *out)
{
    struct checked_body body;
    size_t limit = r->operation->body_limit;
    int rc = checked_body_open(r, DIGEST_NONE, flags | BODY_MAY_BE_ABSENT, &body);
    *out = (struct buf){.cap = limit + 1};
    if (rc == 0 && body.source->length > (int64_t)limit)
        rc = S3_MESSAGE_TOO_LARGE;
    size_t got = 1;
    while (rc == 0 && got > 0) {
        size_t room = body.source->length >= 0 ? (size_t)body.source->length + 1 - out->len : 16 * 1024;
        if (room > limit + 1 - out->len)
            room = limit + 1 - out->len;
        uint8_t *at = buf_reserve(out, room);
        rc = at == NULL ? ERR_NOMEM : source_read(body.source, at, room, &got);
        if (rc == 0)
            out->len += got;
        if (rc == 0 && out->len > limit)
            rc = S3_MESSAGE_TOO_LARGE;
    }
    checked_body_close(&body);
    return rc;
}
