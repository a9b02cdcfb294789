/* One request on its way: what s3_handle found out, and what the operations share. The order is fixed in request.c:
 * target, route, signature, policy, bucket, handler; no operation can skip a step. */
#ifndef ARCA_S3_REQUEST_H
#define ARCA_S3_REQUEST_H

#include "auth/auth.h"
#include "base/arena.h"
#include "base/buf.h"
#include "http/http.h"
#include "index/index.h"
#include "object/engine.h"
#include "s3/error.h"
#include "s3/route.h"
#include "s3/s3.h"
#include "s3/target.h"

struct s3 {
    struct s3_options options;
};

/* An element of an error answer besides the usual ones. */
struct s3_detail {
    const char *name;
    struct span value;
};

struct s3_request {
    struct s3 *s3;
    struct engine *engine;
    struct index *index;
    struct http_exchange *exchange;
    const struct http_request *http;
    struct arena *arena;
    struct s3_target target;
    const struct s3_operation *operation; /* NULL until routed */
    struct auth_identity identity;
    Arca__Bucket *bucket; /* set before the handler unless the operation is ROUTE_NO_BUCKET */

    /* for the error answer */
    const char *message; /* NULL: the table's */
    struct s3_detail details[3];
    size_t detail_count;
    unsigned retry_after_s; /* with status 503; 0: one second */
    bool early;             /* the answer is a 200 that has begun with the XML declaration: patience.h */
    const char *error_code; /* what was answered, for the access log; NULL: success */
};

/* A header or parameter; SPAN_NONE without one (an empty one has a ptr). */
struct span s3_header(const struct s3_request *r, const char *name);
struct span s3_param(const struct s3_request *r, const char *name);

/* Each sets the message (static or in the arena) and returns `code`, to be returned. */
int s3_fail(struct s3_request *r, int code, const char *message);
/* InvalidArgument with ArgumentName and ArgumentValue; the value is borrowed until the answer. */
int s3_fail_argument(struct s3_request *r, const char *name, struct span value, const char *message);
void s3_detail(struct s3_request *r, const char *name, struct span value);

/* A decimal parameter or header within 0..most; *out is left when `text` is absent. Bigger ones count as `most`. */
int s3_number(struct s3_request *r, const char *name, struct span text, uint64_t most, uint64_t *out);
/* encoding-type: only "url" is known. */
int s3_encoding(struct s3_request *r, bool *url);
/* versionId: objects have one version, "null". S3_NO_SUCH_VERSION for others. */
int s3_version(struct s3_request *r, struct span version);

/* The policy's word on another action or resource than the routed one. 0 or ERR_DENIED. */
int s3_authorize(struct s3_request *r, const char *action, struct span bucket, struct span key);
/* ERR_NO_SUCH_BUCKET, ERR_BUCKET_NAME */
int s3_bucket(struct s3_request *r, struct span name, Arca__Bucket **out) SUSPENDS;

/* Answers with an XML document and frees it. Its `failed` is reported. Of an early answer it is the rest. */
int s3_answer_xml(struct s3_request *r, int status, struct buf *xml) SUSPENDS;
int s3_answer_empty(struct s3_request *r, int status) SUSPENDS;

/* Accepts those ACL headers that change nothing; AccessControlListNotSupported for the others. */
int s3_acl_headers(struct s3_request *r);

#endif
