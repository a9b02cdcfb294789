/* The headers that are kept with an object: out of a request, into an answer. */
#ifndef ARCA_S3_HEADERS_H
#define ARCA_S3_HEADERS_H

#include "s3/request.h"

#define METADATA_MAX \
    2048 /* bytes of names and values: docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html */

/* What the request sets: standard headers, metadata, storage class. S3_METADATA_TOO_LARGE, S3_INVALID_STORAGE_CLASS,
 * ERR_NOMEM. In the arena. */
int headers_read(struct s3_request *r, Arca__Headers **out);

/* Refuses what a write asks for and is not built: server-side encryption with keys of the client or a KMS, locks, tags,
 * ACLs that mean something. */
int headers_check_write(struct s3_request *r);
/* x-amz-server-side-encryption: everything is encrypted. */
void headers_write_encryption(struct s3_request *r);

/* Adds an object's headers to the answer; response-* parameters take the place of the stored ones.
 * S3_INVALID_ARGUMENT (control characters in one). */
int headers_write(struct s3_request *r, const Arca__Headers *headers);
void headers_write_etag(struct s3_request *r, const char *etag);
void headers_write_modified(struct s3_request *r, int64_t modified_ms);

/* Whether a Content-Encoding but "aws-chunked" stays. In the arena; NULL when out of memory. Pure. */
char *headers_content_encoding(struct span value, struct arena *arena);

/* "STANDARD" for the empty string. */
const char *headers_storage_class(const Arca__Headers *headers);

#endif
