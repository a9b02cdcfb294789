#include "s3/multipart.h"

#include "base/err.h"
#include "base/text.h"
#include "s3/checked_body.h"
#include "s3/checksums.h"
#include "s3/headers.h"
#include "s3/operations.h"
#include "s3/xml_out.h"

int upload_id_parse(struct span text, struct arena *arena, struct span *out)
{
    uint8_t *id = arena_alloc(arena, UPLOAD_ID_SIZE);
    if (id == NULL)
        return ERR_NOMEM;
    *out = span_of(id, UPLOAD_ID_SIZE);
    return text_unhex(text, id, UPLOAD_ID_SIZE) == 0 ? 0 : ERR_NO_SUCH_UPLOAD;
}

struct span upload_id_text(ProtobufCBinaryData id, char out[2 * UPLOAD_ID_SIZE + 1])
{
    if (id.len != UPLOAD_ID_SIZE)
        return SPAN_NONE;
    text_hex(span_of(id.data, id.len), out);
    return span_of(out, 2 * UPLOAD_ID_SIZE);
}

int upload_find(struct s3_request *r, struct span *id, Arca__Upload **out)
{
    int rc = upload_id_parse(s3_param(r, "uploadId"), r->arena, id);
    if (rc == 0)
        rc = index_upload_get(r->index, r->bucket->uploads_node, r->target.key, *id, r->arena, out);
    if (rc == 0 && (*out)->completed_etag[0] != 0)
        rc = ERR_NO_SUCH_UPLOAD;
    return rc;
}

int upload_part_number(struct s3_request *r, uint32_t *out)
{
    struct span text = s3_param(r, "partNumber");
    uint64_t number;
    if (span_to_u64(text, &number) != 0 || number < 1 || number > PART_NUMBER_MAX)
        return s3_fail_argument(r, "partNumber", text, "Part number must be an integer between 1 and 10000, inclusive");
    *out = (uint32_t)number;
    return 0;
}

static const char *type_name(bool full)
{
    return full ? "FULL_OBJECT" : "COMPOSITE";
}

void upload_checksum_xml(struct buf *xml, const Arca__Upload *upload)
{
    if (upload->checksum_kind == DIGEST_NONE)
        return;
    xml_str(xml, "ChecksumAlgorithm", digest_name((enum digest_kind)upload->checksum_kind));
    xml_str(xml, "ChecksumType", type_name(upload->checksum_full));
}

/* Which combinations there are: docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html */
static int choose_checksum(struct s3_request *r, Arca__Upload *upload)
{
    struct span name = s3_header(r, "x-amz-checksum-algorithm"), type = s3_header(r, "x-amz-checksum-type");
    if (name.len == 0)
        name = s3_header(r, "x-amz-sdk-checksum-algorithm");
    if (name.len == 0) {
        if (type.len > 0)
            return s3_fail(r, S3_INVALID_REQUEST,
                           "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.");
        return 0;
    }
    enum digest_kind kind = digest_by_name(name);
    if (kind == DIGEST_NONE || kind == DIGEST_MD5)
        return s3_fail(r, S3_INVALID_REQUEST,
                       "Checksum algorithm provided is unsupported. Please try again with any of "
                       "the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]");
    bool full = kind == DIGEST_CRC64NVME;
    if (span_ieq(type, SPAN_LITERAL("FULL_OBJECT")))
        full = true;
    else if (span_ieq(type, SPAN_LITERAL("COMPOSITE")))
        full = false;
    else if (type.len > 0)
        return s3_fail(r, S3_INVALID_REQUEST, "Value for x-amz-checksum-type header is invalid.");
    if ((kind == DIGEST_CRC64NVME && !full) || ((kind == DIGEST_SHA1 || kind == DIGEST_SHA256) && full)) {
        char *message = arena_printf(r->arena, "The %s checksum type cannot be used with the %s checksum algorithm.",
                                     type_name(full), digest_name(kind));
        return s3_fail(r, S3_INVALID_REQUEST, message);
    }
    upload->checksum_kind = kind;
    upload->checksum_full = full;
    return 0;
}

