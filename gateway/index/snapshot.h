/* Snapshots: copies of the view, from which a view that cannot be trusted is made again. With a new one, the journal's older
 * segments go. snapshot/SEQUENCE/ holds data.mdb and sum, its BLAKE2b. */
#ifndef ARCA_INDEX_SNAPSHOT_H
#define ARCA_INDEX_SNAPSHOT_H

#include <stdint.h>
#include "index/lmdb/view.h"

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
/* Whether there is any. */
int snapshot_any(const char *path, bool *any);

#endif
