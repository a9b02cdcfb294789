/* The index: everything that Arca knows besides the bytes of objects. The journal is the truth and the view (LMDB)
 * follows it; README.md tells how. This interface shows neither: a driver over a remote database could stand behind it,
 * which is why reads are declared as suspending though LMDB's never do.
 *
 * Records are the protobuf-c structs of records.proto. What a read returns is unpacked into the caller's arena. */
#ifndef ARCA_INDEX_INDEX_H
#define ARCA_INDEX_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/fiber.h"
#include "base/span.h"
#include "index/ids.h"
#include "records.pb-c.h"

struct index;

#define KEY_MAX 1024 /* bytes of an object key: docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html */

struct index_options {
    const char *path;            /* a folder, made if its parent exists: journal/, snapshot/, view/ */
    uint64_t map_size;           /* LMDB's, bytes; 0: 1 TiB of address space */
    uint64_t segment_size;       /* of the journal, bytes; 0: 16 MiB */
    uint64_t snapshot_min;       /* bytes of journal before a snapshot is taken; 0: 64 MiB */
    const char *boot_id;         /* NULL: the system's; tests pretend a reboot with it */
};

/* Opens, recovers, and starts the writer thread. Blocks. ERR_LOCKED, ERR_FORMAT, ERR_CORRUPT (a gap in the journal:
 * what to do is logged), ERR_IO, ERR_NOSPC, ERR_NOMEM. */
int index_open(const struct index_options *options, struct index **out);
/* Not on a fiber, after the last operation: ends the writer, commits, marks the clean stop. NULL is fine. */
void index_close(struct index *index);

/* Checks the mutation's preconditions against the state, applies it, and returns when it is durable in the journal and
 * visible to readers. Any loop's fiber; not cancellable. The order of mutations is that of their application.
 * Errors that records.proto names for the operation; ERR_NO_SUCH_BUCKET, ERR_NO_SUCH_UPLOAD; ERR_NOT_FOUND (a copied
 * blob or manifest is gone); ERR_READONLY (after a failed fsync), ERR_NOSPC (nothing was changed), ERR_TOO_LARGE,
 * ERR_NOMEM. */
int index_apply(struct index *index, const Arca__Mutation *mutation) SUSPENDS;
/* Several at once, in one batch: the result of each in results[i]. For DeleteObjects. */
void index_apply_all(struct index *index, const Arca__Mutation *const *mutations, size_t count, int *results) SUSPENDS;

/* Whether a precondition (NULL: none) holds for a key's present newest version (NULL: none), as index_apply decides it.
 * ERR_NO_SUCH_KEY (the condition needs an object), ERR_PRECONDITION. */
int index_precondition(const Arca__Precondition *precondition, const Arca__Object *present);

/* --- buckets --- */
int index_bucket_get(struct index *index, struct span name, struct arena *arena, Arca__Bucket **out) SUSPENDS;
/* Buckets in name order after `start_after`; at most `max`. */
int index_bucket_list(struct index *index, struct span start_after, size_t max, struct arena *arena,
                      Arca__Bucket ***out, size_t *count) SUSPENDS;
int index_key_get(struct index *index, uint64_t key_id, struct arena *arena, Arca__BucketKey **out) SUSPENDS;
/* Keys not wrapped by root generation `generation`, at most `max`: what rotation has to rewrap. */
int index_key_list_older(struct index *index, uint32_t generation, size_t max, struct arena *arena,
                         Arca__BucketKey ***out, size_t *count) SUSPENDS;

/* --- objects --- */
/* The newest version of a key and, when its body is one blob, that blob's row, as of one moment. `blob` may be NULL;
 * *blob is NULL for empty and multipart objects. ERR_NO_SUCH_KEY, ERR_CORRUPT, ERR_NOMEM. */
int index_object_get(struct index *index, uint64_t bucket_id, struct span key, struct arena *arena, Arca__Object **out,
                     Arca__Blob **blob) SUSPENDS;

struct index_list_query {
    uint64_t node;            /* bucket.id for objects, bucket.uploads_node for uploads */
    struct span prefix;
    struct span delimiter;    /* empty: none; may be several bytes */
    struct span start_after;  /* keys and common prefixes must be greater; empty: from the start. If it lies below a
                               * common prefix, that prefix is not listed again only when it is <= start_after */
    struct span upload_after; /* uploads: of the key equal to start_after, only uploads with greater ids; empty: none */
    size_t max;               /* entries and common prefixes together; 0: nothing, and not truncated */
};
struct index_entry {
    struct span key;          /* the whole key, or the common prefix */
    Arca__Object *object;     /* objects, without body ids; NULL for a common prefix */
    Arca__Upload *upload;     /* uploads; NULL for a common prefix. Of headers, both have the storage class alone */
};
struct index_listing {
    struct index_entry *entries; /* in byte order; common prefixes among them */
    size_t count;
    bool truncated;           /* there is at least one more */
};
/* Costs O(results): skips everything below a common prefix with one seek. ERR_CORRUPT, ERR_NOMEM. */
int index_list(struct index *index, const struct index_list_query *query, struct arena *arena,
               struct index_listing *out) SUSPENDS;

