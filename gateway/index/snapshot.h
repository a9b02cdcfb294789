/* Snapshots: copies of the view, from which a view that cannot be trusted is made again. With a new one, the journal's
 * older segments go. snapshot/SEQUENCE/ holds data.mdb and sum, its BLAKE2b. */
#ifndef ARCA_INDEX_SNAPSHOT_H
#define ARCA_INDEX_SNAPSHOT_H

#include <stdint.h>
#include "index/index.h"
#include "index/lmdb/view.h"

#define SNAPSHOT_DATA "data.mdb"

struct snapshots;

struct snapshots_options {
    const char *path;    /* the folder of snapshots */
    const char *journal; /* the journal's folder */
    struct view *view;
    uint64_t least;      /* bytes of journal; 0: 64 MiB */
    uint64_t since;      /* bytes of journal there are now */
};

/* Starts the thread. The strings and the view must outlive it. ERR_NOMEM, ERR_IO. */
int snapshots_start(const struct snapshots_options *options, struct snapshots **out);
/* Waits for one that is being taken. NULL is fine. */
void snapshots_stop(struct snapshots *snapshots);
/* The journal grew by `bytes`. Takes a snapshot in the background when it has become large enough. Writer's thread. */
void snapshots_grown(struct snapshots *snapshots, uint64_t bytes);

/* Puts the newest snapshot that verifies and from which the journal, whose oldest record is `first`, goes on into the
 * empty folder `view`. ERR_NOT_FOUND, ERR_IO, ERR_NOSPC, ERR_NOMEM. */
int snapshot_restore(const char *path, uint64_t first, const char *view);
/* For index_snapshot_open: the one of this mutation. */
int snapshot_open(const char *path, uint64_t sequence, struct index_snapshot *out);
/* Makes a snapshot of a folder that has the data alone, if that is what is expected: this sum, a view as of this
 * mutation, whose hash is written to `hash`. ERR_CORRUPT. */
int snapshot_adopt(const char *snapshot, uint64_t sequence, const uint8_t sum[INDEX_HASH_SIZE],
                   uint8_t hash[INDEX_HASH_SIZE]);
/* Whether there is any. */
int snapshot_any(const char *path, bool *any);

#endif
