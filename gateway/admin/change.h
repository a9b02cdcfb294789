/* The body of a change of a placement: {"backends": ["a", "b"], "write_quorum": 2}. Pure. */
#ifndef ARCA_ADMIN_CHANGE_H
#define ARCA_ADMIN_CHANGE_H

#include "base/arena.h"
#include "base/span.h"

#define CHANGE_SIZE_MAX     65536
#define CHANGE_BACKENDS_MAX 16 /* as in the configuration */

struct change {
    struct span backends[CHANGE_BACKENDS_MAX]; /* in the arena */
    size_t count;                              /* 1 or more, none twice */
    unsigned write_quorum;                     /* 0: not named */
};

/* ERR_INVALID, with `why` saying what is wrong; ERR_NOMEM. */
int change_parse(struct span text, struct arena *arena, struct change *out, char *why, size_t why_size);

#endif
