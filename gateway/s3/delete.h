/* The body of DeleteObjects. Pure. */
#ifndef ARCA_S3_DELETE_H
#define ARCA_S3_DELETE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "records.pb-c.h"

#define DELETE_MAX 1000 /* docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */

struct delete_entry {
    struct span key;
    bool other_version;            /* not "null" */
    Arca__Precondition *condition; /* ETag, LastModifiedTime, Size */
};

struct delete_list {
    struct arena *arena;
    struct delete_entry *entries;
    size_t count; /* 1..DELETE_MAX */
    bool quiet;
};

/* ERR_SYNTAX, ERR_NOMEM. In the arena. */
int delete_parse(struct span body, struct arena *arena, struct delete_list *out);

#endif
