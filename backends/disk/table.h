/* The segments of one disk backend, by number, and their open files: at most OPEN_MAX_SEGMENTS idle ones are kept open. */
#ifndef ARCA_BACKENDS_DISK_TABLE_H
#define ARCA_BACKENDS_DISK_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/list.h"

#define OPEN_MAX_SEGMENTS 512

struct segment {
    struct list idle;       /* in table->idle while open and not referenced */
    uint32_t number;
    int fd;                 /* -1: closed; open while referenced */
    unsigned references;
    bool removed;           /* from the table: the last reference frees it */
    _Atomic uint64_t end;   /* bytes that are on stable storage */
    atomic_bool sealed;     /* nothing is appended any more */
    _Atomic uint64_t live;  /* records, once they are counted: those of a segment that is being written always are */
    /* of the tidy thread alone: see compact.c */
    bool counted;
    uint64_t loose;         /* dead bytes that are not punched */
    int64_t removed_ms;     /* the last removal from it, monotonic milliseconds */
};

struct segment_table {
    int folder;             /* of the segment files */
    pthread_mutex_t lock;   /* guards all below, and the fields of segments but the atomics and the tidy thread's */
    struct segment **items; /* ascending numbers */
    size_t count;
    size_t allocated;
    struct list idle;       /* the longest idle first */
    size_t idle_count;
};

/* Takes over the descriptor of the folder. ERR_IO. */
int segment_table_init(struct segment_table *table, int folder);
/* Nothing may be referenced. */
void segment_table_fini(struct segment_table *table);

/* Reads the folder: every segment becomes an item, sealed, with its file's size as end. Blocks behind that, which a crash
 * left reserved, go. ERR_IO, ERR_NOMEM, ERR_CORRUPT (a foreign file). */
int segment_table_load(struct segment_table *table);

/* A reference to the segment, its file open. ERR_NOT_FOUND, ERR_IO. */
int segment_acquire(struct segment_table *table, uint32_t number, struct segment **out);
/* The one with the least number >= `number`. */
int segment_acquire_from(struct segment_table *table, uint32_t number, struct segment **out);
/* Of those the one that has at least `loose` loose bytes; on the tidy thread. */
int segment_acquire_loose(struct segment_table *table, uint32_t number, uint64_t loose, struct segment **out);
void segment_release(struct segment_table *table, struct segment *segment);

/* Makes the next segment, durably, and references it: not sealed, its end behind its header. ERR_NOSPC, ERR_IO, ERR_NOMEM. */
int segment_create(struct segment_table *table, struct segment **out);
/* Its file, opened once more with these flags of open(2); -1 and errno. The caller closes it. */
int segment_reopen(const struct segment_table *table, const struct segment *segment, int flags);
/* Deletes the file; the caller's reference stays valid. Again is fine. Not the last one if places in it were given out:
 * its number would be used again. ERR_IO. */
int segment_delete(struct segment_table *table, struct segment *segment);

#endif
