/* What a backend is: a place that keeps blobs of ciphertext under names that are never reused. A driver is one
 * struct backend_ops. All operations suspend, are idempotent, and end in bounded time or when the fiber is cancelled. */
#ifndef ARCA_BACKENDS_BACKEND_H
#define ARCA_BACKENDS_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/block.h"
#include "base/fiber.h"
#include "base/span.h"

#define BLOB_NAME_SIZE   20 /* blob id (16), extent number (4, big-endian) */
#define LOCATOR_MAX      64

/* The name of one stored extent. */
struct blob_name {
    uint8_t bytes[BLOB_NAME_SIZE];
};

/* Where a backend put it: opaque bytes that the index keeps and gives back. Drivers that find a blob by its name alone
 * leave it empty. */
struct locator {
    uint8_t length;
    uint8_t bytes[LOCATOR_MAX];
};

struct blob_entry {
    struct blob_name name;
    struct locator locator;
    uint64_t size; /* bytes */
};

#define BLOB_BATCH 1000
struct blob_batch {
    size_t count;
    struct blob_entry entries[BLOB_BATCH];
};

/* A position in a listing; zero-initialised at the start, opaque after. */
struct blob_cursor {
    bool end;
    uint8_t length;
    uint8_t bytes[255];
};

enum backend_state { BACKEND_HEALTHY, BACKEND_READONLY, BACKEND_DOWN };

struct backend_health {
    enum backend_state state;
    uint64_t used;  /* bytes, 0 if unknown */
    uint64_t free;  /* bytes, UINT64_MAX if unknown */
    char why[128];  /* in words, when not healthy */
};

struct backend;

struct backend_ops {
    const char *driver;
    bool local; /* this machine's disk or memory: its reads need no second attempt elsewhere when they are slow */
    /* Stores data->length bytes; returns when they are on stable storage. Takes no reference beyond its return. Putting
     * a name again with the same bytes succeeds. ERR_NOSPC, ERR_READONLY, ERR_IO, ERR_TIMEOUT, ERR_CANCELED. */
    int (*put)(struct backend *backend, const struct blob_name *name, struct block *data, struct locator *out) SUSPENDS;
    /* Reads `length` bytes at `offset` into dst: all of them, or an error. ERR_NOT_FOUND (also when the locator is none
     * of this driver's), ERR_CORRUPT (the backend's own checksum fails, or it holds less), ERR_IO, ERR_TIMEOUT,
     * ERR_CANCELED. */
    int (*get)(struct backend *backend, const struct blob_name *name, const struct locator *locator, uint64_t offset,
               uint64_t length, uint8_t *dst) SUSPENDS;
    /* Removing what is not there succeeds. */
    int (*remove)(struct backend *backend, const struct blob_name *name, const struct locator *locator) SUSPENDS;
    /* The next up to BLOB_BATCH blobs, in any but a stable order; a batch may be short, or empty, before the end.
     * cursor->end after the last. Blobs that are put meanwhile may be missing. ERR_INVALID for a foreign cursor. */
    int (*list)(struct backend *backend, struct blob_cursor *cursor, struct blob_batch *out) SUSPENDS;
    int (*probe)(struct backend *backend, struct backend_health *out) SUSPENDS;
    /* Stops its threads and frees it. Not on a fiber; no operation is under way. */
    void (*close)(struct backend *backend);
};

/* The first member of every driver's own struct. */
struct backend {
    const struct backend_ops *ops;
    char name[33];
    atomic_size_t straggling; /* the store's: memory that puts keep which nobody waits for any more */
};

/* --- the disk driver --- */
struct disk_options {
    const char *name;
    const char *path;      /* its folder; made if the parent exists */
    uint64_t segment_size; /* bytes, 0: 256 MiB */
};
/* Opens and recovers: cuts torn tails. Blocks. ERR_LOCKED, ERR_CORRUPT, ERR_FORMAT, ERR_IO, ERR_NOSPC, ERR_NOMEM; the reason
 * is logged. */
int disk_open(const struct disk_options *options, struct backend **out);

#endif
