/* The body of CompleteMultipartUpload. Pure. */
#ifndef ARCA_S3_COMPLETE_H
#define ARCA_S3_COMPLETE_H

#include <stddef.h>
#include "base/arena.h"
#include "crypto/digest.h"
#include "records.pb-c.h"

struct part_checksum {
    enum digest_kind kind;
    uint8_t value[DIGEST_MAX];
};

struct complete_list {
    struct arena *arena;
    Arca__CompletedPart **parts;
    struct part_checksum **checksums; /* of each part what the client says, or NULL */
    size_t count;                     /* 1..PART_NUMBER_MAX */
    size_t checksum_count;
};

/* ERR_SYNTAX; ERR_INVALID (a part number out of range); ERR_PART_ORDER; ERR_NOMEM. In the arena. */
int complete_parse(struct span body, struct arena *arena, struct complete_list *out);

#endif
