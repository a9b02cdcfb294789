/* What the files of the disk driver share. */
#ifndef ARCA_BACKENDS_DISK_DISK_H
#define ARCA_BACKENDS_DISK_DISK_H

#include "backends/backend.h"
#include "base/worker.h"
#include "segment.h"
#include "table.h"

struct disk_writer;

struct disk {
    struct backend backend; /* first: the room's callers see this */
    int folder;
    int lock;
    uint64_t segment_size;
    bool memory;            /* a file system in memory: reads never block */
    bool direct;            /* large blobs are written past the page cache; of the writer's thread once it runs */
    atomic_bool failed;     /* a write or fsync failed: read-only until the next start */
    _Atomic uint64_t wanted; /* bytes that did not fit when the disk was full, 0 since a write succeeded */
    struct segment_table table;
    struct disk_writer *writer;
    struct worker_pool *readers; /* reads that miss the page cache */
    struct worker_pool *tidy;    /* one thread: removals, listing, compaction */
};

/* Storage failed: no more writes. Logs. */
void disk_fail(struct disk *disk, const char *what, int error_number);

/* --- writer.c --- */
/* One put on its way: on the stack of the fiber that waits for it. */
struct disk_put {
    struct disk_put *next;
    struct record_header header;
    const uint8_t *data;
    uint64_t offset; /* of its header: the writer's choice */
    struct locator *out;
    struct completion done;
};

/* Starts the writer thread. `active` is where it goes on, a reference that it takes over, or NULL to begin a new segment.
 * ERR_NOMEM, ERR_IO, ERR_NOSPC. */
int disk_writer_start(struct disk *disk, struct segment *active, struct disk_writer **out);
/* Writes what is queued and ends. NULL is fine. */
void disk_writer_stop(struct disk_writer *writer);
/* Any thread. The put's completion is posted when it is on stable storage or has failed. */
void disk_writer_put(struct disk_writer *writer, struct disk_put *put);
/* Any thread. Nothing lives any more in the segment that is being written: unless puts come, its space goes back. */
void disk_writer_unsettle(struct disk_writer *writer);

/* --- compact.c, all on the tidy thread --- */
/* What lives in a segment, and what is loose; once. ERR_NOMEM, ERR_IO. */
int disk_count(struct segment *segment);
/* Compacts one segment that has rested. Whether others will be worth it, now or when they have rested. */
bool disk_tidy_rested(void *disk);
int disk_remove_blob(struct disk *disk, const struct blob_name *name, const struct disk_place *place);
int disk_list_blobs(struct disk *disk, struct blob_cursor *cursor, struct blob_batch *out);

#endif
