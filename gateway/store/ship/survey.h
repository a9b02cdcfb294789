/* What backends hold of a journal, read without changing anything. */
#ifndef ARCA_STORE_SHIP_SURVEY_H
#define ARCA_STORE_SHIP_SURVEY_H

#include "store/ship/ledger.h"

struct survey {
    struct backend *backend;
    struct stored_list pieces; /* those whose headers opened */
    uint64_t foreign;          /* sealed under other keyrings */
    uint64_t damaged;          /* that do not open: removed, changed, or cut on the way */
    char damage[128];          /* one of them, in words */
};

/* Lists a backend's pieces. ERR_TOO_LARGE: more than can be. */
int survey_list(struct backend *backend, struct stored_list *out) SUSPENDS;

/* Opens the headers of all pieces in `listed` (whose `piece` is not read) and moves those that open to out->pieces.
 * `progress` is called after each. */
int survey_open(struct survey *out, const struct stored_list *listed, struct keyring *keyring,
                void (*progress)(void *arg, size_t done, size_t all), void *arg) SUSPENDS;
/* The piece itself is what is wrong, and not that it cannot be read just now. */
bool survey_damage(int rc);
void survey_free(struct survey *survey);

/* Runs fn(arg, i) for each i below count on several fibers at once (16 at most), until one fails or the caller is
 * cancelled. */
int survey_each(size_t count, unsigned fibers, int (*fn)(void *arg, size_t i) SUSPENDS, void *arg) SUSPENDS;

#endif
