/* The route table: method, resource and query say which operation a request is; its row says the rest. */
#ifndef ARCA_S3_ROUTE_H
#define ARCA_S3_ROUTE_H

#include <stddef.h>
#include "base/fiber.h"
#include "http/http.h"
#include "s3/target.h"

struct s3_request;

/* Answers, or returns a failure (error.h) that becomes the error answer. */
typedef int s3_handler(struct s3_request *r);

enum s3_level { S3_SERVICE, S3_BUCKET, S3_OBJECT };

enum {
    ROUTE_PUBLIC = 1,      /* no signature needed: the answer says nothing about what is stored */
    ROUTE_NO_BUCKET = 2,   /* the bucket need not exist */
    ROUTE_COPY_SOURCE = 4, /* only with x-amz-copy-source */
    ROUTE_SUBRESOURCE = 8, /* counted together with the others of its kind */
};

struct s3_operation {
    enum http_method method;
    enum s3_level level;
    const char *selector; /* a query parameter that must be there; NULL: the resource itself */
    const char *name;
    const char *action; /* IAM */
    s3_handler *handler;
    size_t body_limit; /* bytes of an XML body */
    unsigned flags;
    unsigned detail; /* the handler's own: which sub-resource */
};

/* 0, S3_METHOD_NOT_ALLOWED, or S3_NOT_IMPLEMENTED (a sub-resource that nobody knows). */
int route_find(enum http_method method, const struct s3_target *target, bool has_copy_source,
               const struct s3_operation **out);

/* The operations' names, for metrics: sub-resources share one. An operation's number is its place there. */
const char *const *route_metric_names(unsigned *count);
unsigned route_metric(const struct s3_operation *operation);

#endif