/* --- blobs --- */
/* ERR_NOT_FOUND */
int index_blob_get(struct index *index, struct span blob_id, struct arena *arena, Arca__Blob **out) SUSPENDS;
/* The rows of extents first..first+count-1 of a blob with several extents. ERR_NOT_FOUND unless all are there. */
int index_extents_get(struct index *index, struct span blob_id, uint32_t first, uint32_t count, struct arena *arena,
                      Arca__Extent ***out) SUSPENDS;

/* --- uploads and parts --- */
int index_upload_get(struct index *index, uint64_t uploads_node, struct span key, struct span upload_id,
                     struct arena *arena, Arca__Upload **out) SUSPENDS; /* ERR_NO_SUCH_UPLOAD */
/* Parts of an upload or manifest with numbers > `after`, ascending, at most `max`. */
int index_part_list(struct index *index, struct span id, uint32_t after, size_t max, struct arena *arena,
                    Arca__Part ***out, size_t *count) SUSPENDS;
/* ERR_INVALID_PART */
int index_part_get(struct index *index, struct span id, uint32_t number, struct arena *arena,
                   Arca__Part **out) SUSPENDS;
/* The part of a manifest that holds the byte at `offset` (binary search over part numbers). ERR_RANGE past the end. */
int index_part_at(struct index *index, struct span id, uint64_t offset, struct arena *arena, Arca__Part **out) SUSPENDS;

/* --- garbage, repair, leases, meta --- */
/* Blobs that became garbage at or before `until_ms`, oldest first, at most `max`, with their blob rows; those behind
 * `after` (NULL: from the start), of which the id and garbage_ms are looked at: it need not be there any more. */
int index_garbage_list(struct index *index, int64_t until_ms, const Arca__Blob *after, size_t max, struct arena *arena,
                       Arca__Blob ***out, size_t *count) SUSPENDS;
/* Repair rows that are due at or before `until_ms`, the longest due first, at most `max`; those behind `after` (NULL:
 * from the start), a row that an earlier call gave. */
int index_repair_list(struct index *index, int64_t until_ms, const Arca__Repair *after, size_t max, struct arena *arena,
                      Arca__Repair ***out, size_t *count) SUSPENDS;
int index_repair_count(struct index *index, uint64_t *count) SUSPENDS; /* due or not */
/* Blobs with ids greater than `after` (empty: from the start), in the order of their ids, at most `max`, garbage
 * among them. */
int index_blob_list(struct index *index, struct span after, size_t max, struct arena *arena, Arca__Blob ***out,
                    size_t *count) SUSPENDS;
int index_blob_count(struct index *index, uint64_t *count) SUSPENDS;
/* All that were ever opened, in the order of their ids; closed ones have closed_ms. */
int index_lease_list(struct index *index, struct arena *arena, Arca__Lease ***out, size_t *count) SUSPENDS;
int index_meta_get(struct index *index, struct arena *arena, Arca__Meta **out) SUSPENDS;

/* --- placements and jobs --- */
int index_placement_list(struct index *index, struct arena *arena, Arca__Placement ***out, size_t *count) SUSPENDS;
int index_placement_get(struct index *index, struct span name, struct arena *arena,
                        Arca__Placement **out) SUSPENDS; /* ERR_NOT_FOUND */
/* What each backend holds of each placement; rows that came to nothing are left out. */
int index_holding_list(struct index *index, struct arena *arena, Arca__Holding ***out, size_t *count) SUSPENDS;
int index_job_list(struct index *index, struct arena *arena, Arca__Job ***out, size_t *count) SUSPENDS;
int index_job_get(struct index *index, struct span name, struct arena *arena,
                  Arca__Job **out) SUSPENDS; /* ERR_NOT_FOUND */

/* Whether it takes mutations: 0, ERR_READONLY, ERR_NOSPC. Any thread. */
int index_ready(struct index *index);

/* --- shipping: journal and snapshots as bytes, for copies of them elsewhere (store/ship). Reading files blocks --- */

#define INDEX_HASH_SIZE 32

/* How far the journal is durable and applied: what will never be taken back. */
struct index_mark {
    uint64_t sequence; /* of the last mutation */
    uint64_t segment;  /* the journal segment that is being written: its first sequence */
    uint64_t end;      /* offset in it behind the last mutation */
    int64_t safe_ms;   /* every mutation that was made up to this time (since 1970) is part of it */
};
void index_mark(struct index *index, struct index_mark *out); /* any thread */

