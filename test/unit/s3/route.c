#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "base/err.h"
#include "s3/error.h"
#include "s3/route.h"

static int find(enum http_method method, const char *path, const char *query, bool copy,
                const struct s3_operation **out)
{
    struct arena *arena = arena_create(1 << 16);
    struct s3_target target;
    assert_int_equal(target_parse(SPAN_LITERAL("h"), span_str(path), span_str(query), NULL, 0, arena, &target), 0);
    *out = NULL;
    int rc = route_find(method, &target, copy, out);
    arena_free(arena);
    return rc;
}

static void every_request_finds_its_operation(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        const char *path, *query;
        bool copy;
        const char *name, *action;
    } rows[] = {
        {HTTP_GET, "/", NULL, false, "ListBuckets", "s3:ListAllMyBuckets"},
        {HTTP_GET, "/", "x-id=ListBuckets&max-buckets=3", false, "ListBuckets", "s3:ListAllMyBuckets"},
        {HTTP_PUT, "/b", NULL, false, "CreateBucket", "s3:CreateBucket"},
        {HTTP_HEAD, "/b", NULL, false, "HeadBucket", "s3:ListBucket"},
        {HTTP_DELETE, "/b", NULL, false, "DeleteBucket", "s3:DeleteBucket"},
        {HTTP_GET, "/b", "location", false, "GetBucketLocation", "s3:GetBucketLocation"},
        {HTTP_GET, "/b/", "prefix&delimiter=%2F&marker=", false, "ListObjects", "s3:ListBucket"},
        {HTTP_GET, "/b", "list-type=2&prefix=", false, "ListObjectsV2", "s3:ListBucket"},
        {HTTP_GET, "/b", "versions", false, "ListObjectVersions", "s3:ListBucketVersions"},
        {HTTP_GET, "/b", "uploads=", false, "ListMultipartUploads", "s3:ListBucketMultipartUploads"},
        {HTTP_POST, "/b", "delete=", false, "DeleteObjects", NULL},
        {HTTP_POST, "/b", NULL, false, "PostObject", "s3:PutObject"},
        {HTTP_GET, "/b", "acl", false, "GetBucketAcl", "s3:GetBucketAcl"},
        {HTTP_GET, "/b", "object-lock=", false, "GetBucketObjectLockConfiguration",
         "s3:GetBucketObjectLockConfiguration"},
        {HTTP_PUT, "/b", "versioning", false, "PutBucketVersioning", "s3:PutBucketVersioning"},
        {HTTP_DELETE, "/b", "policy", false, "DeleteBucketPolicy", "s3:PutBucketPolicy"},
        {HTTP_GET, "/b/k", NULL, false, "GetObject", "s3:GetObject"},
        {HTTP_GET, "/b/k", "X-Amz-Signature=1&response-content-type=x&partNumber=1", false, "GetObject",
         "s3:GetObject"},
        {HTTP_HEAD, "/b/k", "versionId=null", false, "HeadObject", "s3:GetObject"},
        {HTTP_PUT, "/b/k", "x-id=PutObject", false, "PutObject", "s3:PutObject"},
        {HTTP_PUT, "/b/k", NULL, true, "CopyObject", "s3:PutObject"},
        {HTTP_PUT, "/b/k", "partNumber=1&uploadId=x", false, "UploadPart", "s3:PutObject"},
        {HTTP_PUT, "/b/k", "partNumber=1&uploadId=x", true, "UploadPartCopy", "s3:PutObject"},
        {HTTP_POST, "/b/k", "uploads", false, "CreateMultipartUpload", "s3:PutObject"},
        {HTTP_POST, "/b/k", "uploadId=x", false, "CompleteMultipartUpload", "s3:PutObject"},
        {HTTP_GET, "/b/k", "uploadId=x", false, "ListParts", "s3:ListMultipartUploadParts"},
        {HTTP_DELETE, "/b/k", "uploadId=x", false, "AbortMultipartUpload", "s3:AbortMultipartUpload"},
        {HTTP_DELETE, "/b/k", NULL, false, "DeleteObject", "s3:DeleteObject"},
        {HTTP_GET, "/b/k", "attributes", false, "GetObjectAttributes", "s3:GetObjectAttributes"},
        {HTTP_GET, "/b/k", "tagging", false, "GetObjectTagging", "s3:GetObjectTagging"},
        {HTTP_OPTIONS, "/b/k", "whatever", false, "Preflight", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct s3_operation *operation;
        int rc = find(rows[i].method, rows[i].path, rows[i].query, rows[i].copy, &operation);
        if (rc != 0 || strcmp(operation->name, rows[i].name) != 0)
            fail_msg("%s: rc %d, %s", rows[i].name, rc, rc == 0 ? operation->name : "none");
        if (rows[i].action == NULL)
            assert_null(operation->action);
        else
            assert_string_equal(operation->action, rows[i].action);
    }
}

