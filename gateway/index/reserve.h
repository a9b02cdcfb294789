/* Blocks of the index's disk that are kept back. When the disk is full they are given up, and only what takes away is
 * applied with them: a deletion needs some room itself, in the journal and in the view. One thread uses it. */
#ifndef ARCA_INDEX_RESERVE_H
#define ARCA_INDEX_RESERVE_H

#include <stdbool.h>
#include <stdint.h>
#include "index/durable.h"

struct reserve {
    char path[PATH_SIZE];
    uint64_t size;      /* bytes */
    bool missing;       /* given up, or the disk was full from the start */
    int64_t retry_ms;   /* clock_monotonic_ms: not taken again before */
};

/* Takes it in the folder if there is room. ERR_TOO_LARGE (the path). A file system that does not let blocks be reserved
 * does without. */
int reserve_init(struct reserve *reserve, const char *folder, uint64_t size);
/* False: it was given up before. */
bool reserve_release(struct reserve *reserve);
/* Whether it is there, taking it again if there is room, which is tried once a second. */
bool reserve_held(struct reserve *reserve);

#endif
