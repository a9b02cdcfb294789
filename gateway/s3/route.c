#include "s3/route.h"

#include "s3/error.h"
#include "s3/operations.h"

#define MIB ((size_t)1 << 20)
#define SUB ROUTE_SUBRESOURCE

/* Sub-resources that are never configured: reading tells so, removing succeeds, setting is refused. */
/* clang-format off */
#define ABSENT(level, selector, noun, error)                                                                         \
    {HTTP_GET, level, selector, "Get" noun, "s3:Get" noun, op_get_absent, 0, SUB, error},                            \
    {HTTP_PUT, level, selector, "Put" noun, "s3:Put" noun, op_refuse, 0, SUB, 0}
#define REMOVABLE(level, selector, noun, error)                                                                      \
    ABSENT(level, selector, noun, error),                                                                            \
    {HTTP_DELETE, level, selector, "Delete" noun, "s3:Put" noun, op_delete_absent, 0, SUB, 0}
#define DOCUMENT(level, selector, noun, document)                                                                    \
    {HTTP_GET, level, selector, "Get" noun, "s3:Get" noun, op_get_document, 0, SUB, document},                       \
    {HTTP_PUT, level, selector, "Put" noun, "s3:Put" noun, op_refuse, 0, SUB, 0}
#define CONFIGURATIONS(selector, noun, document)                                                                     \
    {HTTP_GET, S3_BUCKET, selector, "Get" noun, "s3:Get" noun, op_get_configurations, 0, SUB, document},             \
    {HTTP_PUT, S3_BUCKET, selector, "Put" noun, "s3:Put" noun, op_refuse, 0, SUB, 0},                                \
    {HTTP_DELETE, S3_BUCKET, selector, "Delete" noun, "s3:Put" noun, op_refuse, 0, SUB, 0}
/* clang-format on */

