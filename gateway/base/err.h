/* The one list of error codes. Functions return 0 or one of these, negative; err_text() says each in words. The S3 code
 * and HTTP status of an error stand in gateway/s3/error.c; what a client may see is decided there, not here. */
#ifndef ARCA_BASE_ERR_H
#define ARCA_BASE_ERR_H

#include <stddef.h>

#define ERR_TABLE(X)                                                                                                  \
    /* the machine */                                                                                                 \
    X(NOMEM, "out of memory")                                                                                         \
    X(CANCELED, "canceled")                                                                                           \
    X(TIMEOUT, "deadline passed")                                                                                     \
    X(IO, "input/output error")                                                                                       \
    X(NOSPC, "no space left on the device")                                                                           \
    X(READONLY, "read-only after an earlier storage error")                                                           \
    X(CORRUPT, "stored data is damaged")                                                                              \
    X(LOCKED, "in use by another process")                                                                            \
    X(BUSY, "too much work in progress")                                                                              \
    X(UNAVAILABLE, "not enough storage backends reachable")                                                           \
    X(UNSHIPPED, "done, but not confirmed by the backends that keep the journal")                                     \
    X(DOWN, "the backend is known to be down and was not asked")                                                      \
    X(CLOSED, "the peer closed the connection")                                                                       \
    X(BUG, "internal error")                                                                                          \
    /* any input */                                                                                                   \
    X(INVALID, "invalid value")                                                                                       \
    X(SYNTAX, "malformed input")                                                                                      \
    X(TOO_LARGE, "larger than allowed")                                                                               \
    X(NOT_FOUND, "not found")                                                                                         \
    X(EXISTS, "exists already")                                                                                       \
    X(UNSUPPORTED, "not supported")                                                                                   \
    X(FORMAT, "unknown format version")                                                                               \
    /* who and whether */                                                                                             \
    X(DENIED, "access denied")                                                                                        \
    X(NO_SUCH_ACCESS_KEY, "unknown access key")                                                                       \
    X(SIGNATURE, "the signature does not match")                                                                      \
    X(SKEWED, "the request's time is too far from the server's")                                                      \
    X(EXPIRED, "the request has expired")                                                                             \
    X(AUTH_HEADER, "malformed Authorization header")                                                                  \
    X(AUTH_QUERY, "malformed query authentication parameters")                                                        \
    X(WRONG_REGION, "signed for another region")                                                                      \
    X(WRONG_KEY, "the key does not fit")                                                                              \
    /* buckets and objects */                                                                                         \
    X(NO_SUCH_BUCKET, "no such bucket")                                                                               \
    X(NO_SUCH_KEY, "no such key")                                                                                     \
    X(NO_SUCH_UPLOAD, "no such upload")                                                                               \
    X(BUCKET_EXISTS, "bucket exists and belongs to another")                                                          \
    X(BUCKET_OWNED, "bucket exists and is yours")                                                                     \
    X(BUCKET_NOT_EMPTY, "bucket is not empty")                                                                        \
    X(BUCKET_NAME, "invalid bucket name")                                                                             \
    X(KEY_TOO_LONG, "key is longer than 1024 bytes")                                                                  \
    X(PRECONDITION, "a condition of the request does not hold")                                                       \
    X(NOT_MODIFIED, "not modified")                                                                                   \
    X(CONFLICT, "a concurrent change got in the way")                                                                 \
    X(RANGE, "range not satisfiable")                                                                                 \
    X(INVALID_PART, "part is missing or its ETag differs")                                                            \
    X(PART_ORDER, "parts are not in ascending order")                                                                 \
    X(PART_TOO_SMALL, "a part before the last is smaller than 5 MiB")                                                 \
    /* bodies */                                                                                                      \
    X(INCOMPLETE_BODY, "the body ended early")                                                                        \
    X(BAD_DIGEST, "Content-MD5 differs from the body's")                                                              \
    X(INVALID_DIGEST, "Content-MD5 is not a base64 MD5")                                                              \
    X(BAD_SHA256, "x-amz-content-sha256 differs from the body's")                                                     \
    X(BAD_CHECKSUM, "a checksum differs from the body's")                                                             \
    X(LENGTH_REQUIRED, "Content-Length is required")

enum err {
    ERR_OK = 0,
#define X(name, text) ERR_POSITIVE_##name,
    ERR_TABLE(X)
#undef X
    ERR_POSITIVE_END,
#define X(name, text) ERR_##name = -ERR_POSITIVE_##name,
    ERR_TABLE(X)
#undef X
};

/* The text for a code; "unknown error" for any other number. Never NULL, static. */
const char *err_text(int err);

/* The code's name in lower case, for logs and metrics ("no_such_key"). Static. */
const char *err_name(int err);

/* Translates errno: ENOSPC and EDQUOT to ERR_NOSPC, ENOMEM to ERR_NOMEM, EROFS to ERR_READONLY, ENOENT to
 * ERR_NOT_FOUND, EEXIST to ERR_EXISTS, ECONNRESET and EPIPE to ERR_CLOSED, the rest to ERR_IO. */
int err_from_errno(int error_number);

/* Says in `why` what is wrong and what to do, cut to its size. Returns ERR_INVALID. */
int err_refuse(char *why, size_t why_size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
