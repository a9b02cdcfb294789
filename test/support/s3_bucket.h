/* Makes the bucket that a backend's settings name, with the driver's own requests. */
#ifndef ARCA_TEST_S3_BUCKET_H
#define ARCA_TEST_S3_BUCKET_H

#include "backends/s3/s3_private.h"
#include "blobs.h"

static inline void s3_bucket_run(void *arg)
{
    struct blob_op *op = arg;
    struct call call;
    op->rc = call_begin((struct s3 *)(void *)op->backend, "bucket", "PUT", "", &call);
    if (op->rc == 0) {
        op->rc = call_perform(&call);
        call_end(&call);
    }
}

static inline bool s3_bucket_make(const struct backend_settings *settings)
{
    struct blob_op op = {0};
    if (s3_open(settings, &op.backend) != 0)
        return false;
    on_fiber(s3_bucket_run, &op);
    op.backend->ops->close(op.backend);
    return op.rc == 0;
}

#endif
