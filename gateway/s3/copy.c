#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "s3/checked_body.h"
#include "s3/checksums.h"
#include "s3/conditions.h"
#include "s3/copy_source.h"
#include "s3/headers.h"
#include "s3/multipart.h"
#include "s3/objects_write.h"
#include "s3/operations.h"
#include "s3/patience.h"
#include "s3/range.h"
#include "s3/xml_out.h"

#define COPY_SIZE_MAX   (5ULL << 30) /* docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html */
#define COPY_ATTEMPTS   3            /* when the source is replaced meanwhile */
#define READ_SPANS      64
#define READ_TIMEOUT_MS 60000

struct source_object {
    struct copy_source name;
    Arca__Bucket *bucket;
    Arca__Object *object;
    struct object_reader *reader;
};

/* Who copies reads: the source is asked for like a GET. */
static int find_source(struct s3_request *r, struct source_object *source)
{
    struct span header = s3_header(r, "x-amz-copy-source");
    int rc = copy_source_parse(header, r->arena, &source->name);
    if (rc == S3_INVALID_ARGUMENT)
        return s3_fail_argument(r, "x-amz-copy-source", header,
                                "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
    if (rc == 0)
        rc = s3_version(r, source->name.version);
    if (rc == 0)
        rc = s3_authorize(r, "s3:GetObject", source->name.bucket, source->name.key);
    if (rc == 0)
        rc = s3_bucket(r, source->name.bucket, &source->bucket);
    return rc;
}

/* object_reader_close is due when 0 is returned. */
static int open_source(struct s3_request *r, struct source_object *source)
{
    struct conditions conditions;
    int rc = object_open(r->engine, r->arena, source->bucket, source->name.key, &source->object, &source->reader);
    if (rc != 0)
        return rc;
    conditions_read(r->http, true, &conditions);
    rc = conditions_check(&conditions, span_str(source->object->etag), source->object->modified_ms);
    if (rc != 0) {
        object_reader_close(source->reader);
        return ERR_PRECONDITION;
    }
    return 0;
}

static bool same_object(const struct s3_request *r, const struct source_object *source)
{
    return span_eq(source->name.bucket, r->target.bucket) && span_eq(source->name.key, r->target.key);
}

/* Headers of the copy: the source's, or the request's. */
static int choose_headers(struct s3_request *r, const struct source_object *source, Arca__Object *copy)
{
    struct span directive = s3_header(r, "x-amz-metadata-directive");
    bool replace = span_eq_str(directive, "REPLACE");
    if (directive.len > 0 && !replace && !span_eq_str(directive, "COPY"))
        return s3_fail_argument(r, "x-amz-metadata-directive", directive, "Unknown metadata directive.");
    Arca__Headers *given, *kept = source->object->headers;
    int rc = headers_read(r, &given);
    if (rc != 0)
        return rc;
    bool changes = s3_header(r, "x-amz-storage-class").ptr != NULL || given->website_redirect[0] != 0 ||
                   s3_header(r, "x-amz-server-side-encryption").ptr != NULL;
    if (!replace && !changes && same_object(r, source))
        return s3_fail(r, S3_INVALID_REQUEST,
                       "This copy request is illegal because it is trying to copy an object to itself without changing "
                       "the object's metadata, storage class, website redirect location or encryption attributes.");
    if (!replace && kept != NULL) {
        /* Storage class and redirect are the request's in any case. */
        char *class = given->storage_class, *redirect = given->website_redirect;
        *given = *kept;
        given->storage_class = class;
        given->website_redirect = redirect;
    }
    copy->headers = given;
    return 0;
}

static int digest_source(struct source_object *source, enum digest_kind kind, uint8_t *out)
{
    struct digest *digest;
    struct span spans[READ_SPANS];
    size_t count = 0;
    int rc = digest_create(kind, &digest);
    if (rc != 0)
        return rc;
    uint64_t left = source->object->size;
    if (left > 0)
        object_reader_range(source->reader, 0, left);
    while (rc == 0 && left > 0) {
        rc = object_read(source->reader, spans, READ_SPANS, &count, clock_monotonic_ms() + READ_TIMEOUT_MS);
        if (rc == 0 && count == 0)
            rc = ERR_CORRUPT;
        for (size_t i = 0; rc == 0 && i < count; i++) {
            digest_update(digest, spans[i]);
            left -= spans[i].len < left ? spans[i].len : left;
        }
        fiber_yield();
        if (rc == 0 && fiber_canceled(fiber_self()))
            rc = ERR_CANCELED;
    }
    digest_final(digest, out);
    digest_free(digest);
    return rc;
}

/* DIGEST_NONE: the request asks for none. */
static int checksum_asked(struct s3_request *r, enum digest_kind *kind)
{
    struct span name = s3_header(r, "x-amz-checksum-algorithm");
    *kind = name.len > 0 ? digest_by_name(name) : DIGEST_NONE;
    if (name.len > 0 && (*kind == DIGEST_NONE || *kind == DIGEST_MD5))
        return s3_fail(r, S3_INVALID_REQUEST, "Value for x-amz-checksum-algorithm header is invalid.");
    return 0;
}

/* The source's checksums hold for the copy. One that is asked for and not among them is computed from the bytes. */
static int choose_checksums(struct s3_request *r, struct source_object *source, enum digest_kind kind,
                            Arca__Object *copy)
{
    copy->checksums = source->object->checksums;
    copy->n_checksums = source->object->n_checksums;
    if (kind == DIGEST_NONE)
        return 0;
    for (size_t i = 0; i < copy->n_checksums; i++) {
        if (copy->checksums[i]->kind == kind && !copy->checksums[i]->composite)
            return 0;
    }
    uint8_t raw[DIGEST_MAX];
    int rc = digest_source(source, kind, raw);
    if (rc != 0)
        return rc;
    copy->checksums = arena_alloc(r->arena, sizeof(*copy->checksums));
    if (copy->checksums == NULL)
        return ERR_NOMEM;
    copy->checksums[0] = checksums_record(r->arena, kind, span_of(raw, digest_size(kind)));
    copy->n_checksums = 1;
    return copy->checksums[0] != NULL ? 0 : ERR_NOMEM;
}

static int copy_by_reference(struct s3_request *r, struct source_object *source, enum digest_kind kind,
                             Arca__Precondition *precondition, Arca__Object *copy)
{
    const Arca__Object *from = source->object;
    int rc = choose_checksums(r, source, kind, copy);
    if (rc != 0)
        return rc;
    copy->size = from->size;
    copy->etag = from->etag;
    copy->blob_id = from->blob_id;
    copy->manifest_id = from->manifest_id;
    copy->part_count = from->part_count;
    return object_copy(r->engine, r->arena, r->bucket, r->target.key, copy, precondition);
}

/* A copy whose bytes are written once more. */
struct move {
    struct s3_request *r;
    struct object_put put;
};

static int run_move(void *arg)
{
    struct move *move = arg;
    return object_put(move->r->engine, move->r->arena, &move->put);
}

/* What is in a placement stays in it, since its backends have the labels that it demands: a bucket of another placement
 * gets the bytes anew, under a key of its own. As S3 does, the copy of what was uploaded in parts is one body with its
 * own ETag. */
static int copy_bytes(struct s3_request *r, struct source_object *source, enum digest_kind kind,
                      Arca__Precondition *precondition, Arca__Object *copy)
{
    const Arca__Object *from = source->object;
    if (kind == DIGEST_NONE && from->n_checksums > 0)
        kind = (enum digest_kind)from->checksums[0]->kind;
    struct checked_body body = {.r = r, .expectation = {.checksum = kind}};
    struct move move = {
        .r = r,
        .put =
            {
                .bucket = r->bucket,
                .key = r->target.key,
                .object = copy,
                .seal = {checked_body_described, &body},
                .precondition = precondition,
                .size_max = COPY_SIZE_MAX,
                .deadline_ms = DEADLINE_NONE,
            },
    };
    object_reader_range(source->reader, 0, from->size);
    body.source = object_reader_source(source->reader, r->arena);
    int rc =
        body.source == NULL ? ERR_NOMEM : body_digest_create(r->arena, body.source, &body.expectation, &body.digest);
    if (rc == 0) {
        move.put.body = body_digest_source(body.digest);
        rc = patience_run(r, run_move, &move);
        r->retry_after_s = move.put.retry_after_s;
    }
    checked_body_close(&body);
    return rc;
}

static int copy_once(struct s3_request *r, struct source_object *source, Arca__Precondition *precondition,
                     Arca__Object *copy)
{
    enum digest_kind kind = DIGEST_NONE;
    int rc = open_source(r, source);
    if (rc != 0)
        return rc;
    const Arca__Object *from = source->object;
    if (from->size > COPY_SIZE_MAX)
        rc = s3_fail(r, S3_INVALID_REQUEST,
                     "The specified copy source is larger than the maximum allowable size for a "
                     "copy source: 5368709120");
    if (rc == 0)
        rc = choose_headers(r, source, copy);
    if (rc == 0)
        rc = checksum_asked(r, &kind);
    bool moves = from->size > 0 && strcmp(source->bucket->placement, r->bucket->placement) != 0;
    if (rc == 0)
        rc = (moves ? copy_bytes : copy_by_reference)(r, source, kind, precondition, copy);
    object_reader_close(source->reader);
    return rc;
}

static int answer_copied(struct s3_request *r, const char *root, const char *etag, int64_t modified_ms,
                         Arca__Checksum *const *checksums, size_t checksum_count, uint32_t part_count)
{
    struct buf xml = {0};
    xml_begin(&xml, root);
    xml_time(&xml, "LastModified", modified_ms);
    xml_etag(&xml, etag);
    checksums_xml(&xml, checksums, checksum_count, part_count);
    if (checksum_count > 0)
        xml_str(&xml, "ChecksumType", checksums_type(checksums[0]));
    xml_close(&xml, root);
    return s3_answer_xml(r, 200, &xml);
}

int op_copy_object(struct s3_request *r)
{
    struct source_object source = {0};
    Arca__Precondition *precondition;
    Arca__Object *copy = write_object_record(r);
    if (copy == NULL)
        return ERR_NOMEM;
    int rc = headers_check_write(r);
    if (rc == 0)
        rc = find_source(r, &source);
    if (rc == 0)
        rc = write_precondition(r, &precondition);
    if (rc != 0)
        return rc;
    headers_write_encryption(r); /* of an answer, however early it is */
    rc = ERR_CONFLICT;
    for (int attempt = 0; rc == ERR_CONFLICT && attempt < COPY_ATTEMPTS; attempt++)
        rc = copy_once(r, &source, precondition, copy);
    if (rc != 0)
        return write_failure(r, rc, precondition);
    return answer_copied(r, "CopyObjectResult", copy->etag, copy->modified_ms, copy->checksums, copy->n_checksums,
                         copy->part_count);
}

static int choose_range(struct s3_request *r, const struct source_object *source, uint64_t *length)
{
    uint64_t offset = 0;
    struct span range = s3_header(r, "x-amz-copy-source-range");
    *length = source->object->size;
    int rc = range.ptr != NULL ? range_parse_copy(range, source->object->size, &offset, length) : 0;
    if (rc == ERR_RANGE) {
        char *message = arena_printf(r->arena, "Range specified is not valid for source object of size: %llu",
                                     (unsigned long long)source->object->size);
        return s3_fail_argument(r, "x-amz-copy-source-range", range, message);
    }
    if (rc != 0)
        return s3_fail_argument(
            r, "x-amz-copy-source-range", range,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and "
            "last are the zero-based offsets of the first and last bytes to copy");
    if (*length > PART_SIZE_MAX)
        return s3_fail(r, S3_INVALID_REQUEST,
                       "The specified copy source is larger than the maximum allowable size for a copy source: "
                       "5368709120");
    object_reader_range(source->reader, offset, *length);
    return 0;
}

/* The bytes of a part are a blob of their own, so that they are read and written again. */
static int copy_part(struct s3_request *r, struct source_object *source, struct part_put *put, enum digest_kind kind)
{
    uint64_t length;
    struct checked_body body = {.r = r, .expectation = {.checksum = kind}};
    int rc = choose_range(r, source, &length);
    if (rc != 0)
        return rc;
    body.source = object_reader_source(source->reader, r->arena);
    rc = body.source == NULL ? ERR_NOMEM : body_digest_create(r->arena, body.source, &body.expectation, &body.digest);
    if (rc == 0) {
        put->body = body_digest_source(body.digest);
        put->seal = (struct write_seal){checked_body_described, &body};
        rc = part_put(r->engine, r->arena, put);
        r->retry_after_s = put->retry_after_s;
    }
    checked_body_close(&body);
    return rc;
}

int op_upload_part_copy(struct s3_request *r)
{
    struct source_object source = {0};
    Arca__Upload *upload;
    Arca__Part part;
    arca__part__init(&part);
    struct part_put put = {.bucket = r->bucket, .key = r->target.key, .part = &part, .deadline_ms = DEADLINE_NONE};
    int rc = upload_part_number(r, &part.number);
    if (rc == 0)
        rc = upload_find(r, &put.upload_id, &upload);
    if (rc == 0)
        rc = headers_check_write(r);
    if (rc == 0)
        rc = find_source(r, &source);
    if (rc == 0)
        rc = open_source(r, &source);
    if (rc != 0)
        return rc;
    rc = copy_part(r, &source, &put, (enum digest_kind)upload->checksum_kind);
    object_reader_close(source.reader);
    if (rc != 0)
        return rc;
    headers_write_encryption(r);
    return answer_copied(r, "CopyPartResult", part.etag, part.modified_ms, part.checksums, part.n_checksums, 0);
}
