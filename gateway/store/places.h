/* Whether a backend is where the index thinks it is. What it holds tells, not its address: names of extents are never
 * given away twice, so that the place which has some of those that the index says are on a backend is that backend's.
 */
#ifndef ARCA_STORE_PLACES_H
#define ARCA_STORE_PLACES_H

#include "backends/backend.h"
#include "config/config.h"
#include "index/index.h"

struct store;

#define PLACES_WANTED 16 /* extents that a backend is asked for */

extern int64_t places_patience_ms; /* for all answers of a backend; tests shorten it */

enum place_verdict {
    PLACE_UNKNOWN, /* errors, or all that is there is damaged; or there is nothing that it could be asked for */
    PLACE_SAME,    /* it holds what the index says */
    PLACE_OTHER,   /* it says that it has none of that: another place, or an emptied one */
};

struct place {
    struct backend *backend; /* whose name is the one that the index has */
    /* what has come of it */
    enum place_verdict verdict;
    int why;         /* PLACE_UNKNOWN: an error; 0: nothing to ask for */
    unsigned wanted; /* extents that it could be asked for, up to PLACES_WANTED; when one was found it is not asked for
                      * more, unless `all` is wanted */
    unsigned found, missing; /* missing or damaged */
};

/* Asks `count` backends side by side for the headers of some extents that are good on them, those first that are
 * nowhere else, from up to 100,000 rows of blobs all over the table. Ends within places_patience_ms of that, but for
 * backends of which `all` is wanted: what was asked of them has ended, so that they can be closed. Errors of the index,
 * ERR_NOMEM, ERR_CANCELED. */
int places_look(struct index *index, struct place *places, size_t count, bool all) SUSPENDS;

/* At a start, before anything is stored: looks at all backends of the config that hold something. One that is elsewhere
 * while something is on it alone is refused, unless it is among `lost`: what was there is given up. Others are logged.
 * ERR_INVALID, and `why` says which, how much of it, and what to do; and as places_look. */
int places_check(struct store *store, struct index *index, const struct config *config, const char *const *lost,
                 size_t lost_count, char *why, size_t why_size) SUSPENDS;

#endif
