/* Ships the index: what is durable in its journal, and its snapshots, go as sealed pieces to every backend of a
 * placement, so that a gateway whose disk is lost is rebuilt from any one of them and the keyring. README.md tells how.
 */
#ifndef ARCA_STORE_SHIP_SHIP_H
#define ARCA_STORE_SHIP_SHIP_H

#include "crypto/envelope.h"
#include "store/jobs/jobs.h"
#include "store/store.h"

struct ship;

struct ship_options {
    struct index *index;
    struct store *store;
    struct keyring *keyring;
    struct budget *budget;
    enum envelope_suite suite;
    const char *folder;    /* the index's */
    const char *placement; /* in which the journal is kept */
    char *const *backends; /* of it, as the config has them: until the index has a row of the placement */
    size_t backend_count;
    unsigned quorum;
    bool sync;             /* clients' changes return only when they are shipped */
    int64_t interval_ms;   /* not sync: how far behind it may be */
    struct jobs_rate rate; /* of snapshots to backends that have everything; 0: no limit */
    uint8_t epoch[8];      /* the lease of this process, with which the names of its pieces begin */
    unsigned loop_number;  /* of the loop that it makes for itself: another than all others' */
};

/* Starts a thread of its own. All that it is given, but for the strings, must outlive it. ERR_NOMEM, ERR_IO,
 * ERR_NOT_FOUND (a backend that there is not). */
int ship_start(const struct ship_options *options, struct ship **out);
/* Blocks: ships what is new, for at most ten seconds, and ends. Not on a fiber; NULL is fine. */
void ship_stop(struct ship *ship);

/* Whether it is more than five minutes behind, and in words how far and why. Any thread. */
bool ship_behind(struct ship *ship, char *why, size_t why_size);

#endif
