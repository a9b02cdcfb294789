/* The driver for AWS S3, MinIO, Ceph RGW and every other store that takes signature version 4. */
#ifndef ARCA_BACKENDS_S3_S3_H
#define ARCA_BACKENDS_S3_S3_H

#include "backends/backend.h"
#include "backends/settings.h"

/* ERR_INVALID (a setting that is missing or wrong), ERR_NOT_FOUND, ERR_IO (its files), ERR_NOMEM; logged. */
int s3_open(const struct backend_settings *settings, struct backend **out);

#endif
