/* One extent on its way to several backends at once. */
#ifndef ARCA_STORE_FANOUT_H
#define ARCA_STORE_FANOUT_H

#include "backends/backend.h"

#define PLACEMENT_MAX 16 /* backends of one placement */

/* results[i] is backend i's: 0 and its locator once it is on stable storage. Results of backends that have not answered are
 * ERR_BUSY. */
struct fanout_result {
    int rc;
    struct locator locator;
};

/* Puts the block on all `count` backends, each on a fiber of its own, and returns when `quorum` of them have it, or so many
 * have failed that they never will, or the caller is cancelled. 0, or why the quorum was missed. The fibers that are not
 * done by then go on by themselves; what they, or a call that fails, leave on a backend is removed again, since nobody will
 * refer to it. */
int fanout_put(struct backend *const *backends, size_t count, unsigned quorum, const struct blob_name *name,
               struct block *data, struct fanout_result *results) SUSPENDS;

/* What the caller of a put is told: ERR_UNAVAILABLE for what is wrong with one backend only. */
int fanout_error(int rc);

#endif
