/* The handlers that the route table names, by file. */
#ifndef ARCA_S3_OPERATIONS_H
#define ARCA_S3_OPERATIONS_H

#include "s3/request.h"

/* buckets.c */
int op_list_buckets(struct s3_request *r) SUSPENDS;
int op_create_bucket(struct s3_request *r) SUSPENDS;
int op_head_bucket(struct s3_request *r) SUSPENDS;
int op_delete_bucket(struct s3_request *r) SUSPENDS;
int op_get_bucket_location(struct s3_request *r) SUSPENDS;

/* objects_read.c */
int op_get_object(struct s3_request *r) SUSPENDS;
int op_head_object(struct s3_request *r) SUSPENDS;

/* objects_write.c */
int op_put_object(struct s3_request *r) SUSPENDS;

/* copy.c */
int op_copy_object(struct s3_request *r) SUSPENDS;
int op_upload_part_copy(struct s3_request *r) SUSPENDS;

/* delete.c */
int op_delete_object(struct s3_request *r) SUSPENDS;
int op_delete_objects(struct s3_request *r) SUSPENDS;

/* list.c */
int op_list_objects(struct s3_request *r) SUSPENDS;
int op_list_objects_v2(struct s3_request *r) SUSPENDS;
int op_list_object_versions(struct s3_request *r) SUSPENDS;

/* multipart.c */
int op_create_multipart_upload(struct s3_request *r) SUSPENDS;
int op_upload_part(struct s3_request *r) SUSPENDS;
int op_abort_multipart_upload(struct s3_request *r) SUSPENDS;
/* complete.c */
int op_complete_multipart_upload(struct s3_request *r) SUSPENDS;
/* list_parts.c */
int op_list_parts(struct s3_request *r) SUSPENDS;
int op_list_multipart_uploads(struct s3_request *r) SUSPENDS;

/* attributes.c */
int op_get_object_attributes(struct s3_request *r) SUSPENDS;

/* subresources.c: operation->detail is the error, or the document, to answer with */
enum s3_document {
    DOCUMENT_VERSIONING,
    DOCUMENT_LOGGING,
    DOCUMENT_NOTIFICATION,
    DOCUMENT_REQUEST_PAYMENT,
    DOCUMENT_ACCELERATE,
    DOCUMENT_ENCRYPTION,
    DOCUMENT_TAGGING,
    DOCUMENT_ANALYTICS,
    DOCUMENT_INVENTORY,
    DOCUMENT_METRICS,
    DOCUMENT_TIERING,
    DOCUMENT_COUNT
};
int op_get_acl(struct s3_request *r) SUSPENDS;
int op_put_acl(struct s3_request *r) SUSPENDS;
int op_get_absent(struct s3_request *r) SUSPENDS;
int op_get_document(struct s3_request *r) SUSPENDS;
int op_get_configurations(struct s3_request *r) SUSPENDS; /* the list, or the one of ?id, which there never is */
int op_delete_absent(struct s3_request *r) SUSPENDS;
int op_refuse(struct s3_request *r); /* NotImplemented */
int op_preflight(struct s3_request *r);

#endif
