#include "base/err.h"
#include "s3/checked_body.h"
#include "s3/operations.h"
#include "s3/xml_in.h"
#include "s3/xml_out.h"

#define MAX_BUCKETS 10000 /* docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html */
#define BATCH       1000

/* The buckets of one page, as XML; *next names the last one when there are more. */
static int page_of_buckets(struct s3_request *r, struct span after, struct span prefix, uint64_t max, struct buf *xml,
                           struct span *next)
{
    uint64_t shown = 0;
    *next = SPAN_NONE;
    struct span last = SPAN_NONE;
    for (;;) {
        Arca__Bucket **buckets;
        size_t count;
        int rc = index_bucket_list(r->index, after, BATCH, r->arena, &buckets, &count);
        if (rc != 0)
            return rc;
        for (size_t i = 0; i < count; i++) {
            after = span_str(buckets[i]->name);
            if (!span_starts(after, prefix))
                continue;
            if (shown == max) {
                *next = last;
                return 0;
            }
            xml_open(xml, "Bucket");
            xml_text(xml, "Name", after);
            xml_time(xml, "CreationDate", buckets[i]->created_ms);
            xml_str(xml, "BucketRegion", r->s3->options.region);
            xml_close(xml, "Bucket");
            last = after;
            shown++;
        }
        if (count < BATCH)
            return 0;
    }
}

int op_list_buckets(struct s3_request *r)
{
    uint64_t max = MAX_BUCKETS;
    struct span prefix = s3_param(r, "prefix"), after = s3_param(r, "continuation-token"), next;
    int rc = s3_number(r, "max-buckets", s3_param(r, "max-buckets"), MAX_BUCKETS, &max);
    if (rc != 0)
        return rc;
    if (max == 0)
        return s3_fail_argument(r, "max-buckets", s3_param(r, "max-buckets"), "Must be between 1 and 10000");
    struct buf xml = {0};
    xml_begin(&xml, "ListAllMyBucketsResult");
    xml_owner(&xml, "Owner", r->identity.who->user_id, r->identity.who->display_name);
    xml_open(&xml, "Buckets");
    rc = page_of_buckets(r, after, prefix, max, &xml, &next);
    if (rc != 0) {
        buf_free(&xml);
        return rc;
    }
    xml_close(&xml, "Buckets");
    if (prefix.len > 0)
        xml_text(&xml, "Prefix", prefix);
    if (next.len > 0)
        xml_text(&xml, "ContinuationToken", next);
    xml_close(&xml, "ListAllMyBucketsResult");
    return s3_answer_xml(r, 200, &xml);
}

struct location {
    struct arena *arena;
    struct span name;
};

static int location_closed(void *arg, unsigned depth, struct span name, struct span text)
{
    struct location *location = arg;
    if (depth == 2 && span_eq_str(name, "LocationConstraint")) {
        location->name = arena_dup(location->arena, span_trim(text));
        return location->name.ptr == NULL ? ERR_NOMEM : 0;
    }
    return 0;
}

static int read_location(struct s3_request *r, struct span *out)
{
    struct location location = {.arena = r->arena};
    struct buf body;
    int rc = checked_body_read_all(r, 0, &body);
    if (rc == 0 && body.len > 0) {
        struct xml_reader reader = {.closed = location_closed, .arg = &location};
        rc = xml_in_parse(buf_span(&body), "CreateBucketConfiguration", &reader);
        if (rc == ERR_SYNTAX)
            rc = S3_MALFORMED_XML;
    }
    buf_free(&body);
    *out = location.name;
    if (span_eq_str(location.name, r->s3->options.region) || span_eq_str(location.name, "us-east-1"))
        *out = SPAN_NONE;
    return rc;
}

int op_create_bucket(struct s3_request *r)
{
    struct span placement, lock = s3_header(r, "x-amz-bucket-object-lock-enabled");
    if (!target_bucket_name_valid(r->target.bucket))
        return ERR_BUCKET_NAME;
    if (span_ieq(lock, SPAN_LITERAL("true")))
        return S3_NOT_IMPLEMENTED;
    int rc = s3_acl_headers(r);
    if (rc == 0)
        rc = read_location(r, &placement);
    if (rc == 0)
        rc = bucket_create(r->engine, r->arena, r->target.bucket, placement, span_str(r->identity.who->user_id),
                           span_str(r->identity.who->display_name));
    if (rc == ERR_NOT_FOUND) {
        s3_detail(r, "LocationConstraint", placement);
        return S3_INVALID_LOCATION;
    }
    if (rc != 0)
        return rc;
    char *location = arena_printf(r->arena, "/%.*s", SPAN_FMT(r->target.bucket));
    http_answer_header_str(r->exchange, "Location", location != NULL ? location : "/");
    return s3_answer_empty(r, 200);
}

int op_head_bucket(struct s3_request *r)
{
    http_answer_header_str(r->exchange, "x-amz-bucket-region", r->s3->options.region);
    http_answer_header(r->exchange, "Content-Type", SPAN_LITERAL("application/xml"));
    return s3_answer_empty(r, 200);
}

int op_delete_bucket(struct s3_request *r)
{
    int rc = bucket_delete(r->engine, r->arena, r->target.bucket);
    return rc != 0 ? rc : s3_answer_empty(r, 204);
}

int op_get_bucket_location(struct s3_request *r)
{
    struct buf xml = {0};
    xml_begin(&xml, "LocationConstraint");
    if (strcmp(r->s3->options.region, "us-east-1") != 0)
        xml_escape(&xml, span_str(r->s3->options.region));
    xml_close(&xml, "LocationConstraint");
    return s3_answer_xml(r, 200, &xml);
}
