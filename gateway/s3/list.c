#include "base/clock.h"
#include "base/err.h"
#include "s3/checksums.h"
#include "s3/headers.h"
#include "s3/operations.h"
#include "s3/token.h"
#include "s3/xml_out.h"

#define MAX_KEYS   1000
#define ENTRY_TEXT 320 /* bytes of an average entry: the document is allocated once */

struct list_query {
    struct index_list_query index;
    uint64_t max_keys;
    bool url; /* encoding-type */
    bool owner;
    bool versions;
    struct span from; /* the marker as the client gave it */
};

static void append_literal(uint8_t **at, const char *text, size_t len)
{
    memcpy(*at, text, len);
    *at += len;
}
#define PUT(at, literal) append_literal(&(at), literal, sizeof(literal) - 1)

static void put_u64(uint8_t **at, uint64_t value)
{
    uint8_t digits[20];
    size_t n = 0;
    do {
        digits[n++] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (n > 0)
        *(*at)++ = digits[--n];
}

/* The fixed part of an entry, written without a check for each piece: a listing has a thousand. */
static void write_facts(struct buf *xml, const Arca__Object *object)
{
    char time[CLOCK_ISO_SIZE];
    size_t etag_len = strlen(object->etag);
    uint8_t *start = buf_reserve(xml, 256 + etag_len), *at = start;
    if (start == NULL)
        return;
    clock_iso(object->modified_ms - object->modified_ms % 1000, time);
    PUT(at, "<LastModified>");
    append_literal(&at, time, sizeof(time) - 1);
    PUT(at, "</LastModified><ETag>&quot;");
    append_literal(&at, object->etag, etag_len); /* hex digits and '-': nothing to escape */
    PUT(at, "&quot;</ETag><Size>");
    put_u64(&at, object->size);
    PUT(at, "</Size><StorageClass>");
    xml->len += (size_t)(at - start);
    buf_append_str(xml, headers_storage_class(object->headers));
    buf_append(xml, SPAN_LITERAL("</StorageClass>"));
}

static void write_object(struct buf *xml, const struct list_query *query, const struct index_entry *entry)
{
    const Arca__Object *object = entry->object;
    buf_append(xml, query->versions ? SPAN_LITERAL("<Version>") : SPAN_LITERAL("<Contents>"));
    xml_name(xml, "Key", entry->key, query->url);
    if (query->versions)
        buf_append(xml, SPAN_LITERAL("<VersionId>null</VersionId><IsLatest>true</IsLatest>"));
    write_facts(xml, object);
    for (size_t i = 0; i < object->n_checksums; i++) {
        xml_str(xml, "ChecksumAlgorithm", digest_name((enum digest_kind)object->checksums[i]->kind));
        xml_str(xml, "ChecksumType", checksums_type(object->checksums[i]));
    }
    if (query->owner)
        xml_owner(xml, "Owner", object->owner_id, object->owner_name);
    buf_append(xml, query->versions ? SPAN_LITERAL("</Version>") : SPAN_LITERAL("</Contents>"));
}

static void write_entries(struct buf *xml, const struct list_query *query, const struct index_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        const struct index_entry *entry = &listing->entries[i];
        if (entry->object != NULL) {
            write_object(xml, query, entry);
            continue;
        }
        xml_open(xml, "CommonPrefixes");
        xml_name(xml, "Prefix", entry->key, query->url);
        xml_close(xml, "CommonPrefixes");
    }
}

static int read_query(struct s3_request *r, struct list_query *query)
{
    *query = (struct list_query){
        .index = {.node = r->bucket->id, .prefix = s3_param(r, "prefix"), .delimiter = s3_param(r, "delimiter")},
        .max_keys = MAX_KEYS,
    };
    int rc = s3_encoding(r, &query->url);
    if (rc == 0)
        rc = s3_number(r, "max-keys", s3_param(r, "max-keys"), MAX_KEYS, &query->max_keys);
    query->index.max = query->max_keys;
    return rc;
}

static struct span last_of(const struct index_listing *listing)
{
    return listing->count > 0 ? listing->entries[listing->count - 1].key : SPAN_NONE;
}

