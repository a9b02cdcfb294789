/* What all operations that write an object share. */
#ifndef ARCA_S3_OBJECTS_WRITE_H
#define ARCA_S3_OBJECTS_WRITE_H

#include "s3/request.h"

#define PUT_SIZE_MAX (5ULL << 30) /* docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html */

/* A record owned by who asks. NULL when out of memory. */
Arca__Object *write_object_record(struct s3_request *r);
/* The request's If-* headers; *out NULL without any. ERR_NOMEM. */
int write_precondition(struct s3_request *r, Arca__Precondition **out);
/* S3 answers NoSuchKey to an If-Match on a key that is not there, where the index only says that it does not hold. */
int write_failure(struct s3_request *r, int rc, const Arca__Precondition *precondition) SUSPENDS;

#endif
