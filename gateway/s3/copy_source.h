/* x-amz-copy-source: "[/]BUCKET/KEY[?versionId=null]", percent-encoded. */
#ifndef ARCA_S3_COPY_SOURCE_H
#define ARCA_S3_COPY_SOURCE_H

#include "base/arena.h"
#include "base/span.h"

struct copy_source {
    struct span bucket, key;
    struct span version; /* ptr NULL: none named */
};

/* S3_INVALID_ARGUMENT, or what target_decode says of the key. In the arena. Pure. */
int copy_source_parse(struct span header, struct arena *arena, struct copy_source *out);

#endif
