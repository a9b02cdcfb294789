/* What nearly every mutation asks for, kept in memory from one to the next: the sets of the placements, and what each
 * backend holds of them. Holdings are changed here and written once a transaction, so that a PUT costs neither a read
 * nor a write of its own. One thread. */
#ifndef ARCA_INDEX_TALLY_H
#define ARCA_INDEX_TALLY_H

#include "index/lmdb/records.h"

#define NAME_LENGTH_MAX 64 /* bytes of a placement's or a backend's name; the config allows fewer */
#define MEMBERS_MAX     16 /* of a placement, as in the config */

struct tally;

struct tally *tally_create(void); /* NULL: no memory */
void tally_free(struct tally *tally); /* NULL is fine */

/* Forgets everything: after a transaction that was given up. */
void tally_reset(struct tally *tally);
/* Writes the holdings that changed; with each transaction before it is committed. */
int tally_write(struct tally *tally, struct txn *txn);

/* The placement's set, or NULL if it has no row; until the tally is written or reset. ERR_CORRUPT as below. */
int tally_set(struct tally *tally, struct txn *txn, const char *placement, const Arca__Placement **out);
/* Its row was changed. */
void tally_forget_set(struct tally *tally, const char *placement);
/* More or fewer replicas, and their bytes as stored. ERR_CORRUPT: names longer than any that came in. */
int tally_add(struct tally *tally, struct txn *txn, const char *placement, const char *backend, int64_t replicas,
              uint64_t bytes_each);
/* Calls `holding` for each that was added to, with what it is now. */
void tally_each(const struct tally *tally,
                void (*holding)(const char *placement, const char *backend, uint64_t replicas, uint64_t bytes,
                                void *arg),
                void *arg);

/* The key of a row of holdings; its length. The names' lengths are at most NAME_LENGTH_MAX. */
#define HOLDING_KEY_MAX (2 * NAME_LENGTH_MAX + 1)
size_t holding_key(const char *placement, const char *backend, uint8_t out[HOLDING_KEY_MAX]);

#endif