/* Lists, and begins the document with what those of all three have in common. */
static int begin(struct s3_request *r, struct buf *xml, const char *root, const struct list_query *query,
                 struct index_listing *listing) SUSPENDS
{
    int rc = index_list(r->index, &query->index, r->arena, listing);
    if (rc != 0)
        return rc;
    (void)buf_reserve(xml, 1024 + listing->count * ENTRY_TEXT);
    xml_begin(xml, root);
    xml_text(xml, "Name", r->target.bucket);
    xml_name(xml, "Prefix", query->index.prefix, query->url);
    xml_u64(xml, "MaxKeys", query->max_keys);
    if (query->index.delimiter.len > 0)
        xml_name(xml, "Delimiter", query->index.delimiter, query->url);
    if (query->url)
        xml_str(xml, "EncodingType", "url");
    xml_bool(xml, "IsTruncated", listing->truncated);
    return 0;
}

static int finish(struct s3_request *r, struct buf *xml, const char *root, const struct list_query *query,
                  const struct index_listing *listing)
{
    write_entries(xml, query, listing);
    xml_close(xml, root);
    return s3_answer_xml(r, 200, xml);
}

/* The same for those that go on from a key and tell owners. */
static int begin_at(struct s3_request *r, const char *marker, struct buf *xml, const char *root,
                    struct list_query *query, struct index_listing *listing) SUSPENDS
{
    int rc = read_query(r, query);
    if (rc != 0)
        return rc;
    query->owner = true;
    query->index.start_after = s3_param(r, marker);
    return begin(r, xml, root, query, listing);
}

int op_list_objects(struct s3_request *r)
{
    struct list_query query;
    struct index_listing listing;
    struct buf xml = {0};
    int rc = begin_at(r, "marker", &xml, "ListBucketResult", &query, &listing);
    if (rc != 0)
        return rc;
    xml_name(&xml, "Marker", query.index.start_after, query.url);
    /* S3 gives it only with a delimiter; clients that do not know take it as well as the last key. */
    if (listing.truncated)
        xml_name(&xml, "NextMarker", last_of(&listing), query.url);
    return finish(r, &xml, "ListBucketResult", &query, &listing);
}

static int read_position(struct s3_request *r, struct list_query *query, struct span *token)
{
    *token = s3_param(r, "continuation-token");
    query->from = s3_param(r, "start-after");
    query->index.start_after = query->from;
    if (token->ptr == NULL)
        return 0;
    int rc = token_decode(*token, r->arena, &query->index.start_after);
    if (rc == ERR_SYNTAX)
        rc = s3_fail_argument(r, "continuation-token", *token, "The continuation token provided is incorrect");
    return rc;
}

int op_list_objects_v2(struct s3_request *r)
{
    struct list_query query;
    struct index_listing listing;
    struct span token, type = s3_param(r, "list-type");
    struct buf xml = {0};
    if (span_eq_str(type, "1"))
        return op_list_objects(r);
    if (!span_eq_str(type, "2"))
        return s3_fail_argument(r, "list-type", type, "Invalid List Type specified in Request");
    int rc = read_query(r, &query);
    if (rc == 0)
        rc = read_position(r, &query, &token);
    if (rc != 0)
        return rc;
    query.owner = span_ieq(s3_param(r, "fetch-owner"), SPAN_LITERAL("true"));
    if ((rc = begin(r, &xml, "ListBucketResult", &query, &listing)) != 0)
        return rc;
    xml_u64(&xml, "KeyCount", listing.count);
    if (token.ptr != NULL)
        xml_text(&xml, "ContinuationToken", token);
    if (query.from.len > 0)
        xml_name(&xml, "StartAfter", query.from, query.url);
    if (listing.truncated) {
        struct span next = token_encode(last_of(&listing), r->arena);
        if (next.ptr == NULL) {
            buf_free(&xml);
            return ERR_NOMEM;
        }
        xml_text(&xml, "NextContinuationToken", next);
    }
    return finish(r, &xml, "ListBucketResult", &query, &listing);
}

int op_list_object_versions(struct s3_request *r)
{
    struct list_query query;
    struct index_listing listing;
    struct buf xml = {0};
    int rc = begin_at(r, "key-marker", &xml, "ListVersionsResult", &query, &listing);
    if (rc != 0)
        return rc;
    query.versions = true;
    xml_name(&xml, "KeyMarker", query.index.start_after, query.url);
    xml_text(&xml, "VersionIdMarker", s3_param(r, "version-id-marker"));
    if (listing.truncated) {
        xml_name(&xml, "NextKeyMarker", last_of(&listing), query.url);
        if (listing.entries[listing.count - 1].object != NULL)
            xml_str(&xml, "NextVersionIdMarker", "null");
    }
    return finish(r, &xml, "ListVersionsResult", &query, &listing);
}
