/* Where extents live: placements, fan-out to backends, reads from replicas, removal. Ciphertext only. */
#ifndef ARCA_STORE_STORE_H
#define ARCA_STORE_STORE_H

#include "backends/backend.h"
#include "base/arena.h"
#include "config/config.h"
#include "index/index.h"

struct store;

/* Opens all backends of the config. Blocks. Errors of the drivers; logged. */
int store_open(const struct config *config, struct store **out);
void store_close(struct store *store); /* NULL is fine */

/* The name of a placement exists. */
bool store_has_placement(const struct store *store, struct span name);

/* Enough of the placement's backends can be written to. Before a body is read: a write that cannot succeed is refused at
 * once. ERR_NOT_FOUND (no such placement); ERR_UNAVAILABLE, and in how many seconds it is worth trying again; ERR_READONLY. */
int store_writable(const struct store *store, struct span placement, unsigned *retry_after_s);

/* What the puts of one body leave to be done: backends that had failed or still store when the quorum was answered. Zero at first; used
 * on one loop. */
struct store_body {
    unsigned wanted;     /* replicas of each extent */
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

/* Reads `length` stored bytes at `offset` of an extent from the best replica, trying the others on failure. `tried` (a bit a
 * replica, 0 at first) remembers replicas that the caller found to be damaged, so that a second call reads another.
 * ERR_NOT_FOUND, ERR_CORRUPT, ERR_UNAVAILABLE, ERR_CANCELED. */
int store_get_extent(struct store *store, Arca__Replica *const *replicas, size_t count, const uint8_t blob_id[16],
                     uint32_t extent, uint64_t offset, uint64_t length, uint8_t *dst, uint32_t *tried) SUSPENDS;

/* A replica was found to be damaged or missing while others are there: it is noted, and repair quarantines it in the index
 * and heals it. Any thread. What finds no room is forgotten until the next reader finds it. */
void store_suspect(struct store *store, const Arca__Replica *replica, const uint8_t blob_id[16], uint32_t extent);
/* The one that store_get_extent read from, between these two values of `tried`. */
void store_suspect_read(struct store *store, Arca__Replica *const *replicas, size_t count, const uint8_t blob_id[16],
                        uint32_t extent, uint32_t tried_before, uint32_t tried);

/* Removes one extent from all replicas. The first error, after trying all. */
int store_remove_extent(struct store *store, Arca__Replica *const *replicas, size_t count, const uint8_t blob_id[16],
                        uint32_t extent) SUSPENDS;

/* For the orphan scan and tools. NULL past the last. Its operations fail at once while it is down (store/watched.h). */
struct backend *store_backend(struct store *store, size_t i);

/* 0, or why a placement cannot be written to, in words: ERR_UNAVAILABLE, ERR_READONLY, ERR_NOSPC. For health. */
int store_ready(const struct store *store, char *why, size_t why_size);

/* --- probes --- */
/* A background fiber that probes backends that are idle or not healthy, so that one that fails is known before a request
 * finds out, and one that comes back is used again. */
struct prober;
int prober_start(struct store *store, struct loop *loop, struct prober **out); /* any thread. ERR_NOMEM */
void prober_stop(struct prober *prober); /* any thread: the loop's end waits for its fibers */
void prober_free(struct prober *prober); /* after the loop has ended. NULL is fine */

/* --- garbage --- */
/* A background fiber that removes what nobody refers to: blobs in the index's garbage table once they are older than the
 * grace, and after a start that followed a crash (another process left a lease open), whatever backends hold and no row
 * names. */
struct garbage;
/* `own_lease` is the id of the lease that this process opened: blobs under it may be on their way into the index and are not
 * looked at. Any thread; store and index must outlive the loop. ERR_NOMEM. */
int garbage_start(struct store *store, struct index *index, struct loop *loop, const uint8_t own_lease[8],
                  int64_t grace_ms, struct garbage **out);
/* Any thread: ends the fiber at its next step; the loop's end waits for it. */
void garbage_stop(struct garbage *garbage);
/* After the loop has ended. NULL is fine. */
void garbage_free(struct garbage *garbage);

/* --- repair --- */
/* A background fiber that brings extents to the replicas that their placement wants, as the index's repair rows tell, and
 * quarantines what store_suspect notes. */
struct repair;
struct repair_options {
    struct store *store;
    struct index *index;
    struct loop *loop; /* the one that garbage_start was given */
    struct budget *budget;
    const struct garbage *garbage;
    uint64_t rate;       /* bytes a second that it writes at most */
    unsigned operations; /* and how often */
};
/* Any thread; all of them must outlive the loop. ERR_NOMEM. */
int repair_start(const struct repair_options *options, struct repair **out);
/* Any thread: ends its fibers at their next step; the loop's end waits for them. */
void repair_stop(struct repair *repair);
/* After the loop has ended. NULL is fine. */
void repair_free(struct repair *repair);

#endif
