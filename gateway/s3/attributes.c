#include "base/err.h"
#include "s3/checksums.h"
#include "s3/conditions.h"
#include "s3/headers.h"
#include "s3/operations.h"
#include "s3/xml_out.h"

#define MAX_PARTS 1000

enum { WANT_ETAG = 1, WANT_CHECKSUM = 2, WANT_PARTS = 4, WANT_CLASS = 8, WANT_SIZE = 16 };

/* x-amz-object-attributes may come as one list or as several headers. */
static int wanted(struct s3_request *r, unsigned *out)
{
    static const char *const names[] = {"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"};
    *out = 0;
    for (size_t i = 0; i < r->http->header_count; i++) {
        struct span list = r->http->headers[i].value;
        if (!span_ieq(r->http->headers[i].name, SPAN_LITERAL("x-amz-object-attributes")))
            continue;
        while (list.len > 0) {
            struct span one;
            size_t at = 0;
            list = span_split(list, ',', &one);
            one = span_trim(one);
            while (at < sizeof(names) / sizeof(names[0]) && !span_eq_str(one, names[at]))
                at++;
            if (at == sizeof(names) / sizeof(names[0]))
                return s3_fail_argument(r, "x-amz-object-attributes", one, "Invalid attribute name specified.");
            *out |= 1U << at;
        }
    }
    if (*out == 0)
        return s3_fail(r, S3_INVALID_REQUEST,
                       "The x-amz-object-attributes header specifying the attributes to be retrieved "
                       "is either missing or empty");
    return 0;
}

static int write_parts(struct s3_request *r, struct buf *xml, const Arca__Object *object)
{
    uint64_t max = MAX_PARTS, marker = 0;
    Arca__Part **parts;
    size_t count;
    int rc = s3_number(r, "x-amz-max-parts", s3_header(r, "x-amz-max-parts"), MAX_PARTS, &max);
    if (rc == 0)
        rc = s3_number(r, "x-amz-part-number-marker", s3_header(r, "x-amz-part-number-marker"), PART_NUMBER_MAX,
                       &marker);
    if (rc == 0)
        rc = index_part_list(r->index, span_of(object->manifest_id.data, object->manifest_id.len), (uint32_t)marker,
                             max + 1, r->arena, &parts, &count);
    if (rc != 0)
        return rc;
    bool truncated = count > max && max > 0;
    if (count > max)
        count = max;
    xml_open(xml, "ObjectParts");
    xml_u64(xml, "PartsCount", object->part_count);
    xml_u64(xml, "PartNumberMarker", marker);
    xml_u64(xml, "NextPartNumberMarker", count > 0 ? parts[count - 1]->number : 0);
    xml_u64(xml, "MaxParts", max);
    xml_bool(xml, "IsTruncated", truncated);
    for (size_t i = 0; i < count; i++) {
        xml_open(xml, "Part");
        xml_u64(xml, "PartNumber", parts[i]->number);
        xml_u64(xml, "Size", parts[i]->size);
        checksums_xml(xml, parts[i]->checksums, parts[i]->n_checksums, 0);
        xml_close(xml, "Part");
    }
    xml_close(xml, "ObjectParts");
    return 0;
}

static int write_attributes(struct s3_request *r, struct buf *xml, unsigned want, const Arca__Object *object)
{
    int rc = 0;
    xml_begin(xml, "GetObjectAttributesResponse");
    if ((want & WANT_ETAG) != 0)
        xml_str(xml, "ETag", object->etag);
    if ((want & WANT_CHECKSUM) != 0 && object->n_checksums > 0) {
        xml_open(xml, "Checksum");
        checksums_xml(xml, object->checksums, object->n_checksums, object->part_count);
        xml_str(xml, "ChecksumType", checksums_type(object->checksums[0]));
        xml_close(xml, "Checksum");
    }
    if ((want & WANT_PARTS) != 0 && object->manifest_id.len > 0)
        rc = write_parts(r, xml, object);
    if ((want & WANT_CLASS) != 0)
        xml_str(xml, "StorageClass", headers_storage_class(object->headers));
    if ((want & WANT_SIZE) != 0)
        xml_u64(xml, "ObjectSize", object->size);
    xml_close(xml, "GetObjectAttributesResponse");
    return rc;
}

int op_get_object_attributes(struct s3_request *r)
{
    unsigned want;
    Arca__Object *object;
    struct conditions conditions;
    int rc = wanted(r, &want);
    if (rc == 0)
        rc = s3_version(r, s3_param(r, "versionId"));
    if (rc == 0)
        rc = index_object_get(r->index, r->bucket->id, r->target.key, r->arena, &object, NULL);
    if (rc != 0)
        return rc;
    conditions_read(r->http, false, &conditions);
    rc = conditions_check(&conditions, span_str(object->etag), object->modified_ms);
    if (rc != 0)
        return rc;
    struct buf xml = {0};
    rc = write_attributes(r, &xml, want, object);
    if (rc != 0) {
        buf_free(&xml);
        return rc;
    }
    headers_write_modified(r, object->modified_ms);
    return s3_answer_xml(r, 200, &xml);
}
