/* What a client sees of a failure: S3's code, the HTTP status and the message, in one table
 * (docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html). Inside this room a failure is an int: negative from
 * base/err.h, or positive from this table where S3 tells apart what the rooms below need not. */
#ifndef ARCA_S3_ERROR_H
#define ARCA_S3_ERROR_H

#define S3_ERROR_TABLE(X)                                                                                             \
    X(ACCESS_DENIED, "AccessDenied", 403, "Access Denied")                                                            \
    X(ACCESS_FORBIDDEN, "AccessForbidden", 403, "CORSResponse: CORS is not enabled for this bucket.")                 \
    X(ACL_NOT_SUPPORTED, "AccessControlListNotSupported", 400, "The bucket does not allow ACLs")                      \
    X(AUTH_HEADER_MALFORMED, "AuthorizationHeaderMalformed", 400,                                                     \
      "The authorization header you provided is invalid.")                                                            \
    X(AUTH_QUERY_ERROR, "AuthorizationQueryParametersError", 400,                                                     \
      "The query parameters that sign this request are missing or invalid.")                                          \
    X(BAD_DIGEST, "BadDigest", 400, "The Content-MD5 or checksum value that you specified did not match what the "    \
      "server received.")                                                                                             \
    X(BUCKET_EXISTS, "BucketAlreadyExists", 409, "The requested bucket name is not available. Select a different "    \
      "name and try again.")                                                                                          \
    X(BUCKET_OWNED, "BucketAlreadyOwnedByYou", 409,                                                                   \
      "Your previous request to create the named bucket succeeded and you already own it.")                           \
    X(BUCKET_NOT_EMPTY, "BucketNotEmpty", 409, "The bucket you tried to delete is not empty")                         \
    X(CONDITIONAL_CONFLICT, "ConditionalRequestConflict", 409,                                                        \
      "A conflicting operation occurred while this request was in progress. Try again.")                              \
    X(ENTITY_TOO_LARGE, "EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size")               \
    X(ENTITY_TOO_SMALL, "EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size")       \
    X(INCOMPLETE_BODY, "IncompleteBody", 400, "You did not provide the number of bytes specified by the "             \
      "Content-Length HTTP header.")                                                                                  \
    X(INSUFFICIENT_STORAGE, "InsufficientStorage", 507, "There is no space left for this write.")                     \
    X(INTERNAL_ERROR, "InternalError", 500, "We encountered an internal error. Please try again.")                    \
    X(INVALID_ACCESS_KEY_ID, "InvalidAccessKeyId", 403,                                                               \
      "The AWS Access Key Id you provided does not exist in our records.")                                            \
    X(INVALID_ARGUMENT, "InvalidArgument", 400, "Invalid Argument")                                                   \
    X(INVALID_BUCKET_NAME, "InvalidBucketName", 400, "The specified bucket is not valid.")                            \
    X(INVALID_DIGEST, "InvalidDigest", 400, "The Content-MD5 you specified is not valid.")                            \
    X(INVALID_LOCATION, "InvalidLocationConstraint", 400, "The specified location-constraint is not valid")           \
    X(INVALID_PART, "InvalidPart", 400, "One or more of the specified parts could not be found. The part may not "    \
      "have been uploaded, or the specified entity tag may not match the part's entity tag.")                         \
    X(INVALID_PART_NUMBER, "InvalidPartNumber", 416, "The requested partnumber is not satisfiable")                   \
    X(INVALID_PART_ORDER, "InvalidPartOrder", 400, "The list of parts was not in ascending order. Parts must be "     \
      "ordered by part number.")                                                                                      \
    X(INVALID_RANGE, "InvalidRange", 416, "The requested range is not satisfiable")                                   \
    X(INVALID_REQUEST, "InvalidRequest", 400, "Invalid Request")                                                      \
    X(INVALID_STORAGE_CLASS, "InvalidStorageClass", 400, "The storage class you specified is not valid")              \
    X(INVALID_URI, "InvalidURI", 400, "Couldn't parse the specified URI.")                                            \
    X(KEY_TOO_LONG, "KeyTooLongError", 400, "Your key is too long")                                                   \
    X(MALFORMED_XML, "MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our " \
      "published schema")                                                                                             \
    X(MESSAGE_TOO_LARGE, "MaxMessageLengthExceeded", 400, "Your request was too big.")                                \
    X(METADATA_TOO_LARGE, "MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size")  \
    X(METHOD_NOT_ALLOWED, "MethodNotAllowed", 405, "The specified method is not allowed against this resource.")      \
    X(MISSING_LENGTH, "MissingContentLength", 411, "You must provide the Content-Length HTTP header.")                \
    X(NOT_IMPLEMENTED, "NotImplemented", 501, "A header or query you provided implies functionality that is not "     \
      "implemented.")                                                                                                 \
    X(NOT_MODIFIED, "NotModified", 304, "Not Modified")                                                               \
    X(NO_CORS, "NoSuchCORSConfiguration", 404, "The CORS configuration does not exist")                               \
    X(NO_ENCRYPTION, "ServerSideEncryptionConfigurationNotFoundError", 404,                                           \
      "The server side encryption configuration was not found")                                                       \
    X(NO_LIFECYCLE, "NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist")                \
    X(NO_OBJECT_LOCK, "ObjectLockConfigurationNotFoundError", 404,                                                    \
      "Object Lock configuration does not exist for this bucket")                                                     \
    X(NO_OBJECT_LOCK_ON_OBJECT, "NoSuchObjectLockConfiguration", 404,                                                 \
      "The specified object does not have a ObjectLock configuration")                                                \
    X(NO_OWNERSHIP, "OwnershipControlsNotFoundError", 404, "The bucket ownership controls were not found")            \
    X(NO_POLICY, "NoSuchBucketPolicy", 404, "The bucket policy does not exist")                                       \
    X(NO_PUBLIC_ACCESS_BLOCK, "NoSuchPublicAccessBlockConfiguration", 404,                                            \
      "The public access block configuration was not found")                                                          \
    X(NO_REPLICATION, "ReplicationConfigurationNotFoundError", 404, "The replication configuration was not found")    \
    X(NO_CONFIGURATION, "NoSuchConfiguration", 404, "The specified configuration does not exist.")                    \
    X(NO_SUCH_BUCKET, "NoSuchBucket", 404, "The specified bucket does not exist")                                     \
    X(NO_SUCH_KEY, "NoSuchKey", 404, "The specified key does not exist.")                                             \
    X(NO_SUCH_UPLOAD, "NoSuchUpload", 404, "The specified upload does not exist. The upload ID may be invalid, or "   \
      "the upload may have been aborted or completed.")                                                               \
    X(NO_SUCH_VERSION, "NoSuchVersion", 404, "The specified version does not exist.")                                 \
    X(NO_TAGS, "NoSuchTagSet", 404, "The TagSet does not exist")                                                      \
    X(NO_WEBSITE, "NoSuchWebsiteConfiguration", 404,                                                                  \
      "The specified bucket does not have a website configuration")                                                   \
    X(OPERATION_ABORTED, "OperationAborted", 409, "A conflicting conditional operation is currently in progress "     \
      "against this resource. Try again.")                                                                            \
    X(PRECONDITION_FAILED, "PreconditionFailed", 412,                                                                 \
      "At least one of the pre-conditions you specified did not hold")                                                \
    X(REQUEST_TIMEOUT, "RequestTimeout", 400, "Your socket connection to the server was not read from or written to " \
      "within the timeout period.")                                                                                   \
    X(REQUEST_EXPIRED, "AccessDenied", 403, "Request has expired")                                                    \
    X(SERVICE_UNAVAILABLE, "ServiceUnavailable", 503, "Service is unable to handle request.")                         \
    X(SHA256_MISMATCH, "XAmzContentSHA256Mismatch", 400,                                                              \
      "The provided 'x-amz-content-sha256' header does not match what was computed.")                                 \
    X(SIGNATURE_MISMATCH, "SignatureDoesNotMatch", 403, "The request signature we calculated does not match the "     \
      "signature you provided. Check your key and signing method.")                                                   \
    X(SLOW_DOWN, "SlowDown", 503, "Please reduce your request rate.")                                                 \
    X(TIME_SKEWED, "RequestTimeTooSkewed", 403,                                                                       \
      "The difference between the request time and the current time is too large.")                                   \
    X(KEY_MISSING, "UserKeyMustBeSpecified", 400, "A key must be specified.")

enum s3_error {
    S3_NONE,
#define X(name, code, status, text) S3_##name,
    S3_ERROR_TABLE(X)
#undef X
    S3_ERROR_COUNT
};

struct s3_error_row {
    const char *code;
    int status;
    const char *message;
};

/* The S3 error that a failure is shown as; InternalError for what has no row of its own. `rc` is not 0. */
enum s3_error s3_error_of(int rc);
/* Never NULL, static. */
const struct s3_error_row *s3_error_row(int rc);

#endif