/* Of the rows that fit, the first counts: those with selectors stand before the resource's own. */
static const struct s3_operation table[] = {
    {HTTP_GET, S3_SERVICE, NULL, "ListBuckets", "s3:ListAllMyBuckets", op_list_buckets, 0, ROUTE_NO_BUCKET, 0},

    {HTTP_GET, S3_BUCKET, "list-type", "ListObjectsV2", "s3:ListBucket", op_list_objects_v2, 0, 0, 0},
    {HTTP_GET, S3_BUCKET, "location", "GetBucketLocation", "s3:GetBucketLocation", op_get_bucket_location, 0, 0, 0},
    {HTTP_GET, S3_BUCKET, "uploads", "ListMultipartUploads", "s3:ListBucketMultipartUploads", op_list_multipart_uploads,
     0, 0, 0},
    {HTTP_GET, S3_BUCKET, "versions", "ListObjectVersions", "s3:ListBucketVersions", op_list_object_versions, 0, 0, 0},
    {HTTP_POST, S3_BUCKET, "delete", "DeleteObjects", NULL, op_delete_objects, 2 * MIB, 0, 0},
    {HTTP_GET, S3_BUCKET, "acl", "GetBucketAcl", "s3:GetBucketAcl", op_get_acl, 0, SUB, 0},
    {HTTP_PUT, S3_BUCKET, "acl", "PutBucketAcl", "s3:PutBucketAcl", op_put_acl, MIB, SUB, 0},
    DOCUMENT(S3_BUCKET, "versioning", "BucketVersioning", DOCUMENT_VERSIONING),
    ABSENT(S3_BUCKET, "object-lock", "BucketObjectLockConfiguration", S3_NO_OBJECT_LOCK),
    REMOVABLE(S3_BUCKET, "policy", "BucketPolicy", S3_NO_POLICY),
    {HTTP_GET, S3_BUCKET, "policyStatus", "GetBucketPolicyStatus", "s3:GetBucketPolicyStatus", op_get_absent, 0, SUB,
     S3_NO_POLICY},
    REMOVABLE(S3_BUCKET, "cors", "BucketCORS", S3_NO_CORS),
    REMOVABLE(S3_BUCKET, "lifecycle", "LifecycleConfiguration", S3_NO_LIFECYCLE),
    REMOVABLE(S3_BUCKET, "tagging", "BucketTagging", S3_NO_TAGS),
    DOCUMENT(S3_BUCKET, "encryption", "EncryptionConfiguration", DOCUMENT_ENCRYPTION),
    {HTTP_DELETE, S3_BUCKET, "encryption", "DeleteBucketEncryption", "s3:PutEncryptionConfiguration", op_delete_absent,
     0, SUB, 0},
    REMOVABLE(S3_BUCKET, "website", "BucketWebsite", S3_NO_WEBSITE),
    REMOVABLE(S3_BUCKET, "replication", "ReplicationConfiguration", S3_NO_REPLICATION),
    DOCUMENT(S3_BUCKET, "logging", "BucketLogging", DOCUMENT_LOGGING),
    DOCUMENT(S3_BUCKET, "notification", "BucketNotification", DOCUMENT_NOTIFICATION),
    DOCUMENT(S3_BUCKET, "requestPayment", "BucketRequestPayment", DOCUMENT_REQUEST_PAYMENT),
    DOCUMENT(S3_BUCKET, "accelerate", "AccelerateConfiguration", DOCUMENT_ACCELERATE),
    REMOVABLE(S3_BUCKET, "publicAccessBlock", "BucketPublicAccessBlock", S3_NO_PUBLIC_ACCESS_BLOCK),
    REMOVABLE(S3_BUCKET, "ownershipControls", "BucketOwnershipControls", S3_NO_OWNERSHIP),
    CONFIGURATIONS("analytics", "AnalyticsConfiguration", DOCUMENT_ANALYTICS),
    CONFIGURATIONS("inventory", "InventoryConfiguration", DOCUMENT_INVENTORY),
    CONFIGURATIONS("metrics", "MetricsConfiguration", DOCUMENT_METRICS),
    CONFIGURATIONS("intelligent-tiering", "IntelligentTieringConfiguration", DOCUMENT_TIERING),
    {HTTP_GET, S3_BUCKET, NULL, "ListObjects", "s3:ListBucket", op_list_objects, 0, 0, 0},
    {HTTP_HEAD, S3_BUCKET, NULL, "HeadBucket", "s3:ListBucket", op_head_bucket, 0, 0, 0},
    {HTTP_PUT, S3_BUCKET, NULL, "CreateBucket", "s3:CreateBucket", op_create_bucket, 64 * 1024, ROUTE_NO_BUCKET, 0},
    {HTTP_DELETE, S3_BUCKET, NULL, "DeleteBucket", "s3:DeleteBucket", op_delete_bucket, 0, 0, 0},
    {HTTP_POST, S3_BUCKET, NULL, "PostObject", "s3:PutObject", op_refuse, 0, 0, 0},
    {HTTP_OPTIONS, S3_BUCKET, NULL, "Preflight", NULL, op_preflight, 0, ROUTE_PUBLIC, 0},

    {HTTP_GET, S3_OBJECT, "uploadId", "ListParts", "s3:ListMultipartUploadParts", op_list_parts, 0, 0, 0},
    {HTTP_PUT, S3_OBJECT, "uploadId", "UploadPartCopy", "s3:PutObject", op_upload_part_copy, 0, ROUTE_COPY_SOURCE, 0},
    {HTTP_PUT, S3_OBJECT, "uploadId", "UploadPart", "s3:PutObject", op_upload_part, 0, 0, 0},
    {HTTP_POST, S3_OBJECT, "uploadId", "CompleteMultipartUpload", "s3:PutObject", op_complete_multipart_upload, 5 * MIB,
     0, 0},
    {HTTP_DELETE, S3_OBJECT, "uploadId", "AbortMultipartUpload", "s3:AbortMultipartUpload", op_abort_multipart_upload,
     0, 0, 0},
    {HTTP_POST, S3_OBJECT, "uploads", "CreateMultipartUpload", "s3:PutObject", op_create_multipart_upload, 0, 0, 0},
    {HTTP_GET, S3_OBJECT, "attributes", "GetObjectAttributes", "s3:GetObjectAttributes", op_get_object_attributes, 0, 0,
     0},
    {HTTP_GET, S3_OBJECT, "acl", "GetObjectAcl", "s3:GetObjectAcl", op_get_acl, 0, SUB, 0},
    {HTTP_PUT, S3_OBJECT, "acl", "PutObjectAcl", "s3:PutObjectAcl", op_put_acl, MIB, SUB, 0},
    DOCUMENT(S3_OBJECT, "tagging", "ObjectTagging", DOCUMENT_TAGGING),
    {HTTP_DELETE, S3_OBJECT, "tagging", "DeleteObjectTagging", "s3:DeleteObjectTagging", op_delete_absent, 0, SUB, 0},
    ABSENT(S3_OBJECT, "legal-hold", "ObjectLegalHold", S3_NO_OBJECT_LOCK_ON_OBJECT),
    ABSENT(S3_OBJECT, "retention", "ObjectRetention", S3_NO_OBJECT_LOCK_ON_OBJECT),
    {HTTP_GET, S3_OBJECT, NULL, "GetObject", "s3:GetObject", op_get_object, 0, 0, 0},
    {HTTP_HEAD, S3_OBJECT, NULL, "HeadObject", "s3:GetObject", op_head_object, 0, 0, 0},
    {HTTP_PUT, S3_OBJECT, NULL, "CopyObject", "s3:PutObject", op_copy_object, 0, ROUTE_COPY_SOURCE, 0},
    {HTTP_PUT, S3_OBJECT, NULL, "PutObject", "s3:PutObject", op_put_object, 0, 0, 0},
    {HTTP_DELETE, S3_OBJECT, NULL, "DeleteObject", "s3:DeleteObject", op_delete_object, 0, 0, 0},
    {HTTP_OPTIONS, S3_OBJECT, NULL, "Preflight", NULL, op_preflight, 0, ROUTE_PUBLIC, 0},
};
#define ROWS (sizeof(table) / sizeof(table[0]))

