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
    /* of the tidy thread alone: see compact.c */
    bool counted;
    uint64_t live;          /* records */
    uint64_t loose;         /* dead bytes that are not punched */
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

/* Reads the folder: every segment becomes an item, sealed, with its file's size as end. ERR_IO, ERR_NOMEM, ERR_CORRUPT (a
 * foreign file). */
int segment_table_load(struct segment_table *table);

/* A reference to the segment, its file open. ERR_NOT_FOUND, ERR_IO. */
int segment_acquire(struct segment_table *table, uint32_t number, struct segment **out);
/* The one with the least number >= `number`. */
int segment_acquire_from(struct segment_table *table, uint32_t number, struct segment **out);
void segment_release(struct segment_table *table, struct segment *segment);

/* Makes the next segment, durably, and references it: not sealed, its end behind its header. ERR_NOSPC, ERR_IO, ERR_NOMEM. */
int segment_create(struct segment_table *table, struct segment **out);
/* Its file for direct IO, or -1 where the file system has none. The caller closes it. */
int segment_open_direct(const struct segment_table *table, const struct segment *segment);
/* Deletes the file; the caller's reference stays valid. ERR_IO. */
int segment_delete(struct segment_table *table, struct segment *segment);

#endif
