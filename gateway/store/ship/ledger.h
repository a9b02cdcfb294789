/* Which pieces lie on a backend. Kept in the file `shipped` in the index's folder, so that a start needs not list
 * backends; when the file is lost or older than what was put last, listing finds the rest. */
#ifndef ARCA_STORE_SHIP_LEDGER_H
#define ARCA_STORE_SHIP_LEDGER_H

#include "base/buf.h"
#include "store/ship/piece.h"

struct stored {
    struct blob_name name;
    struct locator locator;
    struct piece piece;
    uint64_t size; /* as stored; known of what was listed alone */
};

struct stored_list {
    struct stored *all;
    size_t count, room;
};

/* Room for one more, so that what was put can always be noted; also when two fibers ask before either inserts.
 * ERR_NOMEM. */
int stored_reserve(struct stored_list *list);
/* Room for so many that stored_move cannot fail. ERR_NOMEM. */
int stored_room(struct stored_list *list, size_t more);
/* After stored_reserve. */
void stored_insert(struct stored_list *list, size_t at, const struct stored *stored);
void stored_remove(struct stored_list *list, size_t first, size_t count);
/* Moves a stretch to the end of another list. ERR_NOMEM: nothing is moved. */
int stored_move(struct stored_list *list, size_t first, size_t count, struct stored_list *to);
bool stored_has(const struct stored_list *list, const struct blob_name *name, const struct locator *locator);
/* One follows the other without a gap. */
bool stored_follows(const struct piece *before, const struct piece *after);

struct ledger {
    char backend[33];
    struct stored_list journal;   /* in the order of the mutations */
    struct stored_list snapshots; /* parts */
    struct stored_list stale;     /* to be removed */
};
void ledger_free(struct ledger *ledger); /* what it holds */

/* A whole snapshot with the greatest sequence below `below`; 0: there is none. */
uint64_t ledger_snapshot(const struct ledger *ledger, uint64_t below);

/* The file. `clean`: it was written after the last change. */
int ledgers_encode(const struct ledger *const *all, size_t count, bool clean, struct buf *out); /* ERR_NOMEM */
/* Blocks. Errors of files. */
int ledgers_write(const char *folder, struct span bytes);
/* Blocks. Allocated; the caller frees each and the array. ERR_NOT_FOUND, ERR_CORRUPT, ERR_FORMAT, ERR_IO, ERR_NOMEM. */
int ledgers_read(const char *folder, struct ledger **out, size_t *count, bool *clean);
/* The same from memory. */
int ledgers_decode(struct span bytes, struct ledger **out, size_t *count, bool *clean);

#endif
