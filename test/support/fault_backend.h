/* A backend around another that fails as storage fails, by a seed: the same seed and the same calls give the same faults.
 *
 * Two kinds of faults are told apart, because they are worth different promises.
 *
 * Honest ones are told to the caller: errors before or after an operation took effect, torn writes that are reported as
 * failed, delays, outages (down, hanging, full, read-only), listings that break off. Any number of them on any number of
 * backends at once: writes and reads may fail, and nothing that was acknowledged may be lost.
 *
 * Lies are not: a write that is acknowledged and was not stored, or cut or changed; a blob that rots, gets lost, or is rolled
 * back, and removed ones that are back; a read whose bytes are changed. With a write quorum of W, an extent survives W - 1
 * liars for all its life, since one of the W who acknowledged it is not among them. `liars` holds the wrapper to that: it lies
 * about a blob only when this backend is the one of so many that the blob's name chooses. A reader may still be told that
 * an object is damaged while the honest ones fail or are down; he never gets a wrong byte, and when the faults end everything
 * is there.
 *
 * A placement that changes promises no less, and backends that join may lie as any others, while they are filled and
 * ever after: the blob's name chooses among all backends that ever belong to the placement, and each set that is aimed
 * at has two of them and a write quorum of two at least. What was written goes from the old set only when every backend
 * of the new one has it, and of those one is honest; that one has acknowledged a copy, or was verified, is not enough.
 * With sets of one, a backend that joins must never lie. */
#ifndef ARCA_TEST_FAULT_BACKEND_H
#define ARCA_TEST_FAULT_BACKEND_H

#include "backends/backend.h"

enum fault {
    FAULT_ERROR_BEFORE, /* fails, and had no effect */
    FAULT_ERROR_AFTER,  /* fails, and had its effect */
    FAULT_TORN_PUT,     /* fails, and stored a part */
    FAULT_DELAY,
    FAULT_OUTAGE, /* begins */
    FAULT_LIST,   /* an empty batch before the end */
    /* lies */
    FAULT_LYING_PUT,
    FAULT_LYING_GET,
    FAULT_ROT,       /* one of the blobs stored lately changes, is cut, or is gone */
    FAULT_ROLL_BACK, /* the newest blobs are gone, and those removed last are back */
    FAULT_COUNT
};

struct fault_options {
    uint64_t seed;
    unsigned number; /* of this backend: those below `liars` may lie */
    unsigned liars;  /* backends of which each blob's name chooses one that may lie about it; 0: this one never lies */
    unsigned per_million[FAULT_COUNT]; /* of its operations */
    unsigned delay_ms;                 /* at most */
    unsigned outage_ms;
    bool full_only; /* outages are those of a full disk: it says for sure that it stored nothing */
};

const char *fault_name(enum fault fault);

/* Takes `inner` over. ERR_NOMEM: it is still the caller's. */
int fault_create(struct backend *inner, const struct fault_options *options, struct backend **out);
/* A backend of so many (fault_options) may lie about this blob. */
bool fault_may_lie(unsigned number, unsigned liars, const struct blob_name *name);

/* --- all backends of the process, and those that come --- */

/* No faults any more, or again; what was done stays done. They begin calm. */
void fault_calm(bool calm);
/* As they are to a process that was killed: nothing that it does has an effect any more, until it lives again. */
void fault_freeze(bool frozen);
/* Those of this name are down from now on, for so long, unless they are calm. */
void fault_outage(const char *name, int64_t ms);
/* Whether these are the bytes that a blob was given with its first put, on any backend. */
bool fault_is_true(const struct blob_name *name, const uint8_t *data, size_t size);
/* Forgets what blobs are. */
void fault_forget(void);
/* How often each happened. */
uint64_t fault_count(enum fault fault);

#endif