static void what_has_no_operation(void **state)
{
    (void)state;
    const struct s3_operation *operation;
    assert_int_equal(find(HTTP_POST, "/", NULL, false, &operation), S3_METHOD_NOT_ALLOWED);
    assert_int_equal(find(HTTP_OTHER, "/b/k", NULL, false, &operation), S3_METHOD_NOT_ALLOWED);
    assert_int_equal(find(HTTP_POST, "/b/k", NULL, false, &operation), S3_METHOD_NOT_ALLOWED);
    assert_int_equal(find(HTTP_DELETE, "/b/k", "acl", false, &operation), S3_METHOD_NOT_ALLOWED);
    assert_int_equal(find(HTTP_HEAD, "/b", "uploads", false, &operation), S3_METHOD_NOT_ALLOWED);
    assert_int_equal(find(HTTP_GET, "/b", "session", false, &operation), S3_NOT_IMPLEMENTED);
    assert_int_equal(find(HTTP_GET, "/b/k", "torrent", false, &operation), S3_NOT_IMPLEMENTED);
    assert_int_equal(find(HTTP_POST, "/b/k", "restore", false, &operation), S3_NOT_IMPLEMENTED);
    assert_int_equal(find(HTTP_POST, "/b/k", "select&select-type=2", false, &operation), S3_NOT_IMPLEMENTED);
    assert_int_equal(find(HTTP_DELETE, "/b/k", "unheard-of", false, &operation), S3_NOT_IMPLEMENTED);
}

/* Deleting a sub-resource must never be taken for deleting what it belongs to. */
static void a_selector_never_falls_through_to_the_resource(void **state)
{
    (void)state;
    static const char *const selectors[] = {"acl",        "tagging",  "legal-hold", "retention", "uploads",
                                            "attributes", "restore",  "torrent",    "select",    "lifecycle",
                                            "policy",     "cors",     "encryption", "uploadId",  "logging",
                                            "versioning", "location", "versions",   "list-type"};
    for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++) {
        const struct s3_operation *operation;
        int rc = find(HTTP_DELETE, "/b", selectors[i], false, &operation);
        if (rc == 0 && strcmp(operation->name, "DeleteBucket") == 0)
            fail_msg("DELETE /b?%s", selectors[i]);
        rc = find(HTTP_DELETE, "/b/k", selectors[i], false, &operation);
        if (rc == 0 && strcmp(operation->name, "DeleteObject") == 0)
            fail_msg("DELETE /b/k?%s", selectors[i]);
        rc = find(HTTP_PUT, "/b/k", selectors[i], false, &operation);
        if (rc == 0 && strcmp(operation->name, "PutObject") == 0)
            fail_msg("PUT /b/k?%s", selectors[i]);
    }
}

static void metrics_have_room_for_all_names(void **state)
{
    (void)state;
    unsigned count;
    const char *const *names = route_metric_names(&count);
    assert_true(count <= 96);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(names[i], names[j]);
    }
    const struct s3_operation *operation;
    assert_int_equal(find(HTTP_GET, "/b/k", NULL, false, &operation), 0);
    assert_string_equal(names[route_metric(operation)], "GetObject");
    assert_int_equal(find(HTTP_GET, "/b", "cors", false, &operation), 0);
    assert_string_equal(names[route_metric(operation)], "Subresource");
    assert_string_equal(names[route_metric(NULL)], "Unrouted");
}

static void errors_have_s3s_codes(void **state)
{
    (void)state;
    static const struct {
        int rc;
        const char *code;
        int status;
    } rows[] = {
        {ERR_NO_SUCH_BUCKET, "NoSuchBucket", 404},
        {ERR_NO_SUCH_KEY, "NoSuchKey", 404},
        {ERR_BUCKET_OWNED, "BucketAlreadyOwnedByYou", 409},
        {ERR_PRECONDITION, "PreconditionFailed", 412},
        {ERR_NOT_MODIFIED, "NotModified", 304},
        {ERR_RANGE, "InvalidRange", 416},
        {ERR_EXPIRED, "AccessDenied", 403},
        {ERR_WRONG_REGION, "AuthorizationHeaderMalformed", 400},
        {ERR_SKEWED, "RequestTimeTooSkewed", 403},
        {ERR_BAD_SHA256, "XAmzContentSHA256Mismatch", 400},
        {ERR_LENGTH_REQUIRED, "MissingContentLength", 411},
        {ERR_NOSPC, "InsufficientStorage", 507},
        {ERR_BUSY, "SlowDown", 503},
        {ERR_UNAVAILABLE, "SlowDown", 503},
        {ERR_READONLY, "ServiceUnavailable", 503},
        {ERR_CORRUPT, "InternalError", 500},
        {ERR_NOMEM, "InternalError", 500},
        {-12345, "InternalError", 500},
        {12345, "InternalError", 500},
        {S3_NOT_IMPLEMENTED, "NotImplemented", 501},
        {S3_MALFORMED_XML, "MalformedXML", 400},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct s3_error_row *row = s3_error_row(rows[i].rc);
        assert_string_equal(row->code, rows[i].code);
        assert_int_equal(row->status, rows[i].status);
    }
    for (int rc = 1; rc < S3_ERROR_COUNT; rc++) {
        const struct s3_error_row *row = s3_error_row(rc);
        assert_true(row->code[0] != 0 && row->message[0] != 0 && row->status >= 300 && row->status < 600);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_finds_its_operation),
        cmocka_unit_test(what_has_no_operation),
        cmocka_unit_test(a_selector_never_falls_through_to_the_resource),
        cmocka_unit_test(metrics_have_room_for_all_names),
        cmocka_unit_test(errors_have_s3s_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
