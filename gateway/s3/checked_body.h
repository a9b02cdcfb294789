/* The one place that builds the pipeline of a request's body: transfer coding, aws-chunked, digests, and what they must
 * match. */
#ifndef ARCA_S3_CHECKED_BODY_H
#define ARCA_S3_CHECKED_BODY_H

#include "http/body_digest.h"
#include "s3/checksums.h"

/* A request's body, ready to be read. */
struct checked_body {
    struct s3_request *r;
    struct source *source; /* the decoded bytes; its end comes only when everything matched */
    struct body_digest *digest;
    struct body_expectation expectation;
    struct aws_chunked *chunked;
    const char *trailer; /* the announced one that carries the checksum, or NULL */
};

enum {
    BODY_CHECKSUM_IS_OBJECTS = 1, /* x-amz-checksum-* is not this body's: CompleteMultipartUpload */
    BODY_MAY_BE_ABSENT = 2,       /* no Content-Length: empty */
};

/* `wanted` is computed when the request brings no checksum of its own (DIGEST_NONE: none). checked_body_close whatever
 * is returned. ERR_LENGTH_REQUIRED, ERR_INVALID_DIGEST, S3_INVALID_REQUEST, ERR_NOMEM. */
int checked_body_open(struct s3_request *r, enum digest_kind wanted, unsigned flags, struct checked_body *body);
void checked_body_close(struct checked_body *body);
/* A write_seal's `described` with a struct checked_body: MD5 as ETag, and the checksum. */
int checked_body_described(void *arg, char **etag, Arca__Checksum ***checksums, size_t *count);
/* Whether the request brings a digest of its body other than its signature's. */
bool checked_body_has_digest(struct s3_request *r);

/* The whole verified body, at most the operation's body_limit (S3_MESSAGE_TOO_LARGE); `out` is freed by the caller. */
int checked_body_read_all(struct s3_request *r, unsigned flags, struct buf *out) SUSPENDS;

#endif
