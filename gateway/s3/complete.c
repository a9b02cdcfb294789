#include "s3/complete.h"

#include "base/err.h"
#include "base/text.h"
#include "s3/checked_body.h"
#include "s3/checksums.h"
#include "s3/conditions.h"
#include "s3/headers.h"
#include "s3/multipart.h"
#include "s3/objects_write.h"
#include "s3/operations.h"
#include "s3/patience.h"
#include "s3/xml_in.h"
#include "s3/xml_out.h"

static int part_opened(void *arg, unsigned depth, struct span name)
{
    struct complete_list *list = arg;
    if (depth != 2 || !span_eq_str(name, "Part"))
        return 0;
    if (list->count == PART_NUMBER_MAX)
        return ERR_SYNTAX;
    Arca__CompletedPart *part = arena_alloc(list->arena, sizeof(*part));
    if (part == NULL)
        return ERR_NOMEM;
    arca__completed_part__init(part);
    list->parts[list->count] = part;
    list->checksums[list->count++] = NULL;
    return 0;
}

static int add_checksum(struct complete_list *list, enum digest_kind kind, struct span text)
{
    struct part_checksum *checksum = arena_alloc(list->arena, sizeof(*checksum));
    if (checksum == NULL)
        return ERR_NOMEM;
    checksum->kind = kind;
    list->checksums[list->count - 1] = checksum;
    list->checksum_count++;
    return checksums_parse(kind, text, checksum->value);
}

static int part_closed(void *arg, unsigned depth, struct span name, struct span text)
{
    struct complete_list *list = arg;
    if (list->count == 0 || depth < 2 || depth > 3)
        return 0;
    Arca__CompletedPart *part = list->parts[list->count - 1];
    if (depth == 2) {
        if (!span_eq_str(name, "Part"))
            return 0;
        if (part->number == 0 || part->etag[0] == 0)
            return ERR_SYNTAX;
        return list->count > 1 && list->parts[list->count - 2]->number >= part->number ? ERR_PART_ORDER : 0;
    }
    text = span_trim(text);
    if (span_eq_str(name, "PartNumber")) {
        uint64_t number;
        if (span_to_u64(text, &number) != 0)
            return ERR_SYNTAX;
        part->number = (uint32_t)number;
        return number >= 1 && number <= PART_NUMBER_MAX ? 0 : ERR_INVALID;
    }
    if (span_eq_str(name, "ETag")) {
        part->etag = arena_strdup(list->arena, conditions_etag_bare(text));
        return part->etag != NULL ? 0 : ERR_NOMEM;
    }
    enum digest_kind kind = checksums_by_element(name);
    return kind != DIGEST_NONE && text.len > 0 ? add_checksum(list, kind, text) : 0;
}

int complete_parse(struct span body, struct arena *arena, struct complete_list *out)
{
    *out = (struct complete_list){
        .arena = arena,
        .parts = arena_alloc(arena, PART_NUMBER_MAX * sizeof(Arca__CompletedPart *)),
        .checksums = arena_alloc(arena, PART_NUMBER_MAX * sizeof(struct part_checksum *)),
    };
    if (out->parts == NULL || out->checksums == NULL)
        return ERR_NOMEM;
    struct xml_reader reader = {.opened = part_opened, .closed = part_closed, .arg = out};
    int rc = xml_in_parse(body, "CompleteMultipartUpload", &reader);
    return rc == 0 && out->count == 0 ? ERR_SYNTAX : rc;
}

#define PAGE 1000

static bool checksum_holds(const Arca__Part *part, const struct part_checksum *claimed)
{
    for (size_t i = 0; i < part->n_checksums; i++) {
        const Arca__Checksum *stored = part->checksums[i];
        if (stored->kind == claimed->kind)
            return span_eq(span_of(stored->value.data, stored->value.len),
                           span_of(claimed->value, digest_size(claimed->kind)));
    }
    return false;
}

/* Walks stored and claimed parts side by side; that each claimed one exists is the engine's to find. */
static int check_parts(struct s3_request *r, struct span id, const struct complete_list *list)
{
    size_t at = 0, count = PAGE;
    uint32_t after = 0;
    while (count == PAGE && at < list->count) {
        Arca__Part **parts;
        int rc = index_part_list(r->index, id, after, PAGE, r->arena, &parts, &count);
        if (rc != 0)
            return rc;
        for (size_t i = 0; i < count; i++) {
            after = parts[i]->number;
            while (at < list->count && list->parts[at]->number < after)
                at++;
            if (at < list->count && list->parts[at]->number == after && list->checksums[at] != NULL &&
                !checksum_holds(parts[i], list->checksums[at]))
                return ERR_INVALID_PART;
        }
    }
    return 0;
}