/* A place between two records. */
struct index_position {
    uint64_t segment, offset;      /* offset 0: in front of the segment's header, which belongs to its first record */
    uint64_t sequence;             /* of the record before it; 0: none */
    uint8_t hash[INDEX_HASH_SIZE]; /* of that record */
};
/* The beginning of the segment that holds mutation `sequence`, or would. ERR_NOT_FOUND: the journal begins later. */
int index_journal_seek(struct index *index, uint64_t sequence, struct index_position *out);
/* Reads the next whole records behind `at` that lie before `mark`, of one segment, at most `size` bytes (which holds
 * the largest record). `from` and `at` are the places in front of and behind what was read; *length 0: nothing was.
 * ERR_NOT_FOUND: the segment is gone, since a snapshot took its place. ERR_CORRUPT (logged), ERR_IO. */
#define INDEX_STRETCH_MIN ((4U << 20) + 256)
int index_journal_read(struct index *index, const struct index_mark *mark, struct index_position *at, uint8_t *dst,
                       size_t size, struct index_position *from, size_t *length);

struct index_snapshot {
    uint64_t sequence; /* the last mutation in it */
    uint64_t size;
    uint8_t sum[INDEX_HASH_SIZE]; /* BLAKE2b of the file */
    int fd;                       /* the caller's to close: it outlives the file's name */
};
/* The newest one there is. ERR_NOT_FOUND. */
int index_snapshot_open(struct index *index, struct index_snapshot *out);

/* From now on index_shipped is called at least once a second. `sync`: changes that clients ask for (buckets, objects,
 * uploads, parts) return only when they are shipped. When that takes longer than `patience_ms`, the result is
 * ERR_UNSHIPPED: the change is done, durable, and may yet be lost with this machine. */
struct index_shipping {
    bool sync;
    int64_t patience_ms;
    void (*grown)(void *arg); /* after each batch, on the writer's thread: may only signal */
    void *arg;
};
void index_shipping_begin(struct index *index, const struct index_shipping *shipping);
/* Nobody waits any more: those that do get ERR_UNSHIPPED. */
void index_shipping_end(struct index *index);
/* Mutations up to `sequence` are shipped, all of those up to `safe_ms` (since 1970) among them. `stalled`: with sync,
 * changes that clients ask for are refused at once with ERR_UNAVAILABLE and do nothing. Any thread. */
void index_shipped(struct index *index, uint64_t sequence, int64_t safe_ms, bool stalled);
/* What a lost gateway is sure to be rebuilt with: mutations made up to this time (ms since 1970). What became unneeded
 * later must not be removed from backends yet. INT64_MAX: nothing is shipped, nothing to wait for. Any thread. */
int64_t index_safe_ms(struct index *index);

/* --- an index's folder made from shipped bytes: these block; errors are logged --- */

/* Makes the folder, which must not exist or be empty: ERR_EXISTS. */
int index_copy_begin(const char *path);
/* Bytes of the journal segment or the snapshot of that number. */
int index_copy_segment(const char *path, uint64_t segment, uint64_t offset, struct span bytes);
int index_copy_snapshot(const char *path, uint64_t sequence, uint64_t offset, struct span bytes);
/* All bytes of the snapshot are there. `hash` gets its last mutation's. ERR_CORRUPT: they are not what was taken. */
int index_copy_snapshot_end(const char *path, uint64_t sequence, const uint8_t sum[INDEX_HASH_SIZE],
                            uint8_t hash[INDEX_HASH_SIZE]);
/* All is there: it can be opened. `sequence` and `hash` are the last mutation's; from its hash on the journal goes on
 * when no segment was written. Calls `record` (may be NULL) for the sequence and hash of every record. ERR_CORRUPT. */
int index_copy_end(const char *path, uint64_t sequence, const uint8_t hash[INDEX_HASH_SIZE],
                   int (*record)(uint64_t sequence, const uint8_t hash[INDEX_HASH_SIZE], void *arg), void *arg);
/* Removes it with all that these functions put there, and what opening it made. */
int index_copy_discard(const char *path);

/* --- tools: these block and are not for fibers --- */
/* Calls `record` for every journal record from the oldest segment kept on; its mutation is freed after the call. A torn
 * tail is reported in *torn (bytes). Does not need the lock. ERR_CORRUPT, ERR_IO, or what `record` returned. */
struct journal_record {
    uint64_t sequence;
    const char *segment;
    uint64_t offset;
    const Arca__Mutation *mutation;
};
int index_journal_dump(const char *path, int (*record)(const struct journal_record *record, void *arg), void *arg,
                       uint64_t *torn);
/* Compares view and journal and checks the view's own order: references, counts, dangling rows. Each finding is passed
 * to `report` as a line of text; *findings counts them. The daemon must not run (ERR_LOCKED). */
int index_check(const char *path, void (*report)(const char *line, void *arg), void *arg, uint64_t *findings);
/* Calls `extent` for every stored extent of every blob row (for comparing with the backends). After index_open on a
 * thread without loop. */
int index_extents_each(struct index *index,
                       int (*extent)(const Arca__Blob *blob, const Arca__Extent *extent, void *arg), void *arg);

#endif
