#include "base/err.h"
#include "s3/checksums.h"
#include "s3/headers.h"
#include "s3/multipart.h"
#include "s3/operations.h"
#include "s3/xml_out.h"

#define MAX_PARTS   1000
#define MAX_UPLOADS 1000

static void write_part(struct buf *xml, const Arca__Part *part)
{
    xml_open(xml, "Part");
    xml_u64(xml, "PartNumber", part->number);
    xml_time(xml, "LastModified", part->modified_ms);
    xml_etag(xml, part->etag);
    xml_u64(xml, "Size", part->size);
    checksums_xml(xml, part->checksums, part->n_checksums, 0);
    xml_close(xml, "Part");
}

int op_list_parts(struct s3_request *r)
{
    Arca__Upload *upload;
    Arca__Part **parts;
    struct span id;
    size_t count;
    uint64_t max = MAX_PARTS, marker = 0;
    bool url;
    int rc = s3_encoding(r, &url);
    if (rc == 0)
        rc = s3_number(r, "max-parts", s3_param(r, "max-parts"), MAX_PARTS, &max);
    if (rc == 0)
        rc = s3_number(r, "part-number-marker", s3_param(r, "part-number-marker"), PART_NUMBER_MAX, &marker);
    if (rc == 0)
        rc = upload_find(r, &id, &upload);
    if (rc == 0)
        rc = index_part_list(r->index, id, (uint32_t)marker, max + 1, r->arena, &parts, &count);
    if (rc != 0)
        return rc;
    bool truncated = count > max && max > 0;
    if (count > max)
        count = max;
    struct buf xml = {0};
    xml_begin(&xml, "ListPartsResult");
    xml_text(&xml, "Bucket", r->target.bucket);
    xml_name(&xml, "Key", r->target.key, url);
    if (url)
        xml_str(&xml, "EncodingType", "url");
    xml_text(&xml, "UploadId", s3_param(r, "uploadId"));
    xml_owner(&xml, "Initiator", upload->owner_id, upload->owner_name);
    xml_owner(&xml, "Owner", upload->owner_id, upload->owner_name);
    xml_str(&xml, "StorageClass", headers_storage_class(upload->headers));
    xml_u64(&xml, "PartNumberMarker", marker);
    xml_u64(&xml, "NextPartNumberMarker", count > 0 ? parts[count - 1]->number : 0);
    xml_u64(&xml, "MaxParts", max);
    xml_bool(&xml, "IsTruncated", truncated);
    upload_checksum_xml(&xml, upload);
    for (size_t i = 0; i < count; i++)
        write_part(&xml, parts[i]);
    xml_close(&xml, "ListPartsResult");
    return s3_answer_xml(r, 200, &xml);
}

static void write_upload(struct buf *xml, const struct index_entry *entry, bool url)
{
    const Arca__Upload *upload = entry->upload;
    char id[2 * UPLOAD_ID_SIZE + 1];
    xml_open(xml, "Upload");
    xml_name(xml, "Key", entry->key, url);
    xml_text(xml, "UploadId", upload_id_text(upload->id, id));
    xml_owner(xml, "Initiator", upload->owner_id, upload->owner_name);
    xml_owner(xml, "Owner", upload->owner_id, upload->owner_name);
    xml_str(xml, "StorageClass", headers_storage_class(upload->headers));
    xml_time(xml, "Initiated", upload->created_ms);
    upload_checksum_xml(xml, upload);
    xml_close(xml, "Upload");
}

static void write_uploads(struct s3_request *r, struct buf *xml, const struct index_list_query *query, bool url,
                          const struct index_listing *listing)
{
    char id[2 * UPLOAD_ID_SIZE + 1];
    xml_begin(xml, "ListMultipartUploadsResult");
    xml_text(xml, "Bucket", r->target.bucket);
    xml_name(xml, "KeyMarker", query->start_after, url);
    xml_text(xml, "UploadIdMarker", s3_param(r, "upload-id-marker"));
    if (listing->truncated) {
        const struct index_entry *last = &listing->entries[listing->count - 1];
        xml_name(xml, "NextKeyMarker", last->key, url);
        xml_text(xml, "NextUploadIdMarker", last->upload != NULL ? upload_id_text(last->upload->id, id) : SPAN_NONE);
    }
    xml_name(xml, "Prefix", query->prefix, url);
    if (query->delimiter.len > 0)
        xml_name(xml, "Delimiter", query->delimiter, url);
    if (url)
        xml_str(xml, "EncodingType", "url");
    xml_u64(xml, "MaxUploads", query->max);
    xml_bool(xml, "IsTruncated", listing->truncated);
    for (size_t i = 0; i < listing->count; i++) {
        if (listing->entries[i].upload != NULL) {
            write_upload(xml, &listing->entries[i], url);
            continue;
        }
        xml_open(xml, "CommonPrefixes");
        xml_name(xml, "Prefix", listing->entries[i].key, url);
        xml_close(xml, "CommonPrefixes");
    }
    xml_close(xml, "ListMultipartUploadsResult");
}

int op_list_multipart_uploads(struct s3_request *r)
{
    struct index_listing listing;
    struct span marker = s3_param(r, "upload-id-marker");
    uint64_t max = MAX_UPLOADS;
    bool url;
    struct index_list_query query = {
        .node = r->bucket->uploads_node,
        .prefix = s3_param(r, "prefix"),
        .delimiter = s3_param(r, "delimiter"),
        .start_after = s3_param(r, "key-marker"),
    };
    int rc = s3_encoding(r, &url);
    if (rc == 0)
        rc = s3_number(r, "max-uploads", s3_param(r, "max-uploads"), MAX_UPLOADS, &max);
    /* Without a key-marker it is ignored, as S3 says. */
    if (rc == 0 && marker.len > 0 && query.start_after.len > 0) {
        rc = upload_id_parse(marker, r->arena, &query.upload_after);
        if (rc == ERR_NO_SUCH_UPLOAD)
            rc = s3_fail_argument(r, "upload-id-marker", marker, "Invalid uploadId marker");
    }
    query.max = max;
    if (rc == 0)
        rc = index_list(r->index, &query, r->arena, &listing);
    if (rc != 0)
        return rc;
    struct buf xml = {0};
    write_uploads(r, &xml, &query, url, &listing);
    return s3_answer_xml(r, 200, &xml);
}