static int read_parts(struct s3_request *r, struct complete_list *list)
{
    struct buf body;
    int rc = checked_body_read_all(r, BODY_CHECKSUM_IS_OBJECTS, &body);
    if (rc == 0)
        rc = complete_parse(buf_span(&body), r->arena, list);
    buf_free(&body);
    if (rc == ERR_INVALID)
        return s3_fail_argument(r, "PartNumber", SPAN_LITERAL(""), "PartNumber must be between 1 and 10000");
    return rc == ERR_SYNTAX ? S3_MALFORMED_XML : rc;
}

/* The checksum of the whole that the client expects must be of the upload's kind and type. */
static int expect_checksum(struct s3_request *r, struct upload_complete *complete)
{
    enum digest_kind kind;
    Arca__Upload *upload;
    struct span type = s3_header(r, "x-amz-checksum-type");
    int rc = index_upload_get(r->index, r->bucket->uploads_node, r->target.key, complete->upload_id, r->arena, &upload);
    if (rc == 0)
        rc = checksums_header(r, &kind, &complete->checksum);
    if (rc != 0)
        return rc;
    if (type.len > 0 &&
        !span_ieq(type, upload->checksum_full ? SPAN_LITERAL("FULL_OBJECT") : SPAN_LITERAL("COMPOSITE")))
        return s3_fail(r, S3_INVALID_REQUEST,
                       "The upload was created using another checksum type than the one that "
                       "completes it.");
    if (kind != DIGEST_NONE && kind != (enum digest_kind)upload->checksum_kind)
        return s3_fail(r, S3_INVALID_REQUEST,
                       "The upload was created using another checksum algorithm than the one that "
                       "completes it.");
    return 0;
}

static int expect_size(struct s3_request *r, struct upload_complete *complete)
{
    struct span text = s3_header(r, "x-amz-mp-object-size");
    if (text.ptr != NULL && span_to_u64(text, &complete->size) != 0)
        return s3_fail_argument(r, "x-amz-mp-object-size", text, "Not a number of bytes");
    return 0;
}

static void write_location(struct s3_request *r, struct buf *xml)
{
    struct buf url = {0};
    bool path_style = r->target.host_bucket.ptr == NULL;
    buf_append_str(&url, http_is_tls(r->exchange) ? "https://" : "http://");
    buf_append(&url, r->http->host);
    buf_append_str(&url, "/");
    if (path_style) {
        buf_append(&url, r->target.bucket);
        buf_append_str(&url, "/");
    }
    text_uri_encode(&url, r->target.key, true);
    xml_text(xml, "Location", buf_span(&url));
    if (url.failed != 0)
        xml->failed = url.failed;
    buf_free(&url);
}

static int answer_completed(struct s3_request *r, const Arca__Object *object)
{
    struct buf xml = {0};
    xml_begin(&xml, "CompleteMultipartUploadResult");
    write_location(r, &xml);
    xml_text(&xml, "Bucket", r->target.bucket);
    xml_text(&xml, "Key", r->target.key);
    xml_etag(&xml, object->etag);
    checksums_xml(&xml, object->checksums, object->n_checksums, object->part_count);
    if (object->n_checksums > 0)
        xml_str(&xml, "ChecksumType", checksums_type(object->checksums[0]));
    xml_close(&xml, "CompleteMultipartUploadResult");
    return s3_answer_xml(r, 200, &xml);
}

struct completing {
    struct s3_request *request;
    struct upload_complete *complete;
};

static int run_complete(void *arg) SUSPENDS
{
    struct completing *work = arg;
    return upload_complete(work->request->engine, work->request->arena, work->complete);
}

int op_complete_multipart_upload(struct s3_request *r)
{
    struct complete_list list;
    struct upload_complete complete = {.bucket = r->bucket, .key = r->target.key, .object = write_object_record(r)};
    if (complete.object == NULL)
        return ERR_NOMEM;
    int rc = upload_id_parse(s3_param(r, "uploadId"), r->arena, &complete.upload_id);
    if (rc == 0)
        rc = expect_checksum(r, &complete);
    if (rc == 0)
        rc = expect_size(r, &complete);
    if (rc == 0)
        rc = write_precondition(r, &complete.precondition);
    if (rc == 0)
        rc = read_parts(r, &list);
    if (rc == 0 && list.checksum_count > 0)
        rc = check_parts(r, complete.upload_id, &list);
    if (rc != 0)
        return rc;
    complete.parts = list.parts;
    complete.part_count = list.count;
    struct completing work = {r, &complete};
    headers_write_encryption(r); /* of an answer, however early it is */
    rc = patience_run(r, run_complete, &work);
    if (rc == ERR_INVALID)
        return s3_fail(r, S3_INVALID_REQUEST,
                       "The provided 'x-amz-mp-object-size' header does not match what was computed");
    return rc != 0 ? write_failure(r, rc, complete.precondition) : answer_completed(r, complete.object);
}
