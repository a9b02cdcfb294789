/* One extent on its way to several backends at once. */
#ifndef ARCA_STORE_FANOUT_H
#define ARCA_STORE_FANOUT_H

#include <stdatomic.h>
#include "backends/backend.h"
#include "index/index.h"

#define PLACEMENT_MAX 16 /* backends of one placement */

struct fanout;

/* results[i] is backend i's: 0 and its locator once it is on stable storage. Results of backends that have not answered
 * are ERR_BUSY. */
struct fanout_result {
    int rc;
    struct locator locator;
};

/* Where to. */
struct fanout_set {
    struct backend *backends[PLACEMENT_MAX];
    size_t count;
    unsigned quorum;
};

/* What all puts of a store share. */
struct fanout_shared {
    atomic_size_t straggling; /* bytes that are held by stragglers only */
    atomic_bool leftovers;    /* a backend may hold what nobody refers to */
};

/* Puts the block on all backends of the set, each on a fiber of its own, and returns when the quorum of them have it, or so
 * many have failed that they never will, or the caller is cancelled. 0, or why the quorum was missed. The fibers that are
 * not done by then go on by themselves, within a quarter of the block's budget; beyond it they are ended, and a backend
 * that takes half of it because its puts cannot be ended is not asked (ERR_BUSY). On success with backends that have
 * failed or not answered, *open is not NULL and is to be settled; whatever a call that fails leaves on a backend is removed
 * again. `results` has room for all. *writes is one higher until all of this has ended. */
int fanout_put(struct fanout_shared *shared, const struct fanout_set *set, atomic_size_t *writes,
               const struct blob_name *name, struct block *data, struct fanout_result *results,
               struct fanout **open) SUSPENDS;

/* --- an open one, which the caller keeps in a list --- */

/* Where the results went: replicas that come in before it is settled are added there. */
void fanout_expose(struct fanout *fanout, Arca__Replica **replicas, size_t *count, struct fanout *next);
struct fanout *fanout_next(const struct fanout *fanout);
/* Adds what was stored meanwhile. True when there are backends that have not answered. */
bool fanout_gather(struct fanout *fanout);
/* What was or will be stored and was not gathered becomes a replica of the blob in the index; `index` NULL: the index
 * will never name the blob, and it is removed again. `hurry`: the repair row waits for stragglers; what has failed already
 * is not to wait with it. Does not wait. The fanout is no more the caller's. */
void fanout_settle(struct fanout *fanout, struct index *index, bool hurry);

/* What the caller of a put is told: ERR_UNAVAILABLE for what is wrong with one backend only. */
int fanout_error(int rc);
/* A put that failed so may have been stored all the same. */
bool fanout_uncertain(int rc);

#endif