static int answer_created(struct s3_request *r, const Arca__Upload *upload)
{
    char id[2 * UPLOAD_ID_SIZE + 1];
    struct buf xml = {0};
    xml_begin(&xml, "InitiateMultipartUploadResult");
    xml_text(&xml, "Bucket", r->target.bucket);
    xml_text(&xml, "Key", r->target.key);
    xml_text(&xml, "UploadId", upload_id_text(upload->id, id));
    xml_close(&xml, "InitiateMultipartUploadResult");
    headers_write_encryption(r);
    if (upload->checksum_kind != DIGEST_NONE) {
        http_answer_header_str(r->exchange, "x-amz-checksum-algorithm",
                               digest_name((enum digest_kind)upload->checksum_kind));
        http_answer_header_str(r->exchange, "x-amz-checksum-type", type_name(upload->checksum_full));
    }
    return s3_answer_xml(r, 200, &xml);
}

int op_create_multipart_upload(struct s3_request *r)
{
    Arca__Upload upload;
    arca__upload__init(&upload);
    upload.owner_id = arena_strdup(r->arena, span_str(r->identity.who->user_id));
    upload.owner_name = arena_strdup(r->arena, span_str(r->identity.who->display_name));
    if (upload.owner_id == NULL || upload.owner_name == NULL)
        return ERR_NOMEM;
    int rc = headers_check_write(r);
    if (rc == 0)
        rc = headers_read(r, &upload.headers);
    if (rc == 0)
        rc = choose_checksum(r, &upload);
    if (rc == 0)
        rc = upload_create(r->engine, r->arena, r->bucket, r->target.key, &upload);
    return rc != 0 ? rc : answer_created(r, &upload);
}

/* A part of an upload with a checksum has one of the same kind: its own, or one that is computed here. */
static int check_kind(struct s3_request *r, const struct checked_body *body, const Arca__Upload *upload)
{
    enum digest_kind kind = body->expectation.checksum, expected = (enum digest_kind)upload->checksum_kind;
    if (expected == DIGEST_NONE || kind == expected)
        return 0;
    char *message = arena_printf(r->arena,
                                 "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum "
                                 "Type: %s",
                                 digest_name(expected), digest_name(kind));
    return s3_fail(r, S3_INVALID_REQUEST, message);
}

int op_upload_part(struct s3_request *r)
{
    struct checked_body body = {0};
    Arca__Upload *upload;
    Arca__Part part;
    arca__part__init(&part);
    struct part_put put = {
        .bucket = r->bucket,
        .key = r->target.key,
        .part = &part,
        .seal = {checked_body_described, &body},
        .deadline_ms = DEADLINE_NONE,
    };
    int rc = upload_part_number(r, &part.number);
    if (rc == 0)
        rc = upload_find(r, &put.upload_id, &upload);
    if (rc == 0)
        rc = headers_check_write(r);
    if (rc == 0)
        rc = checked_body_open(r, (enum digest_kind)upload->checksum_kind, 0, &body);
    if (rc == 0)
        rc = check_kind(r, &body, upload);
    if (rc == 0 && body.source->length > (int64_t)PART_SIZE_MAX)
        rc = ERR_TOO_LARGE;
    if (rc == 0) {
        put.body = body.source;
        rc = part_put(r->engine, r->arena, &put);
        r->retry_after_s = put.retry_after_s;
    }
    checked_body_close(&body);
    if (rc != 0)
        return rc;
    headers_write_etag(r, part.etag);
    headers_write_encryption(r);
    checksums_write(r, part.checksums, part.n_checksums, 0);
    return s3_answer_empty(r, 200);
}

int op_abort_multipart_upload(struct s3_request *r)
{
    struct span id;
    int rc = upload_id_parse(s3_param(r, "uploadId"), r->arena, &id);
    if (rc == 0)
        rc = upload_abort(r->engine, r->arena, r->bucket, r->target.key, id);
    return rc != 0 ? rc : s3_answer_empty(r, 204);
}
