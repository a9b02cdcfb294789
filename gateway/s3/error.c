#include "s3/error.h"

#include <stddef.h>
#include "base/err.h"

static const struct s3_error_row rows[S3_ERROR_COUNT] = {
    [S3_NONE] = {"InternalError", 500, "We encountered an internal error. Please try again."},
#define X(name, code, status, text) [S3_##name] = {code, status, text},
    S3_ERROR_TABLE(X)
#undef X
};

/* What is not named here is the server's own trouble: InternalError. */
static const enum s3_error shown_as[ERR_POSITIVE_END] = {
    [-ERR_TIMEOUT] = S3_REQUEST_TIMEOUT,
    [-ERR_NOSPC] = S3_INSUFFICIENT_STORAGE,
    [-ERR_READONLY] = S3_SERVICE_UNAVAILABLE,
    [-ERR_BUSY] = S3_SLOW_DOWN,
    [-ERR_UNAVAILABLE] = S3_SLOW_DOWN,
    [-ERR_UNSHIPPED] = S3_SERVICE_UNAVAILABLE,
    [-ERR_DOWN] = S3_SLOW_DOWN,
    [-ERR_INVALID] = S3_INVALID_ARGUMENT,
    [-ERR_SYNTAX] = S3_INVALID_REQUEST,
    [-ERR_TOO_LARGE] = S3_ENTITY_TOO_LARGE,
    [-ERR_UNSUPPORTED] = S3_NOT_IMPLEMENTED,
    [-ERR_DENIED] = S3_ACCESS_DENIED,
    [-ERR_NO_SUCH_ACCESS_KEY] = S3_INVALID_ACCESS_KEY_ID,
    [-ERR_SIGNATURE] = S3_SIGNATURE_MISMATCH,
    [-ERR_SKEWED] = S3_TIME_SKEWED,
    [-ERR_EXPIRED] = S3_REQUEST_EXPIRED,
    [-ERR_AUTH_HEADER] = S3_AUTH_HEADER_MALFORMED,
    [-ERR_AUTH_QUERY] = S3_AUTH_QUERY_ERROR,
    [-ERR_WRONG_REGION] = S3_AUTH_HEADER_MALFORMED,
    [-ERR_NO_SUCH_BUCKET] = S3_NO_SUCH_BUCKET,
    [-ERR_NO_SUCH_KEY] = S3_NO_SUCH_KEY,
    [-ERR_NO_SUCH_UPLOAD] = S3_NO_SUCH_UPLOAD,
    [-ERR_BUCKET_EXISTS] = S3_BUCKET_EXISTS,
    [-ERR_BUCKET_OWNED] = S3_BUCKET_OWNED,
    [-ERR_BUCKET_NOT_EMPTY] = S3_BUCKET_NOT_EMPTY,
    [-ERR_BUCKET_NAME] = S3_INVALID_BUCKET_NAME,
    [-ERR_KEY_TOO_LONG] = S3_KEY_TOO_LONG,
    [-ERR_PRECONDITION] = S3_PRECONDITION_FAILED,
    [-ERR_NOT_MODIFIED] = S3_NOT_MODIFIED,
    [-ERR_CONFLICT] = S3_OPERATION_ABORTED,
    [-ERR_RANGE] = S3_INVALID_RANGE,
    [-ERR_INVALID_PART] = S3_INVALID_PART,
    [-ERR_PART_ORDER] = S3_INVALID_PART_ORDER,
    [-ERR_PART_TOO_SMALL] = S3_ENTITY_TOO_SMALL,
    [-ERR_INCOMPLETE_BODY] = S3_INCOMPLETE_BODY,
    [-ERR_BAD_DIGEST] = S3_BAD_DIGEST,
    [-ERR_INVALID_DIGEST] = S3_INVALID_DIGEST,
    [-ERR_BAD_SHA256] = S3_SHA256_MISMATCH,
    [-ERR_BAD_CHECKSUM] = S3_BAD_DIGEST,
    [-ERR_LENGTH_REQUIRED] = S3_MISSING_LENGTH,
};

enum s3_error s3_error_of(int rc)
{
    if (rc > 0 && rc < S3_ERROR_COUNT)
        return (enum s3_error)rc;
    if (rc < 0 && -rc < (int)ERR_POSITIVE_END && shown_as[-rc] != S3_NONE)
        return shown_as[-rc];
    return S3_INTERNAL_ERROR;
}

const struct s3_error_row *s3_error_row(int rc)
{
    return &rows[s3_error_of(rc)];
}
