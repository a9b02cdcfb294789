/* The answers of what is never configured here, in the words of S3: clients ask for much of it on their way. */
#include "base/err.h"
#include "s3/checked_body.h"
#include "s3/operations.h"
#include "s3/xml_in.h"
#include "s3/xml_out.h"

static const struct {
    const char *root;
    const char *content;
} documents[DOCUMENT_COUNT] = {
    [DOCUMENT_VERSIONING] = {"VersioningConfiguration", ""},
    [DOCUMENT_LOGGING] = {"BucketLoggingStatus", ""},
    [DOCUMENT_NOTIFICATION] = {"NotificationConfiguration", ""},
    [DOCUMENT_REQUEST_PAYMENT] = {"RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"},
    [DOCUMENT_ACCELERATE] = {"AccelerateConfiguration", ""},
    [DOCUMENT_ENCRYPTION] = {"ServerSideEncryptionConfiguration",
                             "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>"
                             "</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled></Rule>"},
    [DOCUMENT_TAGGING] = {"Tagging", "<TagSet></TagSet>"},
    [DOCUMENT_ANALYTICS] = {"ListBucketAnalyticsConfigurationResult", "<IsTruncated>false</IsTruncated>"},
    [DOCUMENT_INVENTORY] = {"ListInventoryConfigurationsResult", "<IsTruncated>false</IsTruncated>"},
    [DOCUMENT_METRICS] = {"ListMetricsConfigurationsResult", "<IsTruncated>false</IsTruncated>"},
    [DOCUMENT_TIERING] = {"ListBucketIntelligentTieringConfigurationsOutput", "<IsTruncated>false</IsTruncated>"},
};

/* Whose sub-resource it is must be there: bucket and key both. *owner_id and *owner_name may be NULL. */
static int check_resource(struct s3_request *r, const char **owner_id, const char **owner_name)
{
    *owner_id = r->bucket->owner_id;
    *owner_name = r->bucket->owner_name;
    if (r->target.key.len == 0)
        return 0;
    Arca__Object *object;
    int rc = s3_version(r, s3_param(r, "versionId"));
    if (rc == 0)
        rc = index_object_get(r->index, r->bucket->id, r->target.key, r->arena, &object, NULL);
    if (rc != 0)
        return rc;
    *owner_id = object->owner_id;
    *owner_name = object->owner_name;
    return 0;
}

int op_get_acl(struct s3_request *r)
{
    const char *id, *name;
    int rc = check_resource(r, &id, &name);
    if (rc != 0)
        return rc;
    struct buf xml = {0};
    xml_begin(&xml, "AccessControlPolicy");
    xml_owner(&xml, "Owner", id, name);
    buf_append_str(&xml,
                   "<AccessControlList><Grant>"
                   "<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\">");
    xml_str(&xml, "ID", id);
    xml_str(&xml, "DisplayName", name);
    buf_append_str(&xml, "</Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList>"
                         "</AccessControlPolicy>");
    return s3_answer_xml(r, 200, &xml);
}

/* An ACL in XML. s3cmd puts back after a copy what it got from the source. */
struct acl {
    const char *owner;
    size_t grants, owner_grants;
    bool owner_is_grantee, full_control;
};

static int acl_closed(void *arg, unsigned depth, struct span name, struct span text)
{
    struct acl *acl = arg;
    if (depth == 5 && span_eq_str(name, "ID"))
        acl->owner_is_grantee = span_eq_str(span_trim(text), acl->owner);
    if (depth == 4 && span_eq_str(name, "Permission"))
        acl->full_control = span_eq_str(span_trim(text), "FULL_CONTROL");
    if (depth == 3 && span_eq_str(name, "Grant")) {
        acl->grants++;
        acl->owner_grants += acl->owner_is_grantee && acl->full_control;
        acl->owner_is_grantee = acl->full_control = false;
    }
    return 0;
}

/* 0 if it says what holds anyway: full control for the owner, nothing for others. */
static int check_acl_body(struct s3_request *r, const char *owner)
{
    struct acl acl = {.owner = owner};
    struct xml_reader reader = {.closed = acl_closed, .arg = &acl};
    struct buf body;
    int rc = checked_body_read_all(r, 0, &body);
    if (rc == 0 && body.len == 0)
        rc = s3_header(r, "x-amz-acl").len > 0 ? 0 : S3_ACL_NOT_SUPPORTED;
    else if (rc == 0)
        rc = xml_in_parse(buf_span(&body), "AccessControlPolicy", &reader);
    buf_free(&body);
    if (rc == 0 && acl.grants != acl.owner_grants)
        rc = S3_ACL_NOT_SUPPORTED;
    return rc == ERR_SYNTAX ? S3_MALFORMED_XML : rc;
}

int op_put_acl(struct s3_request *r)
{
    const char *id, *name;
    int rc = check_resource(r, &id, &name);
    if (rc == 0)
        rc = s3_acl_headers(r);
    if (rc == 0)
        rc = check_acl_body(r, id);
    return rc != 0 ? rc : s3_answer_empty(r, 200);
}

int op_get_absent(struct s3_request *r)
{
    const char *id, *name;
    int rc = check_resource(r, &id, &name);
    return rc != 0 ? rc : (int)r->operation->detail;
}

int op_get_document(struct s3_request *r)
{
    const char *id, *name;
    int rc = check_resource(r, &id, &name);
    if (rc != 0)
        return rc;
    struct buf xml = {0};
    xml_begin(&xml, documents[r->operation->detail].root);
    buf_append_str(&xml, documents[r->operation->detail].content);
    xml_close(&xml, documents[r->operation->detail].root);
    return s3_answer_xml(r, 200, &xml);
}

int op_get_configurations(struct s3_request *r)
{
    return s3_param(r, "id").ptr != NULL ? S3_NO_CONFIGURATION : op_get_document(r);
}

int op_delete_absent(struct s3_request *r)
{
    const char *id, *name;
    int rc = check_resource(r, &id, &name);
    return rc != 0 ? rc : s3_answer_empty(r, 204);
}

int op_refuse(struct s3_request *r)
{
    (void)r;
    return S3_NOT_IMPLEMENTED;
}

int op_preflight(struct s3_request *r)
{
    (void)r;
    return S3_ACCESS_FORBIDDEN;
}