/* Parameters that may come without a value and choose nothing. Any other without a value is a sub-resource. */
static const char *const plain[] = {
    "prefix",
    "delimiter",
    "marker",
    "max-keys",
    "encoding-type",
    "continuation-token",
    "start-after",
    "fetch-owner",
    "key-marker",
    "version-id-marker",
    "upload-id-marker",
    "max-uploads",
    "max-parts",
    "part-number-marker",
    "partNumber",
    "versionId",
    "max-buckets",
    "bucket-region",
    "x-id",
    "optional-object-attributes",
    "allow-unordered",
};

static enum s3_level level_of(const struct s3_target *target)
{
    if (target->key.len > 0)
        return S3_OBJECT;
    return target->bucket.len > 0 ? S3_BUCKET : S3_SERVICE;
}

static bool is_plain(struct span name)
{
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (span_eq_str(name, plain[i]))
            return true;
    }
    return false;
}

/* Whether the parameter selects some operation at this level, whatever the method. */
static bool is_selector(enum s3_level level, struct span name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (table[i].level == level && table[i].selector != NULL && span_eq_str(name, table[i].selector))
            return true;
    }
    return false;
}

static int check_params(enum s3_level level, const struct s3_target *target)
{
    for (size_t i = 0; i < target->param_count; i++) {
        const struct s3_param *param = &target->params[i];
        if (is_selector(level, param->name))
            return S3_METHOD_NOT_ALLOWED;
        if (!param->has_value && !is_plain(param->name))
            return S3_NOT_IMPLEMENTED;
    }
    return 0;
}

int route_find(enum http_method method, const struct s3_target *target, bool has_copy_source,
               const struct s3_operation **out)
{
    enum s3_level level = level_of(target);
    for (size_t i = 0; i < ROWS; i++) {
        const struct s3_operation *row = &table[i];
        if (row->method != method || row->level != level)
            continue;
        if ((row->flags & ROUTE_COPY_SOURCE) != 0 && !has_copy_source)
            continue;
        if (row->selector != NULL) {
            if (target_param(target, row->selector).ptr == NULL)
                continue;
        } else if (target->param_count > 0 && (row->flags & ROUTE_PUBLIC) == 0) {
            int rc = check_params(level, target);
            if (rc != 0)
                return rc;
        }
        *out = row;
        return 0;
    }
    int rc = check_params(level, target);
    return rc != 0 ? rc : S3_METHOD_NOT_ALLOWED;
}

#define SUBRESOURCE_NAME "Subresource"

/* Rows in the order of the table, each name once; slot 0 is for what never found a row. */
static const char *metric_names[ROWS + 2] = {"Unrouted", SUBRESOURCE_NAME};
static unsigned metric_slots[ROWS];
static unsigned metric_count;

const char *const *route_metric_names(unsigned *count)
{
    unsigned n = 2;
    for (size_t i = 0; i < ROWS; i++) {
        metric_slots[i] = 1;
        if ((table[i].flags & ROUTE_SUBRESOURCE) != 0)
            continue;
        for (metric_slots[i] = 2; metric_slots[i] < n; metric_slots[i]++) {
            if (strcmp(metric_names[metric_slots[i]], table[i].name) == 0)
                break;
        }
        if (metric_slots[i] == n)
            metric_names[n++] = table[i].name;
    }
    metric_count = n;
    *count = n;
    return metric_names;
}

unsigned route_metric(const struct s3_operation *operation)
{
    if (operation == NULL || metric_count == 0)
        return 0;
    return metric_slots[operation - table];
}
