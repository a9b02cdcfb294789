/* Where extents live: placements, fan-out to backends, reads from replicas, removal. Ciphertext only. */
#ifndef ARCA_STORE_STORE_H
#define ARCA_STORE_STORE_H

#include "backends/backend.h"
#include "base/arena.h"
#include "config/config.h"
#include "index/index.h"

struct store;

/* Opens all backends of the config, whose placements are its own until placements_follow was asked. Blocks. Errors of the
 * drivers; logged. */
int store_open(const struct config *config, struct store **out);
void store_close(struct store *store); /* NULL is fine */

/* Finds or opens the backends of another config, before placements_follow makes the store follow it: *out has one for each.
 * Blocks; one caller at a time. Errors of the drivers, logged. */
struct candidate;
int store_candidates(struct store *store, const struct config *config, struct candidate **out);
/* Closes those that were not taken up. NULL is fine. Not on a fiber. */
void store_candidates_free(struct candidate *candidates, size_t count);

/* The config has a placement of this name. */
bool store_has_placement(const struct store *store, struct span name);
/* The name of the placement that new buckets get, as the config that is followed has it. Stays while the store is open. */
const char *store_default_placement(const struct store *store);

/* Enough of the placement's backends can be written to. Before a body is read: a write that cannot succeed is refused at
 * once. ERR_NOT_FOUND (no such placement); ERR_UNAVAILABLE, and in how many seconds it is worth trying again; ERR_READONLY. */
int store_writable(const struct store *store, struct span placement, unsigned *retry_after_s);

/* What the puts of one body leave to be done: backends that had failed or still store when the quorum was answered. Zero at first; used
 * on one loop. */
struct store_body {
    unsigned wanted;     /* replicas of each extent, when all have answered */
    struct topology *topology; /* that all of it follows */
    struct fanout *open; /* NULL: nothing, as always with one backend */
    bool awaited;        /* stragglers, when it was gathered */
};

/* Puts one sealed extent on the placement's backends; returns when its write quorum has it on stable storage. The
 * replicas that hold it are written to `out` (allocated in the arena), as the index records them.
 * ERR_NOT_FOUND (no such placement), ERR_UNAVAILABLE, ERR_NOSPC, ERR_READONLY, ERR_CANCELED. */
int store_put_extent(struct store *store, struct span placement, const uint8_t blob_id[16], uint32_t extent,
                     struct block *data, struct arena *arena, struct store_body *body, Arca__Replica ***out,
                     size_t *out_count) SUSPENDS;
/* Just before the index is told: counts the replicas in that were stored meanwhile; *out and *out_count must still be where
 * they were. Returns for how many milliseconds repair is to wait for stragglers. */
int64_t store_body_gather(struct store_body *body);
/* Once a body: the index was told (it gets the replicas that are still to come), or, NULL, it never will be (they are
 * removed). Does not wait. */
void store_body_settle(struct store_body *body, struct index *index);
/* A backend may hold what neither the index nor its garbage names: the lease of blob ids is to stay open. */
bool store_leftovers(const struct store *store);

/* Which replicas of an extent one who reads it has met so far: a bit each. Zero at first. */
struct store_tried {
    uint32_t all;     /* were read, or failed, and are not asked again */
    uint32_t lost;    /* of these: their backends say that they are damaged or missing, */
    uint32_t refused; /* or did not give them, without being known to be down */
};

/* Reads `length` stored bytes at `offset` of an extent from the best replica, trying the others on failure. A caller who
 * finds what it got to be damaged calls again with the same `tried`, and gets another.
 * ERR_NOT_FOUND, ERR_CORRUPT, ERR_UNAVAILABLE, ERR_CANCELED. */
int store_get_extent(struct store *store, Arca__Replica *const *replicas, size_t count, const uint8_t blob_id[16],
                     uint32_t extent, uint64_t offset, uint64_t length, uint8_t *dst,
                     struct store_tried *tried) SUSPENDS;

/* One who reads, over several calls, what may become garbage meanwhile. Garbage collection counts its grace from the oldest
 * on, so that what was there when it began is there until it ends. Entered and left once, on one loop. */
struct store_reader {
    struct store_reader *before, *next; /* the store's */
    int64_t since_ms;                   /* since 1970: when it looked up what it reads */
};
void store_reader_enter(struct store *store, struct store_reader *reader);
void store_reader_leave(struct store *store, struct store_reader *reader);
/* Of all that have not left; INT64_MAX: there are none. Any thread. */
int64_t store_oldest_reader_ms(const struct store *store);

/* A replica was found to be damaged or missing while others are there: it is noted, and repair quarantines it in the index
 * and heals it. Any thread. What finds no room is forgotten until the next reader finds it. */
void store_suspect(struct store *store, const Arca__Replica *replica, const uint8_t blob_id[16], uint32_t extent);
/* The one that store_get_extent read from, between these two values of tried->all. */
void store_suspect_read(struct store *store, Arca__Replica *const *replicas, size_t count, const uint8_t blob_id[16],
                        uint32_t extent, uint32_t tried_before, uint32_t tried);

/* Removes one extent from all replicas. What is on backends that the config has no more stays there, and counts as removed.
 * The first error, after trying all. */
int store_remove_extent(struct store *store, Arca__Replica *const *replicas, size_t count, const uint8_t blob_id[16],
                        uint32_t extent) SUSPENDS;

/* For the orphan scan and tools: all that were opened so far, the newest of each name. NULL past the last. Its operations fail
 * at once while it is down (store/watched.h). */
struct backend *store_backend(const struct store *store, size_t i);

/* 0, or why a placement cannot be written to, in words: ERR_UNAVAILABLE, ERR_READONLY, ERR_NOSPC. For health. */
int store_ready(const struct store *store, char *why, size_t why_size);

/* --- probes --- */
/* A background fiber that probes backends that are idle or not healthy, so that one that fails is known before a request
 * finds out, and one that comes back is used again. */
struct prober;
int prober_start(struct store *store, struct loop *loop, struct prober **out); /* any thread. ERR_NOMEM */
void prober_stop(struct prober *prober); /* any thread: the loop's end waits for its fibers */
void prober_free(struct prober *prober); /* after the loop has ended. NULL is fine */

#endif
