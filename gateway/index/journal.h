/* The journal: every mutation, in order, in segment files that are only appended to. It is the truth; the view is made
 * from it. README.md has the bytes. */
#ifndef ARCA_INDEX_JOURNAL_H
#define ARCA_INDEX_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/span.h"

#define JOURNAL_FORMAT      2
#define JOURNAL_HASH_SIZE   32
#define JOURNAL_SALT_SIZE   8
#define JOURNAL_HEADER_SIZE 64 /* of a segment */
#define JOURNAL_RECORD_SIZE 64 /* of a record, before its mutation */
#define JOURNAL_PAYLOAD_MAX (4U << 20)
#define JOURNAL_SUFFIX      ".seg"

/* --- the bytes of a segment (segment.c) --- */

struct journal_header {
    uint64_t first; /* the sequence of its first record */
    uint8_t salt[JOURNAL_SALT_SIZE];
    uint8_t previous[JOURNAL_HASH_SIZE]; /* of the record before it */
};
void journal_header_encode(const struct journal_header *header, uint8_t out[JOURNAL_HEADER_SIZE]);
/* ERR_FORMAT, ERR_CORRUPT */
int journal_header_decode(struct span bytes, struct journal_header *out);

struct journal_entry {
    uint64_t sequence;
    uint64_t batch;  /* the sequence of the first record that was synced together with it */
    uint64_t offset; /* in the segment */
    struct span payload;
    const uint8_t *previous;         /* hash of the record before, as this one names it */
    uint8_t hash[JOURNAL_HASH_SIZE]; /* of this record: what the next one names */
};
/* Appends one record; `hash` is the predecessor's and becomes its own. Failures stick in `out`. */
void journal_record_append(struct buf *out, const struct journal_header *header, uint64_t sequence, uint64_t batch,
                           struct span payload, uint8_t hash[JOURNAL_HASH_SIZE]);

/* Reads records one after the other. */
struct journal_reader {
    struct span bytes; /* the whole segment */
    struct journal_header header;
    uint64_t sequence; /* that the next record must have */
    uint64_t offset;   /* where it is */
    uint8_t hash[JOURNAL_HASH_SIZE];
};
int journal_reader_init(struct journal_reader *reader, struct span bytes);
/* The same from the middle of a segment: `bytes` begin behind the record `sequence`, whose hash is `hash`. Offsets are
 * then those in `bytes`. */
void journal_reader_resume(struct journal_reader *reader, const struct journal_header *header, struct span bytes,
                           uint64_t sequence, const uint8_t hash[JOURNAL_HASH_SIZE]);
/* 0, or ERR_NOT_FOUND: no valid record follows. Then journal_reader_end says why. */
int journal_reader_next(struct journal_reader *reader, struct journal_entry *out);
/* After the last valid record. *torn is the number of bytes up to the last that is not zero. A record that is damaged
 * although something was written after it was synced is ERR_CORRUPT; everything else is the torn tail of the batch that
 * was being written. */
int journal_reader_end(const struct journal_reader *reader, uint64_t *torn);

/* --- reading all segments (scan.c) --- */

struct journal_scan {
    uint64_t first;    /* the oldest record there is, or would be */
    uint64_t sequence; /* of the last record; first - 1 if there is none */
    uint8_t hash[JOURNAL_HASH_SIZE];
    bool found;        /* there is a segment */
    uint64_t segment;  /* the last one's first sequence: its name */
    uint64_t end;      /* offset in it behind the last record */
    uint64_t torn;     /* bytes behind it that were being written */
    uint64_t bytes;    /* of all segments, without what is preallocated */
};
/* Where a record was found. */
struct journal_place {
    const char *segment;
    const struct journal_entry *record;
};
/* Walks the segments in order and calls `record` for each record whose sequence is greater than or equal to `from`
 * (segments that end before it are not read). Changes nothing. ERR_CORRUPT and ERR_FORMAT are logged with file and
 * offset. */
int journal_scan(const char *path, uint64_t from, int (*record)(const struct journal_place *place, void *arg),
                 void *arg, struct journal_scan *out);

/* --- writing (journal.c), by one thread --- */

struct journal;

/* Goes on behind what a scan found: cuts the torn tail, makes the first segment. */
int journal_open(const char *path, uint64_t segment_size, const struct journal_scan *scan, struct journal **out);
void journal_close(struct journal *journal); /* NULL is fine */

/* The next record's sequence and its predecessor's hash. */
uint64_t journal_sequence(const struct journal *journal);
const uint8_t *journal_hash(const struct journal *journal);

/* A batch: records are added, then written and synced at once. journal_begin may start a segment.
 * ERR_NOSPC, ERR_NOMEM: nothing is written, try later. ERR_READONLY: never again. */
int journal_begin(struct journal *journal);
int journal_add(struct journal *journal, struct span payload); /* ERR_TOO_LARGE, ERR_NOMEM */
void journal_drop(struct journal *journal);                    /* forgets what was added */
int journal_write(struct journal *journal);
/* Undoes the last journal_write, before anything else is written. ERR_READONLY if that fails. */
int journal_revert(struct journal *journal);

/* The segment that is being written, and where its last written record ends. */
void journal_place(const struct journal *journal, uint64_t *segment, uint64_t *end);
uint64_t journal_segment_size(const struct journal *journal);
uint64_t journal_added(const struct journal *journal); /* bytes of the present batch */
/* fdatasync, replaced by tests that want it to fail. */
extern int (*journal_fdatasync)(int fd);
/* Removes segments that hold nothing after `sequence`. Any thread. */
int journal_trim(const char *path, uint64_t sequence);

#endif
